package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/kinora/kinora"
)

// generationActions are what can be done now; empty paths cannot.
type generationActions struct {
	Cancel     string
	Regenerate string
	Playground string
}

func (v *visit) generationActions(g *kinora.Generation) generationActions {
	a := generationActions{Playground: v.openIn(g)}
	if !g.State.Terminal() {
		a.Cancel = v.here("generations", g.ID, "cancel")
	}
	if regenerable(g) {
		a.Regenerate = v.here("generations", g.ID, "regenerate")
	}
	return a
}

// regenerable tells whether the API would make a generation anew: those of a workflow whose source there is, or may be by now.
func regenerable(g *kinora.Generation) bool {
	return g.Request != nil && g.State != kinora.GenerationIngesting && (g.SourceAssetID != "" || g.AwaitedAssetID != "")
}

func (d *Dashboard) cancelGeneration(ctx context.Context, v *visit) error {
	id := v.path("generation_id")
	to := v.here("generations", id)
	if _, err := v.cfg.Histories.Cancel(ctx, v.organisation.ID, id); err != nil {
		return v.refused(to, err)
	}
	return v.done(to, "The generation has been cancelled.")
}

// showRecord shows a generation as the API answers with it.
func (d *Dashboard) showRecord(ctx context.Context, v *visit) error {
	id := v.path("generation_id")
	body, err := v.call(ctx, http.MethodGet, "/api/v1/generations/"+url.PathEscape(id), "", nil)
	if err != nil {
		return err
	}
	return v.show(ctx, id+" as JSON", recordBody(recordPage{ID: id, List: v.here("generations"), Page: v.here("generations", id), JSON: indented(body)}))
}

type recordPage struct {
	ID, List, Page, JSON string
}

// refusedFields is what a person can do something about, by field; nil for any other error.
func refusedFields(err error) map[string]string {
	switch kinora.CodeOf(err) {
	case kinora.ErrInvalid, kinora.ErrConflict, kinora.ErrTooLarge, kinora.ErrRateLimited, kinora.ErrBudget, kinora.ErrNoUpstream:
		var e *kinora.Error
		if errors.As(err, &e) {
			return fieldErrors(err)
		}
	}
	return nil
}

// onceKey is a form's idempotency key; empty, and so refused, for what no form of ours has sent.
func onceKey(once string) string {
	if once == "" || len(once) > 64 {
		return ""
	}
	return "dashboard-" + once
}
