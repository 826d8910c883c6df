package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// Reviews is where a person decides on generations whose plan asks for it; *lifecycle.Engine
// is one, and its comments say what the methods do.
type Reviews interface {
	PendingReviews(ctx context.Context, organisationID string, after kinora.ReviewPosition, limit int) ([]*kinora.Review, error)
	HeldOutputs(ctx context.Context, generationID string) ([]kinora.Output, error)
	Decide(ctx context.Context, generationID string, d kinora.ReviewDecision) (*kinora.Generation, *kinora.Review, error)
}

func (s *Server) reviewRoutes() []route {
	if s.cfg.Reviews == nil || s.cfg.AdminToken == "" {
		return nil
	}
	on := func(method, pattern string, h handlerFunc) route {
		return route{method: method, pattern: pattern, dialect: &adminDialect, auth: adminned, handler: h}
	}
	return []route{
		on(http.MethodGet, "/admin/v1/reviews", s.adminPendingReviews),
		on(http.MethodPost, "/admin/v1/reviews/{generation_id}/decide", s.adminDecideReview),
	}
}

type reviewView struct {
	GenerationID   string             `json:"generation_id"`
	OrganisationID string             `json:"organisation_id"`
	Round          int                `json:"round"`
	State          kinora.ReviewState `json:"state"`
	Outputs        []string           `json:"outputs"` // the approved ones, the primary first
	Reason         string             `json:"reason"`
	DecidedBy      string             `json:"decided_by"`
	CreatedAt      *string            `json:"created_at"`
	DecidedAt      *string            `json:"decided_at"`
}

type pendingReviewView struct {
	reviewView
	Candidates []reviewCandidateView `json:"candidates"` // the best first
}

type reviewCandidateView struct {
	ID           string          `json:"id"`
	Verdict      *kinora.Verdict `json:"verdict"`
	Kind         kinora.Kind     `json:"kind"`
	ContentType  string          `json:"content_type"`
	Bytes        int64           `json:"bytes"`
	Width        int             `json:"width"`
	Height       int             `json:"height"`
	DurationMS   int64           `json:"duration_ms"`
	URL          string          `json:"url"` // of the file, signed
	URLExpiresAt *string         `json:"url_expires_at"`
}

type reviewPage struct {
	Reviews    []pendingReviewView `json:"reviews"`
	NextCursor *string             `json:"next_cursor"` // null = that was all
}

type decidedReviewView struct {
	reviewView
	GenerationState kinora.GenerationState `json:"generation_state"`
}

func viewReview(r *kinora.Review) reviewView {
	return reviewView{
		GenerationID: r.GenerationID, OrganisationID: r.OrganisationID, Round: r.Round, State: r.State, Outputs: append([]string{}, r.Outputs...),
		Reason: r.Reason, DecidedBy: r.DecidedBy, CreatedAt: apiTime(r.CreatedAt), DecidedAt: apiTime(r.DecidedAt),
	}
}

// adminPendingReviews lists what waits for a decision, the oldest first, with links to look at
// what is held.
func (s *Server) adminPendingReviews(ctx context.Context, x *exchange, r *http.Request) error {
	p := parameters{values: r.URL.Query()}
	limit, cursor, organisationID := p.number("limit", defaultPage, maxPage), p.text("cursor"), p.text("organisation_id")
	if err := p.err(); err != nil {
		return err
	}
	question := p.question("limit", "cursor")
	after, err := s.reviewPosition(question, cursor)
	if err != nil {
		return err
	}
	list, err := s.cfg.Reviews.PendingReviews(ctx, organisationID, after, limit+1)
	if err != nil {
		return err
	}
	answer := reviewPage{Reviews: []pendingReviewView{}}
	if len(list) > limit {
		list = list[:limit]
		last := list[limit-1]
		text := s.cursors.give(question, strconv.FormatInt(last.CreatedAt.UnixMicro(), 10)+" "+last.GenerationID)
		answer.NextCursor = &text
	}
	for _, review := range list {
		held, err := s.heldOutputs(ctx, review)
		if err != nil {
			return err
		}
		answer.Reviews = append(answer.Reviews, pendingReviewView{reviewView: viewReview(review), Candidates: held})
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

// reviewPosition reads a cursor that this server gave out.
func (s *Server) reviewPosition(question, cursor string) (after kinora.ReviewPosition, err error) {
	if cursor == "" {
		return after, nil
	}
	position, err := s.cursors.take(question, cursor)
	if err != nil {
		return after, err
	}
	at, generationID, _ := strings.Cut(position, " ")
	micros, err := strconv.ParseInt(at, 10, 64)
	return kinora.ReviewPosition{CreatedAt: time.UnixMicro(micros), GenerationID: generationID}, err
}

func (s *Server) heldOutputs(ctx context.Context, review *kinora.Review) ([]reviewCandidateView, error) {
	held, err := s.cfg.Reviews.HeldOutputs(ctx, review.GenerationID)
	if err != nil {
		return nil, err
	}
	views := []reviewCandidateView{}
	for _, o := range held {
		url, until := s.cfg.FileURL(o.BlobKey)
		views = append(views, reviewCandidateView{
			ID: o.ID, Verdict: o.Verdict, Kind: o.Kind, ContentType: o.ContentType, Bytes: o.Bytes, Width: o.Width, Height: o.Height,
			DurationMS: o.Duration.Milliseconds(), URL: url, URLExpiresAt: apiTime(until),
		})
	}
	return views, nil
}

// adminDecideReview approves or rejects what a generation holds.
func (s *Server) adminDecideReview(ctx context.Context, x *exchange, r *http.Request) error {
	generationID, err := generationOf(r)
	if err != nil {
		return err
	}
	var body struct {
		Decision string   `json:"decision"` // approve or reject
		Outputs  []string `json:"outputs"`  // to publish, the primary first; none = the best ones
		Reason   string   `json:"reason"`
		By       string   `json:"by"`
		Round    *int     `json:"round"` // that was looked at, counted from 0; null = whichever waits
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	if body.Decision != "approve" && body.Decision != "reject" {
		return refuse(kinora.ErrInvalid, "decision must be approve or reject")
	}
	if body.Round != nil && *body.Round < 0 {
		return refuse(kinora.ErrInvalid, "round must be 0 or more")
	}
	for name, text := range map[string]string{"by": body.By, "reason": body.Reason} {
		if !storable(text) {
			return refuse(kinora.ErrInvalid, "%s must be UTF-8 without NUL", name)
		}
	}
	g, review, err := s.cfg.Reviews.Decide(ctx, generationID, kinora.ReviewDecision{
		Approve: body.Outputs, Reject: body.Decision == "reject", Reason: body.Reason, By: body.By, Round: body.Round,
	})
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, decidedReviewView{reviewView: viewReview(review), GenerationState: g.State})
	return nil
}
