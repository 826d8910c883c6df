package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// maxReviewReason is what a decision's reason may have, in characters.
const maxReviewReason = 1000

// heldReview is the page of one generation that waits.
type heldReview struct {
	ID         string
	Name       string // of the workflow, or of the model
	Since      time.Time
	Round      int    // 1 = the first
	Rounds     int    // at most
	Place      string // in the queue
	Previous   string // addresses of the neighbours; empty = there is none
	Next       string
	List       string
	Generation string // page of the generation
	Request    requestFacts
	Reference  string
	Source     *picture
	Candidates []heldCandidate
	Alternates bool // an alternate may be published beside the primary output
	Primary    string
	Alternate  string
	Note       string
	Wrong      map[string]string
	Approve    string
	Reject     string
	Live       string
	Inside     bool     // with what was measured
	Decided    *decided // nil = it waits
}

// heldCandidate is an output that has passed.
type heldCandidate struct {
	Output output
	Number int // 1 = the best; the key that chooses it
	Score  string
	Words  string
	Checks []check
}

// decided is what became of a review.
type decided struct {
	State  kinora.ReviewState
	By     string
	Reason string
	At     time.Time
	Next   string // page of the next one that waits; empty = none does
	List   string
}

func (d *Dashboard) showReview(ctx context.Context, v *visit) error {
	return v.showHeld(ctx, http.StatusOK, kinora.ReviewDecision{}, nil)
}

// showHeld shows the page with what was chosen, and what was wrong with it.
func (v *visit) showHeld(ctx context.Context, status int, chosen kinora.ReviewDecision, wrong map[string]string) error {
	page, err := v.heldReview(ctx, v.path("generation_id"))
	if err != nil {
		return err
	}
	if len(chosen.Approve) > 0 {
		page.Primary, page.Alternate = chosen.Approve[0], ""
	}
	if len(chosen.Approve) > 1 {
		page.Alternate = chosen.Approve[1]
	}
	page.Note, page.Wrong = chosen.Reason, wrong
	return v.showAs(ctx, status, "Review "+page.ID, reviewBody(page))
}

func (v *visit) heldReview(ctx context.Context, id string) (heldReview, error) {
	h, err := v.cfg.Histories.History(ctx, v.organisation.ID, id)
	if err != nil {
		return heldReview{}, err
	}
	g := h.Generation
	page := heldReview{ID: g.ID, Name: g.Model, List: v.here("reviews"), Generation: v.here("generations", g.ID), Request: v.requestFacts(h),
		Rounds: max(1, g.Plan.Rounds), Source: v.media(h, nil).Source, Inside: v.insider(), Alternates: g.Plan.Publish != 1,
		Approve: v.here("reviews", g.ID, "approve"), Reject: v.here("reviews", g.ID, "reject"), Live: v.here("reviews", g.ID, "live")}
	if g.Request != nil {
		page.Name = g.Request.Workflow
	}
	if g.Reference != nil {
		page.Reference = *g.Reference
	}
	if len(h.Reviews) == 0 {
		return page, kinora.Errorf(kinora.ErrNotFound, "this generation needs no review")
	}
	last := h.Reviews[len(h.Reviews)-1]
	page.Since, page.Round = last.CreatedAt, last.Round+1
	if page.Source != nil {
		page.Source.Small = page.Source.Href + smallPicture
	}
	if err := v.place(ctx, &page, last); err != nil {
		return page, err
	}
	if last.State != kinora.ReviewPending {
		page.Decided = v.decided(last, page.Next)
		return page, nil
	}
	return page, v.candidates(ctx, &page, g)
}

func (v *visit) decided(r *kinora.Review, next string) *decided {
	return &decided{State: r.State, By: r.DecidedBy, Reason: r.Reason, At: r.DecidedAt, Next: next, List: v.here("reviews")}
}

// place finds the review's neighbours in the queue.
func (v *visit) place(ctx context.Context, page *heldReview, r *kinora.Review) error {
	near, err := v.cfg.Reviews.PendingReviews(ctx, v.organisation.ID, kinora.ReviewPosition{}, reviewsNear)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(near, func(o *kinora.Review) bool { return o.GenerationID == r.GenerationID })
	if at >= 0 {
		all := fmt.Sprint(len(near))
		if len(near) == reviewsNear {
			all += " or more"
		}
		page.Place = fmt.Sprintf("%d of %s", at+1, all)
	}
	if at > 0 {
		page.Previous = v.here("reviews", near[at-1].GenerationID)
	}
	page.Next, err = v.nextReview(ctx, r)
	return err
}

