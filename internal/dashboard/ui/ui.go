// Package ui draws what all pages of the dashboard are made of: the frame around them, tables, forms, badges and the like. It
// knows nothing of services, sessions or routes. Nothing that it draws needs inline script or style, which the dashboard's
// content security policy forbids; docs/dashboard-development.md tells how pages use it.
package ui

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/a-h/templ"
)

// Setting is what components take from the context that they are drawn in.
type Setting struct {
	FormToken string    // goes into every form; empty = nobody is signed in
	Now       time.Time // what ages are counted from
	// Kept are tokens of their own that forms keep, by where they post to. All others get new ones.
	Kept map[string]string
}

type settingKey struct{}

// With returns a context for drawing with s.
func With(ctx context.Context, s Setting) context.Context {
	return context.WithValue(ctx, settingKey{}, s)
}

func setting(ctx context.Context) Setting {
	s, _ := ctx.Value(settingKey{}).(Setting)
	if s.Now.IsZero() {
		s.Now = time.Now()
	}
	return s
}

// TokenField and TokenHeader are where a form's token is sent, with and without scripts.
const (
	TokenField  = "form_token"
	TokenHeader = "X-Form-Token"
)

// OnceField is where a form sends a token of its own, by which it is known when it is sent a second time.
const OnceField = "once"

// once is a form's own token.
func once(ctx context.Context, action string) string {
	if kept := setting(ctx).Kept[action]; kept != "" {
		return kept
	}
	return rand.Text()
}

// Tone is what a badge, an alert or a button means, as its colour shows beside its words.
type Tone string

const (
	Neutral Tone = "neutral"
	Info    Tone = "info"
	Good    Tone = "good"
	Warning Tone = "warning"
	Danger  Tone = "danger"
)

// Flash is one message at the top of a page.
type Flash struct {
	Tone Tone   `json:"tone"`
	Text string `json:"text"`
}

// Link is a place to go to.
type Link struct {
	Label   string
	Href    string
	Icon    string // name of an icon; empty = none
	Current bool   // this is where one is
}

// Assets are the addresses of the files that every page loads.
type Assets struct {
	Stylesheet, Script, Htmx, HtmxSSE, Icon string
}

// Document is what every page has, whoever looks at it.
type Document struct {
	Title  string
	Theme  string // "light", "dark" or "" = as the browser wants
	Home   string // path of the dashboard's first page
	Switch string // path that a choice of theme is posted to
	Here   string // address of the page, where the choice leads back to
	Assets Assets
	Flash  *Flash // nil = none
}

// Frame is what surrounds the page of somebody who is signed in.
type Frame struct {
	Document
	Person        string // as shown
	Account       string // path of the own account
	SignOut       string // path that signing out is posted to
	Organisation  string // name of the one that the page is about; empty = none
	Organisations []Link // those to switch to
	Invitations   *Link  // what waits for the person's word; nil = nothing
	Areas         []Link // of the organisation
	Instance      []Link // areas of the operator
}

// Column is the head of a table's column.
type Column struct {
	Label   string
	Numeric bool
	Hidden  bool // the label is for screen readers only
}

// Option is a choice of a select field.
type Option struct {
	Value, Label string
}

// Field is a labelled control of a form. What is wrong with its value, and what helps to fill it in, are read out with it.
type Field struct {
	Name         string
	ID           string // where a page has several of one name; empty = "field-" and the name
	Label        string
	Type         string // of the input: "text" (or empty), "password", "email", "number", "url", "search", "datetime-local", "checkbox", "textarea"
	Value        string
	Help         string
	Error        string
	Placeholder  string
	Autocomplete string // "" = off for passwords, else the browser's way
	Required     bool
	Checked      bool // of a checkbox
	ReadOnly     bool
	Rows         int      // of a textarea; 0 = 4
	Min, Max     string   // of numbers
	Step         string   // of numbers: "any" takes fractions; empty = whole ones
	MaxLength    int      // characters; 0 = any
	Options      []Option // makes it a select
	Focus        bool     // has the focus when the page opens
}

func (f Field) id() string {
	if f.ID != "" {
		return f.ID
	}
	return "field-" + strings.ReplaceAll(f.Name, ".", "-")
}

func (f Field) describedBy() string {
	var ids []string
	if f.Help != "" {
		ids = append(ids, f.id()+"-help")
	}
	if f.Error != "" {
		ids = append(ids, f.id()+"-error")
	}
	return strings.Join(ids, " ")
}

func (f Field) kind() string {
	switch {
	case f.Options != nil:
		return "select"
	case f.Type == "":
		return "text"
	}
	return f.Type
}

// attributes are those of every kind of control.
func (f Field) attributes() templ.Attributes {
	a := templ.Attributes{"id": f.id(), "name": f.Name, "required": f.Required, "readonly": f.ReadOnly, "autofocus": f.Focus}
	if ids := f.describedBy(); ids != "" {
		a["aria-describedby"] = ids
	}
	if f.Error != "" {
		a["aria-invalid"] = "true"
	}
	for name, value := range map[string]string{"placeholder": f.Placeholder, "autocomplete": f.Autocomplete, "min": f.Min, "max": f.Max, "step": f.Step} {
		if value != "" {
			a[name] = value
		}
	}
	if f.MaxLength > 0 {
		a["maxlength"] = fmt.Sprint(f.MaxLength)
	}
	return a
}

func (f Field) rows() string {
	if f.Rows == 0 {
		return "4"
	}
	return fmt.Sprint(f.Rows)
}

// Confirm is a button that asks once more before it posts a form.
type Confirm struct {
	ID     string // of the dialog; unique on the page
	Button string // what opens it
	About  string // what the button is about, for who hears it among others of its name; empty = the page
	Tone   Tone   // Danger for what cannot be taken back
	Title  string
	Text   string
	Action string // where the form is posted to
	Submit string // label of the button that does it; empty = as Button
	Small  bool
}

func (c Confirm) submit() string {
	if c.Submit == "" {
		return c.Button
	}
	return c.Submit
}

func buttonClass(tone Tone, small bool) string {
	class := "button"
	if tone != "" && tone != Neutral {
		class += " button-" + string(tone)
	}
	if small {
		class += " button-small"
	}
	return class
}

// age is how long ago t was, in the coarsest unit that says enough.
func age(now, t time.Time) string {
	d, form := now.Sub(t), "%s ago"
	if d < 0 {
		d, form = -d, "in %s"
	}
	switch {
	case d < 10*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf(form, fmt.Sprintf("%d s", int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf(form, fmt.Sprintf("%d min", int(d.Minutes())))
	case d < 48*time.Hour:
		return fmt.Sprintf(form, fmt.Sprintf("%d h", int(d.Hours())))
	}
	return fmt.Sprintf(form, fmt.Sprintf("%d d", int(d.Hours()/24)))
}

func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// htmxSettings keep htmx within the content security policy, and pages with people's data out of the browser's storage. Errors
// are shown where an answer says (HX-Retarget).
const htmxSettings = `{"allowEval":false,"includeIndicatorStyles":false,"allowScriptTags":false,"historyCacheSize":0,"refreshOnHistoryMiss":true,` +
	`"selfRequestsOnly":true,"attributesToSettle":["class"],"responseHandling":[{"code":"204","swap":false},{"code":"...","swap":true}]}`
