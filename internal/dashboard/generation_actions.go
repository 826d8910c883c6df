package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
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
	case kinora.ErrInvalid, kinora.ErrTooLarge, kinora.ErrRateLimited, kinora.ErrBudget, kinora.ErrNoUpstream:
		var e *kinora.Error
		if errors.As(err, &e) {
			return fieldErrors(err)
		}
	}
	return nil
}

// sentBefore says where to look for what a form may have asked for already, and where a new form is.
type sentBefore struct{ List, New string }

// keepToken has the form that posts to action keep the token that it was sent with, where that stands for another request: with a new
// one, the next press might pay for the same again.
func (v *visit) keepToken(action string) {
	v.kept = map[string]string{action: v.form(ui.OnceField)}
}

// sentBefore is what the form that posts to action has to say about its token; nil = nothing.
func (v *visit) sentBefore(action, anew string) *sentBefore {
	if v.kept[action] == "" {
		return nil
	}
	return &sentBefore{List: v.here("generations"), New: anew}
}

// onceKey is the idempotency key of the visit's form. What no form of ours has sent has none, and is refused: sent a second time, it would be
// paid for a second time.
func (v *visit) onceKey() (string, error) {
	once := v.form(ui.OnceField)
	if once == "" || len(once) > 64 {
		return "", kinora.Errorf(kinora.ErrInvalid, "this form lacks what tells it from others; open it anew and try again")
	}
	return "dashboard-" + once, nil
}
