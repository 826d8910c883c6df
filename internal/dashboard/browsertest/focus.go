package browsertest

import (
	"strings"

	"github.com/chromedp/chromedp"
)

// maxStops bounds how often FocusOrder presses the tab key on one page.
const maxStops = 400

// watchFocus begins to note at window.focusOrder where the focus goes in main, and what of that is wrong, and returns how many controls
// there are. The choices of one group are one stop. Sizes are taken before anything is scrolled, with what sticks to an edge where it
// would be without it. Parts that a stream replaces meanwhile are held to nothing.
const watchFocus = `(() => {
	const main = document.querySelector("main");
	const controls = "a[href], area[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex], iframe, [contenteditable=true], " +
		"video[controls], audio[controls]";
	const named = (e) => [e.tagName.toLowerCase() + (e.id ? "#" + e.id : ""), e.getAttribute("aria-label") ?? e.name, e.innerText].join(" ").replace(/\s+/g, " ").slice(0, 70);
	const stop = (e) => e.type === "radio" && e.name ? (e.form?.action ?? "") + " " + e.name : e;
	const ring = (e) => {
		const s = getComputedStyle(e);
		const drawn = s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 && !/^rgba\(.*, 0\)$/.test(s.outlineColor);
		return {drawn, outline: [s.outlineStyle, s.outlineWidth, s.outlineColor].join(" "), shadow: s.boxShadow};
	};
	const all = [...main.querySelectorAll(controls)].filter((e) => e.tabIndex >= 0 && !e.matches(":disabled") && !e.closest("[inert]") &&
		e.checkVisibility({visibilityProperty: true}));
	if (main.contains(document.activeElement)) document.activeElement.blur();
	const plain = new Map();
	for (const e of main.querySelectorAll("*")) plain.set(e, ring(e));
	const stuck = [...main.querySelectorAll("*")].filter((e) => getComputedStyle(e).position === "sticky");
	stuck.forEach((e) => { e.style.position = "static"; });
	const box = new Map();
	for (const e of [main, ...main.querySelectorAll("*")]) box.set(e, e.getBoundingClientRect());
	stuck.forEach((e) => e.style.removeProperty("position"));

	const o = window.focusOrder = {left: new Set(all.map(stop)), wrong: [], out: false};
	const reached = new Set();
	let last = null;
	// Of two controls, the parts of the page that they do not share are compared: so one column may be gone through before the next.
	const before = (a, b) => {
		let shared = a;
		while (!shared.contains(b)) shared = shared.parentElement;
		const part = (e) => { while (e.parentElement !== shared && e !== shared) e = e.parentElement; return box.get(e); };
		const from = part(a), to = part(b);
		if (!from || !to || a === shared || b === shared || !from.width || !to.width) return true;
		const common = Math.min(from.bottom, to.bottom) - Math.max(from.top, to.top);
		if (common > Math.min(from.height, to.height) / 2) return to.right > from.left + 1; // side by side
		return to.top >= from.top - 1;
	};
	document.addEventListener("focusin", o.seen = (event) => {
		const e = event.target;
		if (o.out || e === main) return;
		if (!main.contains(e)) { o.out = true; return; }
		if (reached.has(e)) o.wrong.push("comes twice to " + named(e));
		reached.add(e);
		o.left.delete(stop(e));
		if (last?.isConnected && !before(last, e)) o.wrong.push("goes back from " + named(last) + " to " + named(e));
		last = e;
		let shown = false;
		for (let at = e; at !== main && !shown; at = at.parentElement) {
			const was = plain.get(at), is = ring(at);
			shown = !was || is.drawn && is.outline !== was.outline || is.shadow !== "none" && is.shadow !== was.shadow;
		}
		if (!shown) o.wrong.push("is not to be seen at " + named(e));
	});
	o.named = named;
	main.focus({preventScroll: true});
	return all.length;
})()`

// dialogFaults opens and closes every dialog of the page by its button.
const dialogFaults = `(() => {
	const wrong = [];
	for (const button of document.querySelectorAll("main button[command=show-modal]")) {
		if (!button.checkVisibility()) continue;
		const dialog = document.getElementById(button.getAttribute("commandfor")), name = JSON.stringify(button.innerText);
		button.focus();
		button.click();
		const at = document.activeElement;
		if (!dialog.open) wrong.push("finds no dialog behind " + name);
		else if (at === dialog || !dialog.contains(at)) wrong.push("stays outside the dialog of " + name);
		else if (at.type === "submit") wrong.push("begins at what the dialog of " + name + " asks for, so that enter does it unread");
		dialog.close();
		if (document.activeElement !== button) wrong.push("does not come back from the dialog of " + name);
	}
	document.activeElement?.blur();
	return wrong;
})()`

// FocusFaults goes through the page's main part by the tab key, and into its dialogs. It tells of controls that are not reached or come
// twice, of ways back up the page or to the left, of places where the focus cannot be seen, and of dialogs that do not take it or do
// not give it back. Each is the end of a sentence that begins with "the focus".
func (p *Page) FocusFaults() []string {
	p.Helper()
	next := Eval[int](p, watchFocus) + 1
	out := false
	for pressed := 0; !out && pressed < maxStops; next = 8 { // a field of a date has several stops
		p.Type(strings.Repeat("\t", next))
		pressed += next
		out = Eval[bool](p, "focusOrder.out")
	}
	wrong := Eval[[]string](p, `[...focusOrder.wrong, ...[...focusOrder.left].filter((e) => e.isConnected ?? true).map((e) => "never comes to " + (e.tagName ? focusOrder.named(e) : e))]`)
	if !out {
		wrong = append(wrong, "does not leave the page's main part")
	}
	Eval[chromedp.Void](p, `{ document.removeEventListener("focusin", focusOrder.seen); document.activeElement?.blur(); delete window.focusOrder; }`)
	wrong = append(wrong, Eval[[]string](p, dialogFaults)...)
	Eval[chromedp.Void](p, "scrollTo(0, 0)")
	return wrong
}

// FocusOrder fails the test for what FocusFaults tells.
func (p *Page) FocusOrder() {
	p.Helper()
	for _, fault := range p.FocusFaults() {
		p.Errorf("%s: the focus %s", p.Path(), fault)
	}
}
