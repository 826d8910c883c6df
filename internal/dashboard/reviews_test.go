package dashboard

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// fakeReviews is a queue that tests change. What is decided leaves it.
type fakeReviews struct {
	list    []*kinora.Review // all of them, oldest first
	held    map[string][]kinora.Output
	decided []kinora.ReviewDecision
	asked   []string // organisations whose queues were read

	generations map[string]*kinora.Generation
	heldAsked   int // how often several were asked for
}

func (f *fakeReviews) PendingReviews(_ context.Context, organisationID string, after kinora.ReviewPosition, limit int) (found []*kinora.Review, _ error) {
	f.asked = append(f.asked, organisationID)
	for _, r := range f.list {
		behind := r.CreatedAt.After(after.CreatedAt) || r.CreatedAt.Equal(after.CreatedAt) && r.GenerationID > after.GenerationID
		if r.State == kinora.ReviewPending && r.OrganisationID == organisationID && behind && len(found) < limit {
			found = append(found, r)
		}
	}
	return found, nil
}

func (f *fakeReviews) Reviews(_ context.Context, id string) (found []*kinora.Review, _ error) {
	for _, r := range f.list {
		if r.GenerationID == id {
			found = append(found, r)
		}
	}
	return found, nil
}

func (f *fakeReviews) HeldOutputs(_ context.Context, id string) ([]kinora.Output, error) {
	return f.held[id], nil
}

func (f *fakeReviews) HeldGenerations(_ context.Context, organisationID string, ids []string) (list []kinora.HeldGeneration, _ error) {
	f.heldAsked++
	for _, id := range ids {
		if g := f.generations[id]; g != nil && g.OrganisationID == organisationID {
			list = append(list, kinora.HeldGeneration{Generation: g, Outputs: f.held[id]})
		}
	}
	return list, nil
}

func (f *fakeReviews) Decide(_ context.Context, id string, d kinora.ReviewDecision) (*kinora.Generation, *kinora.Review, error) {
	all, _ := f.Reviews(context.Background(), id)
	r := all[len(all)-1]
	if r.State != kinora.ReviewPending {
		return nil, nil, kinora.Errorf(kinora.ErrConflict, "the generation waits for no review")
	}
	if len([]rune(d.Reason)) > maxReviewReason {
		return nil, nil, kinora.FieldErrorf(kinora.ErrInvalid, "reason", "reason must have at most %d characters", maxReviewReason)
	}
	f.decided = append(f.decided, d)
	r.State, r.DecidedBy, r.Reason, r.Outputs = kinora.ReviewApproved, d.By, d.Reason, d.Approve
	g := &kinora.Generation{ID: id, State: kinora.GenerationSucceeded}
	if d.Reject {
		r.State, g.State = kinora.ReviewRejected, kinora.GenerationRunning
	}
	return g, r, nil
}

const heldOne, heldTwo = "job_01J00000000000000000000001", "job_01J00000000000000000000002"

// hold puts two generations of north into the queue.
func (s *stand) hold() {
	began := time.Now().Add(-time.Hour)
	s.reviews.held, s.reviews.generations = map[string][]kinora.Output{}, map[string]*kinora.Generation{}
	var all []kinora.Generation
	for i, id := range []string{heldOne, heldTwo} {
		g := kinora.Generation{ID: id, OrganisationID: north, Model: "m", State: kinora.GenerationRunning, Input: kinora.Input{Prompt: "<b>bold</b>"},
			SourceAssetID: "src_1", Plan: kinora.Plan{Rounds: 2, Publish: 2, Review: true}, Request: &kinora.WorkflowRequest{Workflow: "shop", StylePreset: "<i>"}}
		r := &kinora.Review{GenerationID: id, OrganisationID: north, State: kinora.ReviewPending, CreatedAt: began.Add(time.Duration(i) * time.Minute)}
		s.reviews.list = append(s.reviews.list, r)
		for n, score := range []float64{0.93, 0.71} {
			s.reviews.held[id] = append(s.reviews.held[id], kinora.Output{ID: "out_" + id + string(rune('a'+n)), GenerationID: id, State: kinora.OutputCandidate, ContentType: "image/png",
				BlobKey: "outputs/" + id + string(rune('a'+n)) + ".png", Width: 800, Height: 600, Verdict: &kinora.Verdict{Passed: true, Score: score, Checks: []kinora.Check{{Name: "structure", Passed: true, Value: 0.6}}}})
		}
		s.histories.set(kinora.History{Generation: &g, Outputs: s.reviews.held[id], Reviews: []*kinora.Review{r}, Source: &kinora.SourceAsset{State: kinora.AssetReady, BlobKey: "sources/1.jpg", ContentType: "image/jpeg", Width: 800, Height: 600}})
		all = append(all, g)
		s.reviews.generations[id] = &g
	}
	s.generations.set(all...)
}

func TestTheQueueOfReviews(t *testing.T) {
	s := newStand(t, nil)
	has(t, s.page(t, "admin", "/reviews"), "Nothing waits for a review")
	s.hold()
	body := s.page(t, "admin", "/reviews")
	has(t, body, heldOne, heldTwo, "best score 0.93", "shop", "Start reviewing", "&lt;i&gt;")
	if strings.Index(body, "review-"+heldOne) > strings.Index(body, "review-"+heldTwo) {
		t.Error("the one that waits longest does not stand first")
	}
	if slices.ContainsFunc(s.reviews.asked, func(id string) bool { return id != north }) {
		t.Errorf("queues read: %q", s.reviews.asked)
	}
	if s.reviews.heldAsked > 2 {
		t.Errorf("two pages asked %d times for what is held", s.reviews.heldAsked)
	}
}

