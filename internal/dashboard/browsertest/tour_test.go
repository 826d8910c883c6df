package browsertest_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/dashboard/browsertest"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/tenancy"
)

// hostile is what a caller or a receiver writes who would like to run in the reader's browser: it ends attributes, elements and
// script, opens dialogs, names a script as an address, and turns the direction of what follows.
const hostile = `"'><script>alert(1);window.hurt=1</script><img src=x onerror="alert(2);window.hurt=1">` +
	`<a href="javascript:alert(3)">javascript:alert(4)</a>` + "\u202e\u2066detour\u2069\u202c" + `<svg onload=alert(5)></td></pre>{{7*7}}${7*7}`

// receiver is a program of the organisation's: it checks each delivery, and answers as it is told to.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	secrets  []string // each alone must prove what comes
	status   int
	verified map[string]int // deliveries that all secrets prove, by job id
	wrong    []error
}

func newReceiver(t *testing.T, secrets ...string) *receiver {
	r := &receiver{secrets: secrets, status: http.StatusOK, verified: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(r.receive))
	t.Cleanup(r.Close)
	t.Cleanup(func() {
		for _, err := range r.wrong {
			t.Errorf("a delivery is not proved: %v", err)
		}
	})
	return r
}

func (r *receiver) receive(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	var event webhook.Event
	for _, secret := range r.secrets {
		var v *webhook.Verifier
		if err == nil {
			v, err = webhook.NewVerifier([]string{secret})
		}
		if err == nil {
			event, err = v.Verify(q.Header, body)
		}
	}
	if err != nil {
		r.wrong = append(r.wrong, err)
	}
	r.verified[event.JobID]++
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("X-Hostile", "<script>alert(6)</script>")
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, hostile)
}

// answer sets what the receiver answers from now on, and adds a secret that it checks with; "" = none.
func (r *receiver) answer(status int, secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
	if secret != "" {
		r.secrets = append(r.secrets, secret)
	}
}

func (r *receiver) got(jobID string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.verified[jobID]
}

// One journey through the dashboard as somebody makes it on the first day: from the set-up link to a key and a call with it, a picture
// that arrives while it is looked at, webhooks that are tried, fail and are sent again, a new signing secret, what it has cost and what
// the audit log says. Somebody of another organisation sees nothing of it. What callers and receivers write stays text throughout.
func TestTour(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		s := startSite(t, func(c *config.Config) {
			c.Database = dsn
			c.Webhooks.Schedule = []config.Duration{config.Duration(10 * time.Millisecond)}
			c.Prices.Models = map[string]config.USD{"sandbox-image": 350_000}
		})
		tour := &tour{site: s, Page: s.owner(t), t: t, receiver: newReceiver(t, s.Bootstrapped().Secret.Text)}
		tour.keys()
		tour.generation()
		tour.webhooks()
		tour.deliveries()
		tour.secret()
		tour.costs()
		tour.audit()
		if browsertest.Eval[bool](tour.Page, "'hurt' in window") {
			t.Error("a text has become a script")
		}
		tour.stranger()
		tour.leave()
	})
}

type tour struct {
	*site
	*browsertest.Page
	t        *testing.T
	receiver *receiver
	caller   *client.Client // with the key that was made on the way
	jobID    string         // a generation of a workflow, which can be made anew
}

// keys makes a key, which is shown once, and works.
func (o *tour) keys() {
	o.Press("API keys")
	o.Press("Create a key")
	o.Fill("Name", "shop")
	o.Press("Create the key")
	text := o.Text(".secret-value code")
	var err error
	if o.caller, err = client.New(o.LocalURL(), text); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(o.caller.CloseIdleConnections)
	if _, err := o.caller.Usage(o.t.Context()); err != nil {
		o.t.Errorf("the new key: %v", err)
	}
	o.Press("Back to the keys")
	o.At(o.path("/keys"))
	o.See("shop")
	if o.shows(text) {
		o.t.Error("the key is shown a second time")
	}
}

// shows tells whether the page has a text anywhere, unseen parts included.
func (o *tour) shows(text string) bool {
	return browsertest.Eval[bool](o.Page, "document.documentElement.outerHTML.includes("+strconv.Quote(text)+")")
}

