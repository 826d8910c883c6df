package server

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// fakeReviews has two generations that wait; it decides on the first one, unless "late" does.
type fakeReviews struct{ err error }

func (f fakeReviews) PendingReviews(_ context.Context, organisationID string, after kinora.ReviewPosition, limit int) ([]*kinora.Review, error) {
	list := []*kinora.Review{
		{GenerationID: taskOne, OrganisationID: ownID, Round: 1, State: kinora.ReviewPending, CreatedAt: testTime},
		{GenerationID: generationTwo, OrganisationID: otherID, State: kinora.ReviewPending, CreatedAt: testTime.Add(time.Second)},
	}
	if after.GenerationID == taskOne && after.CreatedAt.Equal(testTime) {
		list = list[1:]
	}
	list = slices.DeleteFunc(list, func(r *kinora.Review) bool { return organisationID != "" && r.OrganisationID != organisationID })
	return list[:min(limit, len(list))], f.err
}

func (f fakeReviews) HeldOutputs(context.Context, string) ([]kinora.Output, error) {
	return []kinora.Output{{ID: "out_1", Kind: kinora.KindImage, State: kinora.OutputCandidate, ContentType: "image/png", BlobKey: "outputs/x.png",
		Verdict: &kinora.Verdict{Passed: true, Score: 0.75}}}, f.err
}

func (f fakeReviews) Decide(_ context.Context, generationID string, d kinora.ReviewDecision) (*kinora.Generation, *kinora.Review, error) {
	switch {
	case f.err != nil:
		return nil, nil, f.err
	case generationID != taskOne:
		return nil, nil, kinora.Errorf(kinora.ErrNotFound, "generation not found")
	case d.By == "late":
		return nil, nil, kinora.Errorf(kinora.ErrConflict, "the generation waits for no review")
	case d.Round != nil && *d.Round != 1:
		return nil, nil, kinora.Errorf(kinora.ErrConflict, "another round of the generation waits for a review now")
	}
	r := &kinora.Review{GenerationID: taskOne, OrganisationID: ownID, State: kinora.ReviewApproved, Outputs: d.Approve, Reason: d.Reason, DecidedBy: d.By, CreatedAt: testTime, DecidedAt: testTime}
	g := &kinora.Generation{ID: taskOne, State: kinora.GenerationSucceeded}
	if d.Reject {
		r.State, g.State = kinora.ReviewRejected, kinora.GenerationFailed
	}
	return g, r, nil
}

func TestAdminReviews(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Reviews = fakeReviews{} })
	page := func(query string) (p reviewPage) {
		t.Helper()
		status, answer := f.admin("GET", "/admin/v1/reviews"+query, "")
		if err := json.Unmarshal([]byte(answer), &p); status != 200 || err != nil {
			t.Fatalf("%d %s", status, answer)
		}
		return p
	}
	first := page("?limit=1")
	if len(first.Reviews) != 1 || first.Reviews[0].GenerationID != taskOne || first.NextCursor == nil {
		t.Fatalf("%+v", first)
	}
	if c := first.Reviews[0].Candidates; len(c) != 1 || c[0].Verdict.Score != 0.75 || !strings.Contains(c[0].URL, "outputs/x.png") {
		t.Errorf("%+v", c)
	}
	if second := page("?limit=1&cursor=" + *first.NextCursor); len(second.Reviews) != 1 || second.Reviews[0].GenerationID != generationTwo || second.NextCursor != nil {
		t.Errorf("%+v", second)
	}
	if own := page("?organisation_id=" + otherID); len(own.Reviews) != 1 || own.Reviews[0].GenerationID != generationTwo {
		t.Errorf("of one organisation: %+v", own)
	}
	const decide = "/admin/v1/reviews/" + taskOne + "/decide"
	for body, want := range map[string]string{
		`{"decision":"approve","outputs":["out_2","out_1"],"by":"ana"}`: `"outputs":["out_2","out_1"]`,
		`{"decision":"reject","reason":"blurred","by":"ana"}`:           `"generation_state":"failed"`,
		`{"decision":"approve","by":"ana","round":1}`:                   `"generation_state":"succeeded"`,
	} {
		if status, answer := f.admin("POST", decide, body); status != 200 || !strings.Contains(answer, want) || !strings.Contains(answer, `"decided_by":"ana"`) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	for body, want := range map[string]int{`{"by":"ana"}`: 400, `{"decision":"approve","by":"late"}`: 409,
		`{"decision":"approve","by":"ana","round":0}`: 409, `{"decision":"approve","by":"ana","round":-1}`: 400, "{\"decision\":\"approve\",\"by\":\"a\\u0000\"}": 400} {
		if status, answer := f.admin("POST", decide, body); status != want {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	if w := f.do("GET", "/admin/v1/reviews", "", key(testKey)); w.Code != 401 {
		t.Errorf("with an organisation's key: %d", w.Code)
	}
}
