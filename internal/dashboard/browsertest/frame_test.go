package browsertest_test

import (
	"testing"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/dashboard/browsertest"
)

// What callers send is text wherever it is shown: in what a page is drawn with, and in what a stream brings later.
func TestCallersTextIsText(t *testing.T) {
	s := startSite(t, nil)
	p := s.owner(t)
	const evil = `"><img src=x onerror="window.stolen=1"><script>window.stolen=1</script>`
	hostile := func() string {
		return s.submitAs(t, client.SubmitRequest{Model: "sandbox-image", Reference: evil, Metadata: map[string]any{"x": evil},
			Input: client.Input{Prompt: evil + "</td></tr>\r\ndata: <b>x</b>\n\nevent: message"}})
	}
	later := hostile()
	p.SeeIn("#row-"+later, `onerror="window.stolen=1"`)
	p.SeeIn("#row-"+later, "succeeded")
	p.Reload()
	p.SeeIn("#row-"+later, `onerror="window.stolen=1"`)
	p.Go(s.path("/generations?reference=" + "%22%3E%3Cscript%3Ewindow.stolen%3D1%3C%2Fscript%3E"))
	p.See("Nothing matches")
	if browsertest.Eval[bool](p, "'stolen' in window || document.querySelector('main img, main script, main b') !== null") {
		t.Error("a caller's text has become a part of the page")
	}
}

// Whoever has no mouse gets everywhere: the first stop skips the menu, lists and dialogs open and close by keys.
func TestFrameByKeyboard(t *testing.T) {
	s := startSite(t, nil)
	p := s.owner(t)
	p.Reload()
	p.Type("\t")
	p.Until("the way past the menu", "document.activeElement?.matches('.skip') && document.activeElement.getBoundingClientRect().top >= 0")
	p.Type("\r")
	p.Until("the content", "document.activeElement?.id === 'content'")

	p.Reload()
	browsertest.Eval[bool](p, "document.querySelector('.switcher summary').focus() ?? true")
	p.Type("\r")
	p.Has(".switcher[open]")
	p.Type("\x1b")
	p.Gone(".switcher[open]")

	other := s.open(t)
	other.SignIn(ownerEmail, password)
	p.Go("/dashboard/account")
	const opener = `document.querySelector("main button[command=show-modal][commandfor=end-others]")`
	p.Until("the way to the dialog", opener)
	p.Script(opener + ".focus()")
	p.Type("\r")
	p.Until("the dialog's first button", "document.activeElement?.closest('dialog[open]') && document.activeElement.matches('[command=close]:focus-visible')")
	p.AccessibleInBoth()
	p.Type("\x1b")
	p.Gone("dialog[open]")
	p.Until("where the dialog was opened", "document.activeElement === "+opener)
	p.Type("\r")
	p.Has("dialog[open]")
	p.Type("\t")
	p.Until("the dialog's own button", "document.activeElement?.matches('dialog[open] [type=submit]')")
	p.Type("\r")
	p.See("All other sessions have been ended.")
	other.Reload()
	other.At("/dashboard/sign-in")
}

// A page that there is not, in the frame of somebody who is signed in, on a screen of any width.
func TestPageThatThereIsNot(t *testing.T) {
	s := startSite(t, nil)
	p := s.owner(t)
	p.Allow("404")
	p.Go(s.path("/none"))
	p.See("Not found")
	p.AccessibleInBoth()
	p.Size(360, 740)
	p.FitsWidth()
	p.Press("To the first page")
	p.At(s.path("/generations"))
}