func TestAReviewIsDecided(t *testing.T) {
	s := newStand(t, nil)
	s.hold()
	page := "/dashboard/o/" + north + "/reviews/"
	body := s.page(t, "admin", "/reviews/"+heldOne)
	has(t, body, "1 of 2", "score 0.93", "score 0.71", "&lt;b&gt;bold", "/reviews/"+heldOne+"/outputs/out_"+heldOne+"a", "/generations/"+heldOne+"/source", `data-key="j"`)
	if strings.Contains(body, "What was measured") || !strings.Contains(s.page(t, "operator", "/reviews/"+heldOne), "What was measured") {
		t.Error("what was measured is for operators alone")
	}
	file := s.ask("admin", page+heldOne+"/outputs/out_"+heldOne+"b", nil)
	if file.Code != http.StatusFound || file.Header().Get("Location") != "http://kinora.test/files/outputs/"+heldOne+"b.png?signed" {
		t.Errorf("the file of a candidate: %d %s", file.Code, file.Header().Get("Location"))
	}
	// The page has small pictures; the whole files are for the large view.
	has(t, body, `<img src="`+page+heldOne+"/outputs/out_"+heldOne+`a?size=small"`, `class="compare-under" loading="lazy" src="`+page+heldOne+"/outputs/out_"+heldOne+`a"`,
		"/generations/"+heldOne+`/source?size=small" alt="Source"`)
	small := s.ask("admin", page+heldOne+"/outputs/out_"+heldOne+"b?size=small", nil)
	if small.Code != http.StatusFound || small.Header().Get("Location") != "http://kinora.test/files/previews/outputs/"+heldOne+"b.png" {
		t.Errorf("the small picture of a candidate: %d %s", small.Code, small.Header().Get("Location"))
	}
	if got := s.ask("admin", page+heldOne+"/outputs/out_"+heldTwo+"a", nil); got.Code != http.StatusNotFound {
		t.Errorf("another generation's file: %d", got.Code)
	}

	same := s.post("admin", "/reviews/"+heldOne+"/approve", "round", "1", "primary", "out_"+heldOne+"b", "alternate", "out_"+heldOne+"b")
	if same.Code != http.StatusUnprocessableEntity || !strings.Contains(same.Body.String(), "alternate-error") {
		t.Errorf("one output twice: %d", same.Code)
	}
	long := s.post("admin", "/reviews/"+heldOne+"/reject", "round", "1", "reason", strings.Repeat("é", maxReviewReason+1))
	if long.Code != http.StatusUnprocessableEntity || !strings.Contains(long.Body.String(), `id="field-reason-error"`) {
		t.Errorf("a reason that is too long: %d", long.Code)
	}
	got := s.post("admin", "/reviews/"+heldOne+"/approve", "round", "1", "primary", "out_"+heldOne+"b", "alternate", "out_"+heldOne+"a", "reason", " warmer ")
	if got.Code != http.StatusSeeOther || got.Header().Get("Location") != page+heldTwo {
		t.Fatalf("approved: %d, then %s", got.Code, got.Header().Get("Location"))
	}
	if d := s.reviews.decided[0]; d.By != "admin@example.com" || d.Reason != "warmer" || !slices.Equal(d.Approve, []string{"out_" + heldOne + "b", "out_" + heldOne + "a"}) {
		t.Errorf("%+v", d)
	}

	if d := s.reviews.decided[0]; d.Round == nil || *d.Round != 0 {
		t.Errorf("decided on round %v", d.Round)
	}
	for _, round := range []string{"", "x"} {
		if got := s.post("owner", "/reviews/"+heldTwo+"/reject", "round", round); got.Code != http.StatusBadRequest && got.Code != http.StatusUnprocessableEntity || len(s.reviews.decided) != 1 {
			t.Errorf("a decision that does not say on which round (%q): %d", round, got.Code)
		}
	}

	// Another reviewer had the page open, too.
	late := s.post("owner", "/reviews/"+heldOne+"/reject", "round", "1", "reason", "too dark")
	if late.Code != http.StatusSeeOther || late.Header().Get("Location") != page+heldTwo || len(s.reviews.decided) != 1 {
		t.Fatalf("the second one: %d, then %s", late.Code, late.Header().Get("Location"))
	}
	r, _ := http.NewRequest(http.MethodGet, "http://kinora.test"+page+heldTwo, nil)
	r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "owner"})
	for _, c := range late.Result().Cookies() {
		r.AddCookie(c)
	}
	has(t, s.send(r).Body.String(), "came too late. admin@example.com has approved it.")
	has(t, s.page(t, "owner", "/reviews/"+heldOne), "admin@example.com has approved it", "warmer", page+heldTwo)
	if got := s.ask("admin", page+heldOne+"/outputs/out_"+heldOne+"b", nil); got.Code != http.StatusNotFound {
		t.Errorf("the file of a candidate that waits no more: %d", got.Code)
	}

	last := s.post("owner", "/reviews/"+heldTwo+"/reject", "round", "1")
	s.hold()
	if s.post("operator", "/reviews/"+heldOne+"/reject", "round", "1"); s.reviews.decided[len(s.reviews.decided)-1].By != operatorName {
		t.Errorf("an operator who does not belong here decided as %q", s.reviews.decided[len(s.reviews.decided)-1].By)
	}
	if last.Code != http.StatusSeeOther || last.Header().Get("Location") != "/dashboard/o/"+north+"/reviews" {
		t.Errorf("the last one: %d, then %s", last.Code, last.Header().Get("Location"))
	}
}
