package browsertest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// quote makes a JavaScript string.
func quote(text string) string {
	raw, _ := json.Marshal(text) // marshals any string
	return string(raw)
}

// Go opens a path of the site.
func (p *Page) Go(path string) {
	p.Helper()
	p.Do(chromedp.Navigate(p.Site + path))
}

// Reload loads the page again.
func (p *Page) Reload() {
	p.Helper()
	p.Do(chromedp.Reload())
}

// At waits until the page is at a path, and loaded.
func (p *Page) At(path string) {
	p.Helper()
	p.Until("the page "+path, "location.pathname === "+quote(path)+" && document.readyState === 'complete'")
}

// Path is the path of the page.
func (p *Page) Path() string {
	p.Helper()
	return Eval[string](p, "location.pathname")
}

// See waits until a text can be read on the page, in small letters or capitals: style sheets change them.
func (p *Page) See(text string) {
	p.Helper()
	p.Until("the text "+quote(text), "document.body.innerText.toLowerCase().includes("+quote(strings.ToLower(text))+")")
}

// SeeIn waits until a text can be read in what a CSS selector finds first, in small letters or capitals.
func (p *Page) SeeIn(selector, text string) {
	p.Helper()
	p.Until(quote(text)+" in "+selector, "document.querySelector("+quote(selector)+")?.innerText.toLowerCase().includes("+quote(strings.ToLower(text))+")")
}

// Has waits until a CSS selector finds something.
func (p *Page) Has(selector string) {
	p.Helper()
	p.Until(selector, "document.querySelector("+quote(selector)+")")
}

// Gone waits until a CSS selector finds nothing.
func (p *Page) Gone(selector string) {
	p.Helper()
	p.Until("no "+selector, "!document.querySelector("+quote(selector)+")")
}

// Text is what can be read in what a CSS selector finds first, once it is there.
func (p *Page) Text(selector string) (text string) {
	p.Helper()
	p.Until(selector, "(window.textRead = document.querySelector("+quote(selector)+")?.innerText) !== undefined")
	return Eval[string](p, "window.textRead")
}

// seen finds the elements of a selector that are shown and answer to a name, as people read it or as it is read out.
const seen = `((selector, name) => [...document.querySelectorAll(selector)].find((e) => e.checkVisibility() &&
	((e.innerText ?? "").trim() === name || e.getAttribute("aria-label") === name)))`

// Press clicks on the button or link of that name, once it is there. Where that leads to another page, it comes back when that is loaded.
func (p *Page) Press(name string) {
	p.Helper()
	p.click("the button or link "+quote(name), seen+"('button, a, summary, [role=button]', "+quote(name)+")")
}

// Click clicks on what a CSS selector finds first, once nothing lies over its middle. Where that leads to another page, it comes back when
// that is loaded.
func (p *Page) Click(selector string) {
	p.Helper()
	p.click(selector, uncovered+"(document.querySelector("+quote(selector)+"))")
}

// uncovered is an element that a pointer reaches at its middle, or nothing.
const uncovered = `((e) => {
	if (!e?.checkVisibility()) return null;
	e.scrollIntoView({block: "center", behavior: "instant"});
	const box = e.getBoundingClientRect(), at = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
	return e === at || e.contains(at) ? e : null;
})`

// click finds and clicks in one step, so that nothing is replaced in between. The page that is left says so itself: what the test looks for
// next must not be found on it.
func (p *Page) click(what, find string) {
	p.Helper()
	p.Until(what, `((e) => {
		if (!e) return false;
		navigation.addEventListener("navigate", (event) => { window.isLeft ||= !event.destination.sameDocument && event.downloadRequest === null; });
		e.scrollIntoView({block: "center", behavior: "instant"});
		e.click();
		return true;
	})(`+find+`)`)
	p.Settle()
}

// Settle waits, if the page is being left, until the next one is loaded. A form is sent by a task of its own, behind which a timer's comes.
func (p *Page) Settle() {
	p.Helper()
	p.Until("the next page", `new Promise((then) => setTimeout(() => setTimeout(() => then(!window.isLeft && document.readyState === "complete"))))`)
}

// labelled finds the control of a label.
const labelled = `((label) => [...document.querySelectorAll("label")].find((l) => l.checkVisibility() && l.textContent.trim() === label)?.control)`

