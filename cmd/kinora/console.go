package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-isatty"

	"github.com/kinora/kinora/client"
)

// console is what a command talks through: results go to out, everything about the way there to err.
type console struct {
	in       io.Reader
	out, err io.Writer
	json     bool // the result is one JSON document, and there is no progress

	outStyle, errStyle style
	live               bool // err is a terminal: progress may redraw itself

	clock client.Clock // what waiting is measured with; nil = the machine's
}

func newConsole(in io.Reader, out, err io.Writer) *console {
	return &console{
		in: in, out: out, err: err,
		outStyle: style{colour: coloured(out)}, errStyle: style{colour: coloured(err)},
		live: terminal(err) && os.Getenv("TERM") != "dumb",
	}
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

// coloured follows https://no-color.org: any value but the empty one switches colours off.
func coloured(w io.Writer) bool {
	return terminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// style decorates text for a terminal, or leaves it alone.
type style struct{ colour bool }

func (s style) wrap(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string { return s.wrap("1", text) }
func (s style) dim(text string) string  { return s.wrap("2", text) }
func (s style) good(text string) string { return s.wrap("32", text) }
func (s style) bad(text string) string  { return s.wrap("31", text) }

// result shows what a command found: as JSON, or as text by calling human.
func (c *console) result(document any, human func()) error {
	if c.json {
		return c.writeJSON(c.out, document)
	}
	human()
	return nil
}

func (c *console) writeJSON(w io.Writer, document any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // signed URLs hold "&", and are read by people too
	enc.SetIndent("", "  ")
	if err := enc.Encode(document); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// say writes a line of the result.
func (c *console) say(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }

// note writes a line about the way there, and nothing when the result is JSON.
func (c *console) note(format string, args ...any) {
	if !c.json {
		fmt.Fprintf(c.err, format+"\n", args...)
	}
}

// table writes rows in columns; cells are made printable. head is left out when empty.
func (c *console) table(head []string, rows [][]string) {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	if len(head) > 0 {
		fmt.Fprintln(w, strings.Join(head, "\t"))
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // to where the rest of the output goes; there is nobody left to tell
}

// printable takes out what would move a terminal's cursor or reorder its text: much of what is shown was written by
// others.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// orDash stands for what is not there in a table.
func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// size shows a number of bytes in units of 1,024.
func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

// elapsed shows a duration as people take it in: 340 ms, 4.2 s, 3 m 05 s.
func elapsed(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d m %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %02d m", int(d.Hours()), int(d.Minutes())%60)
}

// stamp shows a time in a table, to the second; the zero time is a dash.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// instant is a time in JSON: RFC 3339 in UTC, or null for the zero time.
type instant time.Time

func (t instant) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(time.Time(t).UTC())
}
