package browsertest_test

import "testing"

// A double click makes one key, and shows it: by the page's script, and where it does not run by what the server knows.
func TestDoubleClickMakesOneKey(t *testing.T) {
	s := startSite(t, nil)
	p := s.owner(t)
	for name, press := range map[string]string{
		"by the script":  "{ const b = document.querySelector('main form button[type=submit]'); b.click(); b.click(); }",
		"without script": "{ const f = document.querySelector('main form'), send = HTMLFormElement.prototype.submit; send.call(f); setTimeout(() => send.call(f), 1); }",
	} {
		p.Go(s.path("/keys/new"))
		p.Fill("Name", name)
		p.Script(press)
		p.Has(".secret")
		shown := p.Text(".secret code")
		p.Press("Back to the keys")
		p.At(s.path("/keys"))
		p.Until("the one key of that name", "[...document.querySelectorAll('tbody tr')].filter((r) => r.innerText.includes('"+name+"')).length === 1")
		p.See(shown[:8])
	}
}