// Fill gives the field of that label a value, as typing it does. A choice is made by its value, once it is offered; a box is ticked by "on"
// and emptied by "".
func (p *Page) Fill(label, value string) {
	p.Helper()
	p.Until("the field "+quote(label)+" to take "+quote(value), `((e, value) => {
		if (!e) return false;
		e.focus();
		if (e.type === "checkbox") { if (e.checked !== (value === "on")) e.click(); }
		else {
			const of = e.tagName === "TEXTAREA" ? HTMLTextAreaElement : e.tagName === "SELECT" ? HTMLSelectElement : HTMLInputElement;
			Object.getOwnPropertyDescriptor(of.prototype, "value").set.call(e, value);
			if (e.value !== value) return false;
			e.dispatchEvent(new Event("input", {bubbles: true}));
			e.dispatchEvent(new Event("change", {bubbles: true}));
		}
		return true;
	})(`+labelled+"("+quote(label)+"), "+quote(value)+")")
}

// File chooses a file for the field of that label.
func (p *Page) File(label, name, contentType string, content []byte) {
	p.Helper()
	p.Until("the field "+quote(label), `((e) => {
		if (!e) return false;
		const bytes = Uint8Array.from(atob(`+quote(base64.StdEncoding.EncodeToString(content))+`), (c) => c.charCodeAt(0));
		const chosen = new DataTransfer();
		chosen.items.add(new File([bytes], `+quote(name)+`, {type: `+quote(contentType)+`}));
		e.files = chosen.files;
		return true;
	})(`+labelled+"("+quote(label)+"))")
}

// Type presses keys, into whatever has the focus: "\t" moves it on, "\r" is the enter key.
func (p *Page) Type(keys string) {
	p.Helper()
	p.Do(chromedp.KeyEvent(keys))
}

// SignIn signs somebody in on the sign-in page, and waits until he is in.
func (p *Page) SignIn(email, password string) {
	p.Helper()
	p.Go("/dashboard/sign-in")
	p.Fill("E-mail address", email)
	p.Fill("Password", password)
	p.Press("Sign in")
	p.Has("#menu")
}

// Size sets the window's size in pixels.
func (p *Page) Size(width, height int) {
	p.Helper()
	p.Do(chromedp.EmulateViewport(int64(width), int64(height)))
}

// Dark says which colours the browser asks for.
func (p *Page) Dark(dark bool) {
	p.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
}

// FitsWidth fails the test where the page is wider than its window, so that it would have to be moved sideways.
func (p *Page) FitsWidth() {
	p.Helper()
	if over := Eval[int](p, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
		wide := Eval[string](p, `[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map((e) => e.tagName + "." + e.className).join(", ")`)
		p.Errorf("%s is %d pixels wider than its window: %s", p.Path(), over, wide)
	}
}

// Screenshot writes a picture of the window to a file, as PNG.
func (p *Page) Screenshot(file string) {
	p.Helper()
	p.Until("fonts and pictures", "document.fonts.status === 'loaded' && [...document.images].every((i) => i.complete || !i.checkVisibility() || i.getBoundingClientRect().top > innerHeight)")
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		picture, err = smaller(picture)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file, picture, 0o644)
	}
	if err != nil {
		p.Fatal(err)
	}
}

// smaller makes a PNG of 64 shades of each colour, which take less room and are enough for pages.
func smaller(picture []byte) ([]byte, error) {
	m, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	coarse := image.NewRGBA(m.Bounds())
	draw.Draw(coarse, m.Bounds(), m, m.Bounds().Min, draw.Src)
	for i, v := range coarse.Pix {
		coarse.Pix[i] = v&^3 | v>>6 // 255 stays 255: what is opaque, too
	}
	var buf bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&buf, coarse)
	return buf.Bytes(), err
}

// pictures is where Picture keeps what it takes; empty = nowhere.
var pictures = flag.String("pictures", "", "folder for screenshots of the pages, such as docs/images")

// Pictures tells whether the test was called with -pictures.
func Pictures() bool { return *pictures != "" }

// Picture keeps a screenshot under a name, where the test was called with -pictures.
func (p *Page) Picture(name string) {
	p.Helper()
	if *pictures != "" {
		p.Screenshot(filepath.Join(*pictures, name+".png"))
	}
}