// nextReview is the page of the review that waits behind r, or else of the first one; empty = no other waits.
func (v *visit) nextReview(ctx context.Context, r *kinora.Review) (string, error) {
	for _, after := range []kinora.ReviewPosition{{CreatedAt: r.CreatedAt, GenerationID: r.GenerationID}, {}} {
		list, err := v.cfg.Reviews.PendingReviews(ctx, v.organisation.ID, after, 2)
		if err != nil {
			return "", err
		}
		for _, next := range list {
			if next.GenerationID != r.GenerationID {
				return v.here("reviews", next.GenerationID), nil
			}
		}
	}
	return "", nil
}

func (v *visit) candidates(ctx context.Context, page *heldReview, g *kinora.Generation) error {
	held, err := v.cfg.Reviews.HeldOutputs(ctx, g.ID)
	if err != nil {
		return err
	}
	for i := range held {
		o := &held[i]
		c := heldCandidate{Output: v.output(g, o, page.Source), Number: i + 1}
		c.Output.Href = v.here("reviews", g.ID, "outputs", o.ID)
		c.Output.Compare = c.Output.Image && page.Source != nil
		if c.Output.Image {
			c.Output.Small = c.Output.Href + smallPicture
		}
		if o.Verdict != nil {
			c.Score, c.Words = number(o.Verdict.Score), verdictWords(o.Verdict)
			for _, k := range o.Verdict.Checks {
				if page.Inside {
					c.Checks = append(c.Checks, check{Name: k.Name, Passed: k.Passed, Words: checkWords(k), Detail: k.Detail})
				}
			}
		}
		page.Candidates = append(page.Candidates, c)
	}
	page.Alternates = page.Alternates && len(held) > 1
	if len(held) > 0 {
		page.Primary = held[0].ID
	}
	if page.Alternates {
		page.Alternate = held[1].ID
	}
	return nil
}

// heldFile leads to the file of an output that waits.
func (d *Dashboard) heldFile(ctx context.Context, v *visit) error {
	h, err := v.cfg.Histories.History(ctx, v.organisation.ID, v.path("generation_id"))
	if err != nil {
		return err
	}
	if n := len(h.Reviews); n > 0 && h.Reviews[n-1].State == kinora.ReviewPending {
		held, err := v.cfg.Reviews.HeldOutputs(ctx, h.Generation.ID)
		if err != nil {
			return err
		}
		for i := range held {
			if held[i].ID == v.path("output_id") {
				return v.toPicture(held[i].BlobKey, held[i].Width, held[i].Height)
			}
		}
	}
	return kinora.Errorf(kinora.ErrNotFound, "there is no such file, or it does not wait for a review any more")
}

func (d *Dashboard) approve(ctx context.Context, v *visit) error {
	chosen := kinora.ReviewDecision{Reason: strings.TrimSpace(v.form("reason"))}
	if primary := v.form("primary"); primary != "" {
		chosen.Approve = []string{primary}
	}
	if alternate := v.form("alternate"); alternate != "" && len(chosen.Approve) > 0 {
		if alternate == chosen.Approve[0] {
			return v.showHeld(ctx, http.StatusUnprocessableEntity, chosen, map[string]string{"alternate": "Primary and alternate are the same output: choose another one, or none."})
		}
		chosen.Approve = append(chosen.Approve, alternate)
	}
	return v.decide(ctx, chosen)
}

func (d *Dashboard) reject(ctx context.Context, v *visit) error {
	return v.decide(ctx, kinora.ReviewDecision{Reject: true, Reason: strings.TrimSpace(v.form("reason"))})
}

