package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/kinora/kinora"
)

// Signing in and out, and the choice of colours, which everybody has.
func (d *Dashboard) signInRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/sign-in", who: anybody, handler: d.signInPage},
		{method: http.MethodPost, pattern: "/sign-in", who: anybody, handler: d.signIn},
		{method: http.MethodPost, pattern: "/sign-out", who: person, handler: d.signOut},
		{method: http.MethodPost, pattern: "/theme", who: anybody, handler: d.chooseTheme},
	}
}

// signInForm is the sign-in page.
type signInForm struct {
	Action string
	Next   string // where to go afterwards
	Email  string
	Error  string

	Provider, ProviderHref string // the identity provider's name and where it is reached; "" = none
}

func (d *Dashboard) signInPage(ctx context.Context, v *visit) error {
	if v.who != nil {
		return v.redirect(v.next())
	}
	return v.showSignIn(ctx, http.StatusOK, signInForm{Next: v.query("next")})
}

func (d *Dashboard) signIn(ctx context.Context, v *visit) error {
	email := strings.TrimSpace(v.form("email"))
	session, err := d.cfg.People.SignIn(ctx, email, v.form("password"), v.visitor())
	switch kinora.CodeOf(err) {
	case "":
		v.begin(session)
		return v.redirect(v.next())
	case kinora.ErrUnauthorized, kinora.ErrRateLimited, kinora.ErrInvalid:
		return v.showSignIn(ctx, failures[kinora.CodeOf(err)].status, signInForm{Next: v.form("next"), Email: email, Error: messageOf(err)})
	}
	return err
}

func (v *visit) showSignIn(ctx context.Context, status int, f signInForm) error {
	f.Action = v.link("sign-in")
	if p := v.cfg.Provider; p != nil && p.IdentityProvider() != "" {
		f.Provider = p.IdentityProvider()
		f.ProviderHref = address(v.link("oidc", "start"), url.Values{"next": {f.Next}})
	}
	return v.showBare(ctx, status, "Sign in", signInBody(f))
}

func (d *Dashboard) signOut(ctx context.Context, v *visit) error {
	if err := d.cfg.People.SignOut(ctx, v.session); err != nil {
		return err
	}
	v.forget()
	return v.redirect(v.link("sign-in"))
}

// chooseTheme keeps the choice in the browser: it belongs to the screen, not to the person.
func (d *Dashboard) chooseTheme(_ context.Context, v *visit) error {
	c := v.cookie(themeCookie, "", -1)
	if theme := v.form("theme"); theme == "light" || theme == "dark" {
		c = v.cookie(themeCookie, theme, 365*day)
	}
	http.SetCookie(v.w, c)
	return v.redirect(v.next())
}
