package dashboard

import (
	"context"
	"crypto/subtle"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// cookieName is a cookie's whole name. The prefix binds it to this very host, which browsers do on https alone.
func (d *Dashboard) cookieName(name string) string {
	if d.secure {
		return "__Host-kinora_" + name
	}
	return "kinora_" + name
}

// cookie makes one that no script and no other site's form can use; age in seconds, negative = it is removed, 0 = it ends
// with the browser.
func (d *Dashboard) cookie(name, value string, age int) *http.Cookie {
	return &http.Cookie{Name: d.cookieName(name), Value: value, Path: "/", MaxAge: age, Secure: d.secure, HttpOnly: true,
		SameSite: http.SameSiteLaxMode}
}

const (
	sessionCookie = "session"
	flashCookie   = "flash"
	journeyCookie = "journey"
	themeCookie   = "theme"

	day = 24 * 60 * 60
)

// recognise finds out whose session the request carries. An old or foreign one is as none.
func (v *visit) recognise(ctx context.Context) error {
	c, err := v.r.Cookie(v.cookieName(sessionCookie))
	if err != nil || c.Value == "" {
		return nil
	}
	find := v.cfg.People.Session
	if v.route.streams { // which an open page keeps up by itself, whether or not anybody looks at it
		find = v.cfg.People.PeekSession
	}
	who, err := find(ctx, c.Value)
	switch kinora.CodeOf(err) {
	case "":
		v.who, v.session = who, c.Value
		return nil
	case kinora.ErrUnauthorized:
		return nil
	}
	return err
}

// begin puts a session into the browser.
func (v *visit) begin(session string) {
	// The server decides when a session ends; the cookie only has to outlive it.
	http.SetCookie(v.w, v.cookie(sessionCookie, session, 60*day))
}

func (v *visit) forget() { http.SetCookie(v.w, v.cookie(sessionCookie, "", -1)) }

// visitor is who knocks.
func (v *visit) visitor() kinora.Visitor {
	return kinora.Visitor{Address: v.cfg.ClientAddress(v.r), UserAgent: v.r.UserAgent()}
}

// askToSignIn sends the browser to the sign-in page, and from there back to where it wanted to go.
func (v *visit) askToSignIn() error {
	to := v.link("sign-in")
	if v.r.Method == http.MethodGet && !v.route.streams && !v.isPart() {
		to += "?" + url.Values{"next": {v.r.URL.RequestURI()}}.Encode()
	}
	if strings.Contains(v.r.Header.Get("Accept"), "text/event-stream") { // an address that a reader of events would follow
		v.w.WriteHeader(http.StatusNoContent)
		return errAnswered
	}
	return v.redirect(to)
}

// next is where to go after signing in.
func (v *visit) next() string { return v.base + localPage(v.given("next")) }

// localPage is a page of the dashboard, without the path that a proxy takes off; the first one for whatever would lead elsewhere.
func localPage(text string) string {
	u, err := url.Parse(text)
	local := err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && !strings.ContainsAny(text, "\\\r\n\t") &&
		(u.Path == Prefix || strings.HasPrefix(u.Path, Prefix+"/")) && path.Clean(u.Path) == strings.TrimRight(u.Path, "/")
	if !local {
		return Prefix
	}
	return u.RequestURI()
}

// checkForm makes sure that a posted form is one of ours and of this session. That no other site has sent it has been seen to
// before (net/http.CrossOriginProtection); this one holds where a browser tells nothing of where a form comes from.
func (v *visit) checkForm() error {
	if v.r.Method != http.MethodPost {
		return nil
	}
	if err := v.readForm(); err != nil {
		return err
	}
	if v.route.who == anybody {
		return nil
	}
	given := v.r.Header.Get(ui.TokenHeader)
	if given == "" {
		given = v.r.PostFormValue(ui.TokenField)
	}
	if v.who.FormToken == "" || subtle.ConstantTimeCompare([]byte(given), []byte(v.who.FormToken)) != 1 {
		return kinora.Errorf(kinora.ErrForbidden, "this form is from an earlier session; go back, reload the page and try again")
	}
	return nil
}

func (v *visit) readForm() error {
	most := v.route.body
	if most == 0 {
		most = maxForm
	}
	return v.receive(most, func() error {
		if kind, _, _ := mime.ParseMediaType(v.r.Header.Get("Content-Type")); kind == "multipart/form-data" {
			return v.r.ParseMultipartForm(formMemory)
		}
		return v.r.ParseForm()
	})
}

// forgetFiles removes what a posted form has left on the disk. The server does so for the request that it has made itself, and
// this one is a copy of it.
func (v *visit) forgetFiles() {
	if v.r.MultipartForm != nil {
		_ = v.r.MultipartForm.RemoveAll() // what cannot be removed is the system's to clean up
	}
}

// crossOrigin answers forms that another site has sent.
func (d *Dashboard) crossOrigin(w http.ResponseWriter, r *http.Request) {
	refuse := &route{handler: func(context.Context, *visit) error {
		return kinora.Errorf(kinora.ErrForbidden, "this request came from another site")
	}}
	get := r.Clone(r.Context())
	get.Method = http.MethodGet // a body is not read then: see serve
	d.serve(refuse, w, get)
}
