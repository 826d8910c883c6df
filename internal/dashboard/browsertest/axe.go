package browsertest

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/chromedp"

	"github.com/kinora/kinora/internal/npmtest"
)

// npm has axe-core, which finds what keeps people from using a page.
var npm = npmtest.Packages{From: "npm"}

// finding is one thing that axe-core has found.
type finding struct {
	ID, Impact, Help string
	Where            []string
}

// Accessible fails the test for everything serious or critical that axe-core finds on the page as it stands. It is left out where
// npm cannot be had. Tests run in this package's folder.
func (p *Page) Accessible() {
	p.Helper()
	p.axe("")
}

// Contrast is the part of Accessible that depends on colours, which is quicker.
func (p *Page) Contrast() {
	p.Helper()
	p.axe(`runOnly: ["color-contrast"], `)
}

func (p *Page) axe(options string) {
	p.Helper()
	source, err := os.ReadFile(filepath.Join(npm.Folder(p), "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		p.Fatal(err)
	}
	if !Eval[bool](p, "'axe' in window") {
		Eval[chromedp.Void](p, string(source)+";undefined")
	}
	found := Eval[[]finding](p, `axe.run(document, {`+options+`resultTypes: ["violations"]}).then((r) => r.violations
		.filter((v) => v.impact === "serious" || v.impact === "critical")
		.map((v) => ({ID: v.id, Impact: v.impact, Help: v.help, Where: v.nodes.slice(0, 4).map((n) => n.html.slice(0, 160) + " " + (n.any[0]?.message ?? ""))})))`)
	for _, f := range found {
		p.Errorf("%s: %s (%s): %s\n\t%s", p.Path(), f.ID, f.Impact, f.Help, strings.Join(f.Where, "\n\t"))
	}
}

// AccessibleInBoth is Accessible in light and in dark colours.
func (p *Page) AccessibleInBoth() {
	p.Helper()
	p.Dark(true)
	p.Contrast()
	p.Dark(false)
	p.Accessible()
}
