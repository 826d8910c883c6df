package dashboard

import (
	"context"
	"net/http"
	"net/url"

	"github.com/kinora/kinora"
)

// IdentityProvider signs persons in elsewhere.
type IdentityProvider interface {
	// IdentityProvider is its name as the button says it; "" = none is configured.
	IdentityProvider() string
	// OIDCStart tells where to send the browser, and what it has to keep meanwhile. Errors: kinora.ErrNotFound,
	// kinora.ErrUnavailable.
	OIDCStart(ctx context.Context, returnTo string) (redirectURL, cookie string, err error)
	// OIDCFinish opens a session for whoever comes back, and tells which page was wanted. Errors: kinora.ErrUnauthorized,
	// kinora.ErrForbidden, kinora.ErrNotFound, kinora.ErrUnavailable.
	OIDCFinish(ctx context.Context, cookie string, query url.Values, v kinora.Visitor) (session, returnTo string, err error)
}

// journeyLife is how long somebody may be at the identity provider, in seconds.
const journeyLife = 10 * 60

// Signing in by an identity provider. It begins with a link and not with a form: browsers hold the policy for forms against
// where they are led on to, which is another site.
func (d *Dashboard) providerRoutes() []route {
	if d.cfg.Provider == nil {
		return nil
	}
	return []route{
		{method: http.MethodGet, pattern: "/oidc/start", who: anybody, handler: d.leaveForProvider},
		{method: http.MethodGet, pattern: "/oidc/callback", who: anybody, handler: d.backFromProvider},
	}
}

func (d *Dashboard) leaveForProvider(ctx context.Context, v *visit) error {
	to, journey, err := d.cfg.Provider.OIDCStart(ctx, localPage(v.query("next")))
	if err != nil {
		return err
	}
	http.SetCookie(v.w, v.cookie(journeyCookie, journey, journeyLife))
	return v.redirect(to)
}

func (d *Dashboard) backFromProvider(ctx context.Context, v *visit) error {
	journey := ""
	if c, err := v.r.Cookie(v.cookieName(journeyCookie)); err == nil {
		journey = c.Value
	}
	http.SetCookie(v.w, v.cookie(journeyCookie, "", -1))
	session, returnTo, err := d.cfg.Provider.OIDCFinish(ctx, journey, v.r.URL.Query(), v.visitor())
	switch kinora.CodeOf(err) {
	case "":
		v.begin(session)
		return v.redirect(v.base + localPage(returnTo))
	case kinora.ErrUnauthorized, kinora.ErrForbidden:
		return v.showSignIn(ctx, failures[kinora.CodeOf(err)].status, signInForm{Error: messageOf(err)})
	}
	return err
}
