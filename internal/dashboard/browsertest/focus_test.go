package browsertest_test

import (
	"slices"
	"strings"
	"testing"
)

// What FocusOrder holds pages to is found where it is missing.
func TestFocusFaults(t *testing.T) {
	p := startSite(t, nil).owner(t)
	for want, script := range map[string]string{
		"":                               "",
		"goes back from a#third":         "second.tabIndex = 5",
		"goes back from a#first":         "first.parentElement.style.cssText = 'display: flex; flex-direction: row-reverse'",
		"goes back from a#second":        "first.parentElement.style.cssText = 'display: grid'; third.style.order = -1",
		"never comes to a#second":        "first.addEventListener('focus', () => third.focus(), {once: true})",
		"comes twice to a#first":         "third.addEventListener('focus', () => first.focus(), {once: true})",
		"is not to be seen at a#second":  "second.style.outline = 'none'",
		"does not leave":                 "third.addEventListener('keydown', (e) => e.preventDefault())",
		"stays outside the dialog":       "ask(''); document.querySelector('dialog').inert = true",
		"begins at what the dialog":      "ask('<button type=submit>Do it</button>')",
		"does not come back from":        "ask('<button type=button>Keep</button>'); document.querySelector('dialog').close = () => {}",
		"finds no dialog behind \"Ask\"": "ask('<button type=button>Keep</button>'); asker.onclick = (e) => e.preventDefault()",
	} {
		p.Go("/dashboard/account")
		p.Script(`{
			const main = document.querySelector("main");
			main.innerHTML = "<p><a id=first href='#'>One</a> <a id=second href='#'>Two</a> <a id=third href='#'>Three</a></p>";
			const ask = (what) => main.insertAdjacentHTML("beforeend",
				"<button id=asker type=button command=show-modal commandfor=asked>Ask</button><dialog id=asked><form>" + what + "</form></dialog>");
			` + script + `
		}`)
		found := p.FocusFaults()
		if want == "" && len(found) > 0 || want != "" && !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, want) }) {
			t.Errorf("after %q, of a page whose focus %q: %q", script, want, found)
		}
	}
}