// begin is how a text begins, up to n characters.
func begin(text string, n int) string {
	letters := []rune(text)
	return string(letters[:min(n, len(letters))])
}

// generation sends a hostile request from the playground, and watches it to its end without the page being loaded again.
func (o *tour) generation() {
	o.Press("Playground")
	o.At(o.path("/playground"))
	o.Fill("Make with", "model:sandbox-image")
	o.Fill("Prompt", hostile+strings.Repeat(" and a lighthouse", 300))
	o.Press("Reference, webhook and metadata")
	o.Fill("Reference", begin(hostile, 200))
	o.Fill("Metadata", `{"note": `+strconv.Quote("</code><script>alert(7)</script>")+`}`)
	o.Fill("The model's own fields", `{"sandbox": {"delay": "1h"}}`)
	o.SeeIn("#play-preview", "and a lighthouse")
	o.Press("Generate")
	o.Until("the generation", `document.querySelector("#play-runs .play-run a[href*='/generations/task_']")`)
	browsertest.Eval[bool](o.Page, "window.samePage = true")
	o.SeeIn("#play-runs", "running")
	o.letGo()
	o.SeeIn("#play-runs", "succeeded")
	o.Until("the picture", `document.querySelector("#play-runs img")?.naturalWidth > 0`)
	o.Until("the same page", "window.samePage")
	id := browsertest.Eval[string](o.Page, `document.querySelector("#play-runs .play-run a[href*='/generations/task_']").href.match(/task_\w+/)[0]`)
	o.Go(o.path("/generations"))
	o.SeeIn("#row-"+id, "<script>alert(1)")
	o.Click("#link-" + id)
	o.At(o.path("/generations/" + id))
	o.SeeIn("#gen-status", "succeeded")
	o.Until("the picture", `document.querySelector("#gen-media .shot img")?.naturalWidth > 0`)
	o.SeeIn(".gen-prompt-text", `<img src=x onerror="alert(2)`)
	o.SeeIn("#gen-events", "Nobody was told")
	o.Until("no caller's text as an element", `!document.querySelector("main script, main a[href^='javascript:'], main img[src='x'], main svg[onload]")`)
	o.FitsWidth()
}

// webhooks sets where events go, and tries it.
func (o *tour) webhooks() {
	o.Press("Webhooks")
	o.At(o.path("/webhooks"))
	o.Press("Set the default callback URL")
	o.Fill("Callback URL", o.receiver.URL+"/hook")
	o.Press("Save")
	o.See("The default callback URL has been set.")
	o.Press("Send it a test event")
	o.Press("Send and wait for the answer")
	o.See("The test event was delivered.")
	o.SeeIn("#attempt", "200 OK")
	o.SeeIn("#attempt", "task_TEST")
	o.SeeIn("#attempt", `"'><script>alert(1);window.hurt=1</script>`)
	o.SeeIn("#attempt", "<script>alert(6)</script>")
}

// deliveries makes a generation anew while the receiver is broken, and sends its event again once it is well.
func (o *tour) deliveries() {
	job, err := o.caller.CreateFromFile(o.t.Context(), client.GenerationRequest{Workflow: "staging", CaptureType: "photo", Mode: "clean", Reference: "listing-1"}, "room.jpg", bytes.NewReader(room(o.t, 800, 560)))
	if err != nil {
		o.t.Fatal(err)
	}
	o.Go(o.path("/generations/" + job.JobID))
	o.SeeIn("#gen-status", "succeeded")
	o.SeeIn("#gen-events", "delivered")
	o.receiver.answer(http.StatusInternalServerError, "")
	o.Press("Regenerate")
	o.At(o.path("/generations/" + job.JobID + "/regenerate"))
	o.Fill("Reference", begin(hostile, 120))
	o.Press("Regenerate")
	o.SeeIn("#flash", "made anew")
	o.SeeIn("#gen-status", "succeeded")
	o.SeeIn("#gen-events", "dead")
	o.jobID = o.Path()[strings.LastIndexByte(o.Path(), '/')+1:]
	o.Click("#gen-events .main-cell a")
	o.SeeIn("#delivery-attempts", "500 Internal Server Error")
	o.SeeIn("#attempt", "<script>alert(1)")

	tried := o.receiver.got(o.jobID)
	o.receiver.answer(http.StatusOK, "")
	o.Press("Send again")
	o.SeeIn("#delivery-facts", "delivered")
	if n := o.receiver.got(o.jobID); tried < 2 || n != tried+1 {
		o.t.Errorf("the event came %d times, and %d times before it was sent again", n, tried)
	}
}

