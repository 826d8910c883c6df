package dashboard

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// visit is one request on its way through, and how it is answered.
type visit struct {
	*Dashboard
	w         http.ResponseWriter
	r         *http.Request
	route     *route
	requestID string

	who     *kinora.SignedIn // nil = nobody is signed in
	session string           // token of his session

	organisation *kinora.Organisation // that the path is about; nil = none
	role         kinora.Role          // of who in it

	kept map[string]string // tokens that forms of the answer keep: see keepToken
}

// errAnswered stands for an answer that has been written.
var errAnswered = errors.New("answered")

func (v *visit) headers() {
	h := v.w.Header()
	h.Set("Content-Security-Policy", v.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	// Other sites are told nothing: addresses of pages may have a token in them. Without any referrer browsers would send forms with
	// "Origin: null", and over plain http nothing else tells then that a form is ours.
	h.Set("Referrer-Policy", "same-origin")
	if v.secure || ownMachine(v.r.Host) { // browsers obey it nowhere else, and complain
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Cookie, HX-Request")
}

// ownMachine tells whether the host of an address is the browser's own machine, which browsers trust without https.
func ownMachine(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

// isPart tells whether a script asks for a part of a page.
func (v *visit) isPart() bool { return v.r.Header.Get("HX-Request") == "true" }

// form is a posted field, as it was typed: the services say what they do not take.
func (v *visit) form(name string) string { return v.r.PostFormValue(name) }

// given is what a page's address says, or the form that the page has posted.
func (v *visit) given(name string) string {
	if v.r.Method == http.MethodPost {
		return v.form(name)
	}
	return v.r.URL.Query().Get(name)
}

// query is a parameter of the address.
func (v *visit) query(name string) string { return storable(v.r.URL.Query().Get(name)) }

// storable is a text with all replaced in it that not every database can keep, so that it matches nothing: PostgreSQL refuses NUL
// and what is no UTF-8.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// path is a value of the route's pattern.
func (v *visit) path(name string) string { return v.r.PathValue(name) }

// here is a page of the organisation that the visit is about.
func (v *visit) here(segments ...string) string {
	return v.link(append([]string{"o", v.organisation.ID}, segments...)...)
}

// mayOpen tells whether a page of the organisation is served and for who asks, by its pattern.
func (v *visit) mayOpen(pattern string) bool {
	for i := range v.routes {
		if rt := &v.routes[i]; rt.pattern == pattern && rt.method == http.MethodGet {
			return v.role.Covers(rt.who.role())
		}
	}
	return false
}

// show answers with a whole page in its frame.
func (v *visit) show(ctx context.Context, title string, body templ.Component) error {
	return v.showAs(ctx, http.StatusOK, title, body)
}

// showAs is show with another status than 200, such as 422 for a form with mistakes.
func (v *visit) showAs(ctx context.Context, status int, title string, body templ.Component) error {
	doc := v.document(title)
	if v.who == nil {
		return v.draw(ctx, status, within(ui.Bare(doc), body))
	}
	frame, err := v.frame(ctx, doc)
	if err != nil {
		return err
	}
	return v.draw(ctx, status, within(ui.Framed(frame), body))
}

// showOnce is show for what cannot be shown again, such as a key that has just been made: where the frame cannot be read, it is shown
// without one. It must be called with a body that needs nothing more to be read.
func (v *visit) showOnce(ctx context.Context, title string, body templ.Component) error {
	doc := v.document(title)
	around := ui.Bare(doc)
	if frame, err := v.frame(ctx, doc); err == nil {
		around = ui.Framed(frame)
	} else {
		v.logFailure(ctx, http.StatusOK, err)
	}
	return v.draw(ctx, http.StatusOK, within(around, body))
}

// showBare shows a page in the frame of those who are not signed in.
func (v *visit) showBare(ctx context.Context, status int, title string, body templ.Component) error {
	return v.draw(ctx, status, within(ui.Bare(v.document(title)), body))
}

// part answers with a part of a page, for a script that puts it in its place.
func (v *visit) part(ctx context.Context, c templ.Component) error {
	return v.draw(ctx, http.StatusOK, c)
}

// draw writes nothing before all is drawn, so that a failure becomes a page of its own.
func (v *visit) draw(ctx context.Context, status int, c templ.Component) error {
	var buf bytes.Buffer
	if err := c.Render(v.setting(ctx), &buf); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(buf.Bytes()) // an error means that the browser has gone
	return nil
}

func (v *visit) setting(ctx context.Context) context.Context {
	s := ui.Setting{Now: v.now(), Kept: v.kept}
	if v.who != nil {
		s.FormToken = v.who.FormToken
	}
	return ui.With(ctx, s)
}

// within draws body as the children of frame.
func within(frame, body templ.Component) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		return frame.Render(templ.WithChildren(ctx, body), w)
	})
}

// redirect sends the browser to another page, which it gets rather than posts to.
func (v *visit) redirect(to string) error {
	if v.isPart() {
		v.w.Header().Set("HX-Redirect", to)
		v.w.WriteHeader(http.StatusOK)
		return errAnswered
	}
	v.w.Header().Set("Location", to)
	v.w.WriteHeader(http.StatusSeeOther)
	return errAnswered
}

// done says on the page that comes next what has been done, and goes there.
func (v *visit) done(to, text string) error {
	v.note(ui.Good, text)
	return v.redirect(to)
}

// refused says on the page that comes next why something has not been done, and goes there. What nobody should see, and
// what is not there, has a page of its own.
func (v *visit) refused(to string, err error) error {
	switch kinora.CodeOf(err) {
	case kinora.ErrInvalid, kinora.ErrConflict, kinora.ErrTooLarge, kinora.ErrRateLimited, kinora.ErrBudget, kinora.ErrNoUpstream:
		v.note(ui.Danger, messageOf(err))
		return v.redirect(to)
	}
	return err
}

// note keeps a message for the page that the browser gets next. It travels in a cookie, and is shown as text.
func (v *visit) note(tone ui.Tone, text string) {
	const most = 1000 // of a cookie's 4096 bytes
	if len(text) > most {
		text = text[:most]
	}
	raw, _ := json.Marshal(ui.Flash{Tone: tone, Text: text}) // marshals any string
	http.SetCookie(v.w, v.cookie(flashCookie, base64.RawURLEncoding.EncodeToString(raw), 60))
}

// flash takes the message that was kept for this page; nil = none.
func (v *visit) flash() *ui.Flash {
	c, err := v.r.Cookie(v.cookieName(flashCookie))
	if err != nil || v.isPart() || v.r.Method != http.MethodGet {
		return nil
	}
	http.SetCookie(v.w, v.cookie(flashCookie, "", -1))
	raw, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return nil
	}
	var f ui.Flash
	if json.Unmarshal(raw, &f) != nil || f.Text == "" {
		return nil
	}
	switch f.Tone {
	case ui.Neutral, ui.Info, ui.Good, ui.Warning, ui.Danger:
		return &f
	}
	return nil
}

// address is path with those parameters that are not empty.
func address(path string, params url.Values) string {
	kept := url.Values{}
	for name, values := range params {
		for _, value := range values {
			if value != "" {
				kept.Add(name, value)
			}
		}
	}
	if len(kept) == 0 {
		return path
	}
	return path + "?" + kept.Encode()
}