// decide carries a decision out and goes on to the next generation that waits. Who comes too late is told who was quicker.
func (v *visit) decide(ctx context.Context, what kinora.ReviewDecision) error {
	id := v.path("generation_id")
	if _, _, err := v.cfg.Generations.Generation(ctx, v.organisation.ID, id); err != nil { // whose it is; reviews are found by id alone
		return err
	}
	what.By = v.who.Person.Email
	if v.asOperator() { // admins read it; operators find who it was in the audit log
		what.By = operatorName
	}
	shown, err := strconv.Atoi(v.form("round")) // the page counts from 1
	if err != nil {
		return kinora.Errorf(kinora.ErrInvalid, "this form does not say which round it is about; reload the page and try again")
	}
	round := shown - 1
	what.Round = &round
	g, r, err := v.cfg.Reviews.Decide(ctx, id, what)
	switch kinora.CodeOf(err) {
	case "":
		return v.onwards(ctx, r, ui.Good, outcome(g, r))
	case kinora.ErrConflict:
		return v.tooLate(ctx, id, err)
	case kinora.ErrInvalid:
		return v.showHeld(ctx, http.StatusUnprocessableEntity, what, errorsAt(err, "reason"))
	}
	return err
}

// outcome says what a decision has led to.
func outcome(g *kinora.Generation, r *kinora.Review) string {
	switch {
	case r.State == kinora.ReviewApproved && len(r.Outputs) > 1:
		return g.ID + " is approved: the primary output and an alternate are published."
	case r.State == kinora.ReviewApproved:
		return g.ID + " is approved: its primary output is published."
	case g.State.Terminal():
		return g.ID + " is rejected, and has failed: no round is left."
	}
	return g.ID + " is rejected; another round is being made."
}

func (v *visit) tooLate(ctx context.Context, id string, err error) error {
	all, failed := v.cfg.Reviews.Reviews(ctx, id)
	if failed != nil {
		return failed
	}
	if len(all) == 0 {
		return v.refused(v.here("reviews"), err)
	}
	last := all[len(all)-1]
	if last.State == kinora.ReviewPending { // of another round than the page showed
		return v.refused(v.here("reviews", id), err)
	}
	return v.onwards(ctx, last, ui.Warning, "Your decision on "+id+" came too late. "+decidedWords(last.State, last.DecidedBy)+" Nothing has changed.")
}

// decidedWords is who decided what.
func decidedWords(state kinora.ReviewState, by string) string {
	if by == operatorName {
		by = "An operator"
	}
	switch state {
	case kinora.ReviewApproved:
		return by + " has approved it."
	case kinora.ReviewRejected:
		return by + " has rejected it."
	case kinora.ReviewWithdrawn:
		return "The generation has been cancelled."
	}
	return "It waits for no review, or its files are gone."
}

// onwards goes to the next generation that waits, or to the queue where none does.
func (v *visit) onwards(ctx context.Context, r *kinora.Review, tone ui.Tone, words string) error {
	next, err := v.nextReview(ctx, r)
	if err != nil {
		return err
	}
	if next == "" {
		next = v.here("reviews")
	}
	v.note(tone, words)
	return v.redirect(next)
}

// liveReview tells whoever looks at a review that somebody else has decided it.
func (d *Dashboard) liveReview(ctx context.Context, v *visit) error {
	id := v.path("generation_id")
	if _, err := atPlace(ctx, v, func(ctx context.Context) (g *kinora.Generation, err error) {
		g, _, err = v.cfg.Generations.Generation(ctx, v.organisation.ID, id)
		return g, err
	}); err != nil {
		return err
	}
	return v.stream(ctx, func(ctx context.Context, out *live) error {
		for {
			all, err := look(ctx, out, func(ctx context.Context) ([]*kinora.Review, error) { return v.cfg.Reviews.Reviews(ctx, id) })
			if err != nil {
				return err
			}
			if len(all) == 0 || all[len(all)-1].State != kinora.ReviewPending {
				return v.sendDecided(ctx, out, all)
			}
			if err := out.rest(ctx, livePace); err != nil {
				return err
			}
		}
	})
}

func (v *visit) sendDecided(ctx context.Context, out *live, all []*kinora.Review) error {
	if len(all) > 0 {
		last := all[len(all)-1]
		next, err := look(ctx, out, func(ctx context.Context) (string, error) { return v.nextReview(ctx, last) })
		if err != nil {
			return err
		}
		if err := out.send(ctx, "", reviewOver(v.decided(last, next))); err != nil {
			return err
		}
	}
	return out.pause(ctx, farewell, nil)
}