// secret changes the signing secret with an overlap: both prove what is sent.
func (o *tour) secret() {
	o.Go(o.path("/webhooks/signing"))
	o.Press("Change the secret")
	o.Click("#rotate button[type=submit]")
	secret := o.Text(".secret-value code")
	if !strings.HasPrefix(secret, "whsec_") || secret == o.Bootstrapped().Secret.Text {
		o.t.Errorf("the new secret begins with %.8s", secret)
	}
	o.receiver.answer(http.StatusOK, secret)
	o.Go(o.path("/webhooks/test"))
	if o.shows(secret) {
		o.t.Error("the secret is shown a second time")
	}
	o.Press("Send and wait for the answer")
	o.See("The test event was delivered.")
	o.Until("two test events", `document.querySelectorAll(".table tbody tr").length === 2`)
}

// costs looks at what has been counted: three generations by now.
func (o *tour) costs() {
	o.Press("Usage")
	o.At(o.path("/usage"))
	o.Until("the cost", `[...document.querySelectorAll(".figure dd")].some((f) => f.innerText.startsWith("$0.35") || f.innerText.startsWith("$1.05"))`)
	o.Press("Ledger")
	o.See(o.jobID)
}

// audit finds each change in the log, with who made it.
func (o *tour) audit() {
	o.Press("Audit log")
	o.At(o.path("/audit"))
	for _, change := range []string{"created the API key “shop”", "changed the organisation", "sent a test webhook", "had a generation made anew",
		"sent a delivery again", "made a new webhook secret"} {
		o.Until(strconv.Quote(change)+" by "+ownerEmail, `[...document.querySelectorAll("tbody tr")].some((r) => r.innerText.includes(`+
			strconv.Quote(change)+`) && r.innerText.includes(`+strconv.Quote(ownerEmail)+`))`)
	}
}

// stranger is an owner of another organisation, who asks for everything that the first person has been to.
func (o *tour) stranger() {
	name := "South"
	south, _, err := o.Tenancy().CreateOrganisation(o.t.Context(), tenancy.OrganisationChange{Name: &name})
	if err != nil {
		o.t.Fatal(err)
	}
	const email = "grace@example.com"
	_, link, err := o.People().Invite(kinora.WithActor(context.WithoutCancel(o.t.Context()), kinora.Actor{Kind: kinora.ActorOperator}), south.ID, email, kinora.RoleOwner)
	if err != nil {
		o.t.Fatal(err)
	}
	p := o.open(o.t)
	p.Go("/dashboard/invitation?token=" + link)
	p.Fill("Name", "Grace")
	p.Fill("Password", password)
	p.Fill("Password again", password)
	p.Click("main form [type=submit]")
	p.At("/dashboard/o/" + south.ID + "/generations")
	p.See("No generations yet")

	var places []string
	for _, address := range o.Visited() {
		if u, err := url.Parse(address); err == nil && strings.Contains(u.Path, o.organisation) {
			places = append(places, u.RequestURI())
		}
	}
	slices.Sort(places)
	places = slices.Compact(places)
	if len(places) < 12 {
		o.t.Errorf("the tour has been to few places: %q", places)
	}
	p.Allow("404")
	for _, place := range places {
		const status = `fetch(%).then((r) => r.status)`
		ask := strings.Replace(status, "%", strconv.Quote(place), 1)
		if own, foreign := browsertest.Eval[int](o.Page, ask), browsertest.Eval[int](p, ask); own != http.StatusOK || foreign != http.StatusNotFound {
			o.t.Errorf("%s: the owner gets %d, the stranger %d", place, own, foreign)
		}
	}
	p.Go(o.path("/generations/" + o.jobID))
	p.See("Not found")
}

// leave signs out: the way back leads to the sign-in page.
func (o *tour) leave() {
	o.Press("Sign out")
	o.At("/dashboard/sign-in")
	o.Go(o.path("/generations/" + o.jobID))
	o.At("/dashboard/sign-in")
}
