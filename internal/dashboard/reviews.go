package dashboard

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// Reviews is the queue of generations that wait for a person. Errors of all methods: kinora.ErrUnavailable.
type Reviews interface {
	// PendingReviews reads those of an organisation, the one that has waited longest first, from behind a position on.
	PendingReviews(ctx context.Context, organisationID string, after kinora.ReviewPosition, limit int) ([]*kinora.Review, error)
	// Reviews reads all reviews of a generation, whoever's it is, in order of its rounds.
	Reviews(ctx context.Context, generationID string) ([]*kinora.Review, error)
	// HeldOutputs reads what a generation that waits would publish, the best first. Errors: kinora.ErrNotFound.
	HeldOutputs(ctx context.Context, generationID string) ([]kinora.Output, error)
	// HeldGenerations is HeldOutputs for several of an organisation's, with the generations. Those that are not there are left out.
	HeldGenerations(ctx context.Context, organisationID string, generationIDs []string) ([]kinora.HeldGeneration, error)
	// Decide ends a review. Errors: kinora.ErrNotFound; kinora.ErrConflict when the generation waits for none; kinora.ErrInvalid.
	Decide(ctx context.Context, generationID string, d kinora.ReviewDecision) (*kinora.Generation, *kinora.Review, error)
}

const (
	reviewPage = 25 // generations on a page of the queue
	// reviewsNear is how far into the queue a review's place, and the one before it, are looked for.
	reviewsNear = 200
)

// The queue of what waits for a person. The page on which one is decided is in review.go.
func (d *Dashboard) reviewRoutes() []route {
	const queue, one = organisationPath + "/reviews", organisationPath + "/reviews/{generation_id}"
	return []route{
		{method: http.MethodGet, pattern: queue, who: admin, handler: d.listReviews},
		{method: http.MethodGet, pattern: queue + "/live", who: admin, handler: d.liveReviews, streams: true},
		{method: http.MethodGet, pattern: one, who: admin, handler: d.showReview},
		{method: http.MethodGet, pattern: one + "/live", who: admin, handler: d.liveReview, streams: true},
		{method: http.MethodGet, pattern: one + "/outputs/{output_id}", who: admin, handler: d.heldFile},
		{method: http.MethodPost, pattern: one + "/approve", who: admin, handler: d.approve},
		{method: http.MethodPost, pattern: one + "/reject", who: admin, handler: d.reject},
	}
}

// reviewQueue is the list page.
type reviewQueue struct {
	Rows           []reviewRow
	Oldest, Next   string // addresses of pages; empty = there is none
	Live           string
	Further, Empty bool // this is not the first page; nothing is on it
}

// reviewRow is a generation that waits.
type reviewRow struct {
	ID, Href   string
	Name       string // of the workflow, or of the model
	Choices    string
	Reference  string
	Since      time.Time
	Round      int // 1 = the first
	Candidates int
	Best       string // score; empty = not judged
}

func (d *Dashboard) listReviews(ctx context.Context, v *visit) error {
	after := positionOf(v.query("after"))
	list, err := v.cfg.Reviews.PendingReviews(ctx, v.organisation.ID, after, reviewPage+1)
	if err != nil {
		return err
	}
	q := reviewQueue{Further: v.query("after") != "", Live: address(v.here("reviews", "live"), url.Values{"after": {v.query("after")}, "seen": {reviewDigest(list)}})}
	if len(list) > reviewPage {
		list = list[:reviewPage]
		q.Next = address(v.here("reviews"), url.Values{"after": {positionText(list[reviewPage-1])}})
	}
	if q.Further {
		q.Oldest = v.here("reviews")
	}
	if q.Rows, err = v.reviewRows(ctx, list); err != nil {
		return err
	}
	q.Empty = len(q.Rows) == 0
	return v.show(ctx, "Reviews", reviewsBody(q))
}

func (v *visit) reviewRows(ctx context.Context, list []*kinora.Review) (rows []reviewRow, err error) {
	ids := make([]string, len(list))
	of := make(map[string]*kinora.Review, len(list))
	for i, r := range list {
		ids[i], of[r.GenerationID] = r.GenerationID, r
	}
	found, err := v.cfg.Reviews.HeldGenerations(ctx, v.organisation.ID, ids)
	if err != nil {
		return nil, err
	}
	for _, h := range found {
		g, held, r := h.Generation, h.Outputs, of[h.Generation.ID]
		row := reviewRow{ID: g.ID, Href: v.here("reviews", g.ID), Name: g.Model, Choices: beginning(g.Input.Prompt, 120), Since: r.CreatedAt, Round: r.Round + 1, Candidates: len(held)}
		if g.Request != nil {
			row.Name, row.Choices = g.Request.Workflow, choices(g.Request)
		}
		if g.Reference != nil {
			row.Reference = *g.Reference
		}
		if len(held) > 0 && held[0].Verdict != nil {
			row.Best = number(held[0].Verdict.Score)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// choices are what a caller chose, in a line.
func choices(w *kinora.WorkflowRequest) string {
	parts := []string{w.CaptureType, w.Mode, strings.Join(w.RoomTypes, ", "), w.StylePreset}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
}

// positionText is a place in the queue as an address has it.
func positionText(r *kinora.Review) string {
	return strconv.FormatInt(r.CreatedAt.UnixMicro(), 10) + "." + r.GenerationID
}

// positionOf reads a place in the queue; what cannot be read is its beginning.
func positionOf(text string) kinora.ReviewPosition {
	at, id, _ := strings.Cut(text, ".")
	micros, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return kinora.ReviewPosition{}
	}
	return kinora.ReviewPosition{CreatedAt: time.UnixMicro(micros), GenerationID: id}
}

// reviewDigest names what a page of the queue shows.
func reviewDigest(list []*kinora.Review) string {
	h := sha256.New()
	for _, r := range list {
		fmt.Fprintln(h, r.GenerationID, r.Round)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// liveReviews keeps a page of the queue as it is now.
func (d *Dashboard) liveReviews(ctx context.Context, v *visit) error {
	return v.stream(ctx, func(ctx context.Context, out *live) error {
		known := out.told()
		if known == "" {
			known = v.query("seen")
		}
		for {
			now := known
			rows, err := look(ctx, out, func(ctx context.Context) ([]reviewRow, error) {
				list, err := v.cfg.Reviews.PendingReviews(ctx, v.organisation.ID, positionOf(v.query("after")), reviewPage+1)
				if err != nil {
					return nil, err
				}
				if now = reviewDigest(list); now == known {
					return nil, nil
				}
				return v.reviewRows(ctx, list[:min(len(list), reviewPage)])
			})
			if err != nil {
				return err
			}
			if now != known {
				if err := out.send(ctx, now, reviewRowsReplaced(rows)); err != nil {
					return err
				}
				known = now
			}
			if err := out.rest(ctx, livePace); err != nil {
				return err
			}
		}
	})
}
