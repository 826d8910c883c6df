package dashboard

import (
	"context"
	"net/http"
	"strings"

	"github.com/kinora/kinora"
)

// What a person may do about an attempt. Whether it can be done is decided by the lifecycle.
func (d *Dashboard) attemptActionRoutes() []route {
	const one = operatorPath + "/attempts/{attempt_id}"
	return []route{
		{method: http.MethodPost, pattern: one + "/look", who: operator, handler: d.lookNow},
		{method: http.MethodPost, pattern: one + "/cancel", who: operator, handler: d.cancelAttempt},
		{method: http.MethodPost, pattern: one + "/give-up", who: operator, handler: d.giveUp},
		{method: http.MethodPost, pattern: one + "/settle", who: operator, handler: d.settleAttempt},
	}
}

// maxReason bounds what is kept of why an attempt was given up, in characters.
const maxReason = 300

// attemptPlace is the page of the attempt that the path names.
func (v *visit) attemptPlace() string {
	return v.link("operator", "attempts", v.path("attempt_id"))
}

func (d *Dashboard) lookNow(ctx context.Context, v *visit) error {
	to := v.attemptPlace()
	if v.form("list") != "" {
		to = v.link("operator", "attempts")
	}
	a, err := v.cfg.Operating.LookNow(ctx, v.path("attempt_id"))
	if err != nil {
		return v.refused(to, err)
	}
	return v.done(to, "The next step of "+a.ID()+" is being taken.")
}

func (d *Dashboard) cancelAttempt(ctx context.Context, v *visit) error {
	g, err := v.cfg.Operating.CancelAttempt(ctx, v.path("attempt_id"))
	if err != nil {
		return v.refused(v.attemptPlace(), err)
	}
	return v.done(v.attemptPlace(), "The generation "+g.ID+" has been cancelled.")
}

func (d *Dashboard) giveUp(ctx context.Context, v *visit) error {
	reason := strings.TrimSpace(v.form("reason"))
	if beginning(reason, maxReason) != reason || strings.ContainsRune(reason, 0) {
		return v.refused(v.attemptPlace(), kinora.Errorf(kinora.ErrInvalid, "the reason must be text of at most %d characters", maxReason))
	}
	if _, err := v.cfg.Operating.GiveUp(ctx, v.path("attempt_id"), reason); err != nil {
		return v.refused(v.attemptPlace(), err)
	}
	return v.done(v.attemptPlace(), "The attempt has been given up.")
}

func (d *Dashboard) settleAttempt(ctx context.Context, v *visit) error {
	form := settleForm{ID: strings.TrimSpace(v.form("upstream_id"))}
	settled, err := v.cfg.Operating.SettleByHand(ctx, v.path("attempt_id"), form.ID)
	switch code := kinora.CodeOf(err); code {
	case "":
	case kinora.ErrConflict: // the form may be gone: its job is known meanwhile
		return v.refused(v.attemptPlace(), err)
	case kinora.ErrInvalid, kinora.ErrUnavailable:
		form.Error = messageOf(err)
		return d.showAttempt(ctx, v, failures[code].status, form)
	default:
		return err
	}
	if settled.Watched {
		return v.done(v.attemptPlace(), "The upstream knows the job. The attempt is watched as usual now.")
	}
	return v.done(v.attemptPlace(), "The job’s id is kept for the upstream’s bill, and the upstream was asked to stop it. The attempt’s end stays as it was.")
}

// moneyAtStake says what ending an attempt may cost at the upstream, by what is known of it.
func moneyAtStake(a operatedAttempt) string {
	switch {
	case a.UpstreamID != "":
		return "The upstream has the job and is asked to stop it; it may bill it all the same."
	case a.State == kinora.AttemptSubmitting || a.State == kinora.AttemptUnsettled:
		return "Whether the upstream has the job is not known: it may run there to its end, and be billed."
	}
	return "No upstream has taken it: nothing is billed."
}
