package browsertest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/dashboard/browsertest"
)

// nasty is what a receiver answers that would like to run in the reader's browser.
const nasty = `<!doctype html><img src=x onerror="window.hurt=1"><script>window.hurt=1</script></pre>`

// From a default callback URL to a delivery that dies of its receiver's fault and arrives by a replay, watched; a test event; a
// new secret; an endpoint that is disabled and enabled. Each page is held against the rules, in both colours and on a phone.
func TestWebhooksFromFailureToReplay(t *testing.T) {
	var well atomic.Bool
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Nasty", `"><script>window.hurt=1</script>`)
		if !well.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, nasty)
		}
	}))
	defer receiver.Close()
	s := startSite(t, func(c *config.Config) {
		c.Webhooks.Schedule = []config.Duration{config.Duration(10 * time.Millisecond)}
	})
	p := s.owner(t)
	p.Go(s.path("/webhooks"))
	p.See("Nobody is told")
	checked(p, "webhooks-empty")

	p.Press("Set the default callback URL")
	p.At(s.path("/webhooks/settings"))
	p.Allow("422")
	p.Fill("Callback URL", "ftp://nowhere")
	p.Press("Save")
	p.Has("#field-default-error")
	checked(p, "webhooks-settings")
	p.Fill("Callback URL", receiver.URL+"/hook?token=hush-hush")
	p.Press("Save")
	p.See("The default callback URL has been set.")

	p.Go(s.path("/webhooks/deliveries"))
	p.See("Nothing was sent yet")
	id := s.submit(t, "a lighthouse at dusk")
	if _, err := s.client.Wait(t.Context(), id, client.WaitOptions{}); err != nil {
		t.Fatal(err)
	}
	p.SeeIn("#deliveries-rows", "dead") // comes, and changes, while the page is looked at
	p.SeeIn("#deliveries-rows", "500 Internal Server Error")
	p.Gone("#deliveries-empty .empty")
	checked(p, "webhooks-deliveries")
	p.Click(".table .main-cell a")
	p.SeeIn("#delivery-facts", "dead") // comes while the page is looked at
	p.SeeIn("#delivery-attempts", "Attempt 2")
	p.See("onerror")
	if browsertest.Eval[bool](p, "!!window.hurt || document.body.innerText.includes('hush-hush')") {
		t.Error("an answer ran as a script, or a secret is on the page")
	}
	checked(p, "webhooks-delivery")

	well.Store(true)
	p.Go(s.path("/webhooks/dead"))
	p.SeeIn(".table", "500 Internal Server Error")
	checked(p, "webhooks-dead")
	p.Press("Send all again")
	p.Press("Start the replay")
	p.SeeIn("#replay", "finished")
	p.Until("the delivery that arrived", `document.querySelector("#replay .figure:nth-child(2) dd").innerText === "1"`)
	checked(p, "webhooks-replay")

	p.Go(s.path("/webhooks/test"))
	p.Press("Send and wait for the answer")
	p.See("The test event was delivered.")
	p.SeeIn("#attempt", "200 OK")
	checked(p, "webhooks-test")

	p.Go(s.path("/webhooks/signing"))
	p.Press("Change the secret")
	p.Click("#rotate button[type=submit]")
	p.SeeIn(".secret", "whsec_")
	checked(p, "webhooks-signing")

	p.Go(s.path("/webhooks/endpoints/new"))
	p.Fill("Name", "ledger")
	p.Fill("URL", receiver.URL+"/ledger")
	p.Fill("Set headers", "Authorization: Bearer not-to-be-shown")
	checked(p, "webhooks-endpoint-form")
	p.Press("Add endpoint")
	p.See("The endpoint has been added.")
	if browsertest.Eval[bool](p, "document.documentElement.innerHTML.includes('not-to-be-shown')") {
		t.Error("a header's value is shown")
	}
	p.Press("Disable")
	p.Click("#disable button[type=submit]")
	p.SeeIn("#flash", "disabled")
	checked(p, "webhooks-endpoint")
	p.Press("Enable")
	p.Click("#enable button[type=submit]")
	p.SeeIn("#flash", "enabled")

	p.Go(s.path("/webhooks"))
	p.See("Default callback URL")
	checked(p, "webhooks")
}

// checked holds the page against the rules in both colours and at the width of a phone, and keeps pictures of it.
func checked(p *browsertest.Page, name string) {
	p.Helper()
	p.AccessibleInBoth()
	p.Picture(name)
	p.Dark(true)
	p.Picture(name + "-dark")
	p.Dark(false)
	p.Size(360, 740)
	p.FitsWidth()
	p.Picture(name + "-phone")
	p.Size(1280, 900)
}
