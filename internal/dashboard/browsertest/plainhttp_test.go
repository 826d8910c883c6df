package browsertest_test

import (
	"strings"
	"testing"

	"github.com/kinora/kinora/internal/dashboard/browsertest"
)

// Without https, on a host that the browser does not trust as it does its own machine: the first person is made, forms are taken, scripts
// work, the clipboard too, and the way leads out and in again.
func TestOverPlainHTTP(t *testing.T) {
	s := startSite(t, nil)
	p := browsertest.Open(t, strings.Replace(s.LocalURL(), "127.0.0.1", browsertest.PlainHost, 1))
	s.setUp(t, p)
	if browsertest.Eval[bool](p, "isSecureContext") {
		t.Fatalf("the browser trusts %s", p.Site)
	}
	p.Go("/dashboard/account")
	p.Fill("Name", "Ada L.")
	p.Press("Save")
	p.See("Ada L.")
	p.Press("Dark")
	p.Has("html[data-theme=dark]")

	p.Go(s.path("/keys/new"))
	p.Fill("Name", "shop")
	p.Press("Create the key")
	p.See("shown this once")
	p.Script(`document.querySelector(".secret button[data-copy]").focus()`)
	p.Type("\r") // browsers let a page copy when somebody does something, and not when a script does
	p.Has(".secret button[data-copied]:focus")

	p.Go(s.path("/playground?of=model:sandbox-image"))
	p.Fill("Prompt", "a lighthouse at dusk")
	p.Press("Generate")
	p.SeeIn("#play-runs", "succeeded")
	p.Until("the picture", `[...document.querySelectorAll("#play-runs img")].some((i) => i.complete && i.naturalWidth > 0)`)

	p.Press("Sign out")
	p.At("/dashboard/sign-in")
	p.Fill("E-mail address", ownerEmail)
	p.Fill("Password", password)
	p.Press("Sign in")
	p.At(s.path("/generations"))
}
