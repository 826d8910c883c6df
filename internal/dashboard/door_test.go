package dashboard

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// unread is a body of which nothing may be read.
type unread struct{ t *testing.T }

func (b unread) Read([]byte) (int, error) {
	b.t.Helper()
	b.t.Error("the body is read")
	return 0, io.ErrUnexpectedEOF
}

// What is no form of ours is not read, whoever sends it: its size has no bound.
func TestOnlyFormsAreRead(t *testing.T) {
	s := newStand(t, nil)
	s.Drain() // streams end at once
	ask := func(name, method, path, who, from string) {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(method, "http://kinora.test"+path, unread{t})
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			r.Header.Set("Sec-Fetch-Site", from)
			if who != "" {
				r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: who})
			}
			s.send(r)
		})
	}
	for _, rt := range s.routes {
		for _, who := range []string{"", "operator"} {
			path := fill(rt.pattern, north)
			if rt.method == http.MethodGet {
				ask(who+" gets "+rt.pattern, http.MethodGet, path, who, "same-origin")
			} else {
				ask(who+" posts from another site to "+rt.pattern, http.MethodPost, path, who, "cross-site")
			}
			ask(who+" puts "+rt.pattern, http.MethodPut, path, who, "same-origin")
		}
	}
}

// slowly is a form that somebody sends a part of.
type slowly struct {
	net.Conn
	in   *bufio.Reader
	rest string
}

// send posts a form of which only the beginning comes. It returns once the server waits for the rest.
func send(t *testing.T, web *httptest.Server, path, form, cookie string) *slowly {
	t.Helper()
	c, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := &slowly{Conn: c, in: bufio.NewReader(c), rest: form[len(form)/2:]}
	if cookie != "" {
		cookie = "Cookie: " + cookie + "\r\n"
	}
	// Who reads a body with this header has it asked for first: that is how it is known here that somebody waits for it.
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: kinora.test\r\n%sContent-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
		path, cookie, len(form))
	return s
}

// inside waits until the server awaits the form, and sends the beginning of it.
func (s *slowly) inside(t *testing.T, form string) {
	t.Helper()
	if line, err := s.in.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the server does not wait for the form: %q, %v", line, err)
	}
	if _, err := s.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(s, form[:len(form)/2]); err != nil {
		t.Fatal(err)
	}
}

// answer is what comes, to its end.
func (s *slowly) answer(t *testing.T) (status int, body string) {
	t.Helper()
	r, err := http.ReadResponse(s.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

func open(t *testing.T, s *stand) *httptest.Server {
	t.Helper()
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	return web
}

func get(t *testing.T, web *httptest.Server, path, cookie string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	answer, err := web.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}

// Forms that come a byte at a time fill the places of their own network, then those of all strangers, and never a person's.
func TestSlowStrangersLeaveRoom(t *testing.T) {
	network := "one"
	s := newStand(t, func(c *Config) { c.ClientNetwork = func(*http.Request) string { return network } })
	s.strangers = newCrowd(5, 3)
	web := open(t, s)
	const form, signIn = "email=member&password=wrong", Prefix + "/sign-in"
	member := s.cookieName(sessionCookie) + "=member"

	var held []*slowly
	hold := func() {
		t.Helper()
		one := send(t, web, signIn, form, "")
		one.inside(t, form)
		held = append(held, one)
	}
	refused := func(what string) {
		t.Helper()
		if status, body := send(t, web, signIn, form, "").answer(t); status != http.StatusTooManyRequests || !strings.Contains(body, "try again in a moment") {
			t.Errorf("%s: a form is answered %d", what, status)
		}
		if got := get(t, web, signIn, ""); got != http.StatusTooManyRequests {
			t.Errorf("%s: a page is answered %d", what, got)
		}
		if got := get(t, web, Prefix+"/account", member); got != http.StatusOK {
			t.Errorf("%s: somebody who is signed in gets %d", what, got)
		}
		css := s.assets().Stylesheet
		if a, b := get(t, web, css, member), get(t, web, css, ""); a != http.StatusOK || b != http.StatusTooManyRequests {
			t.Errorf("%s: files are answered %d, and to strangers %d", what, a, b)
		}
		if got := get(t, web, signIn, s.cookieName(sessionCookie)+"=nobody"); got != http.StatusTooManyRequests {
			t.Errorf("%s: a session that there is not gets %d", what, got)
		}
	}
	for range 3 {
		hold()
	}
	refused("one network")
	network = "two"
	hold()
	hold()
	refused("all strangers")
	network = "three"
	refused("whatever network")

	if _, err := io.WriteString(held[0], held[0].rest); err != nil {
		t.Fatal(err)
	}
	if status, _ := held[0].answer(t); status != http.StatusUnprocessableEntity {
		t.Errorf("the form that came in the end: %d", status)
	}
	if got := get(t, web, signIn, ""); got != http.StatusOK {
		t.Errorf("with a place free again: %d", got)
	}
}

// Somebody who is not signed in has little time, and little to say.
func TestStrangersFormsComeAtOnce(t *testing.T) {
	s := newStand(t, nil)
	s.strangerTime = 20 * time.Millisecond
	web := open(t, s)
	const form = "email=member&password=wrong"
	one := send(t, web, Prefix+"/sign-in", form, "")
	one.inside(t, form)
	if status, body := one.answer(t); status != http.StatusUnprocessableEntity || !strings.Contains(body, "did not arrive in time") {
		t.Errorf("a form that does not come: %d %s", status, body)
	}
	// One whose body nobody reads is answered as soon, and so gives its place back.
	c, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s/sign-in HTTP/1.1\r\nHost: kinora.test\r\nContent-Length: 100\r\n\r\n", Prefix)
	if status, _ := (&slowly{Conn: c, in: bufio.NewReader(c)}).answer(t); status != http.StatusOK {
		t.Errorf("a page asked for with a body: %d", status)
	}

	s.strangerTime = strangerTime
	if got := s.ask("", Prefix+"/sign-in", map[string][]string{"email": {strings.Repeat("x", strangerForm)}}); got.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a long form of a stranger's: %d", got.Code)
	}
	if got := s.ask("member", Prefix+"/account/name", map[string][]string{"form_token": {s.token("member")}, "name": {strings.Repeat("x", strangerForm)}}); got.Code != http.StatusSeeOther {
		t.Errorf("a long form of a person's: %d", got.Code)
	}
	// A person's has time: the stranger's is over long before this one goes on.
	s.strangerTime = time.Nanosecond
	long := "form_token=" + s.token("member") + "&name=Ada"
	two := send(t, web, Prefix+"/account/name", long, s.cookieName(sessionCookie)+"=member")
	two.inside(t, long)
	sent := time.Now()
	if _, err := io.WriteString(two, two.rest); err != nil {
		t.Fatal(err)
	}
	if status, _ := two.answer(t); status != http.StatusSeeOther {
		t.Errorf("a person's form: %d", status)
	}
	s.people.mu.Lock()
	defer s.people.mu.Unlock()
	if left := s.people.deadline.Sub(sent); left < patience {
		t.Errorf("%s are left for the work on a form that was long on its way, want %s", left, patience)
	}
}

// One person does not take all places either.
func TestPersonsHaveAPart(t *testing.T) {
	s := newStand(t, nil)
	s.persons = newCrowd(10, 2)
	web := open(t, s)
	form := "form_token=" + s.token("member") + "&name=Ada"
	for range 2 {
		send(t, web, Prefix+"/account/name", form, s.cookieName(sessionCookie)+"=member").inside(t, form)
	}
	if got := get(t, web, Prefix+"/account", s.cookieName(sessionCookie)+"=member"); got != http.StatusTooManyRequests {
		t.Errorf("a third request: %d", got)
	}
	if got := get(t, web, Prefix+"/account", s.cookieName(sessionCookie)+"=owner"); got != http.StatusOK {
		t.Errorf("another person's: %d", got)
	}
}
