package ui

import (
	"fmt"
	"strconv"
	"strings"
)

// Chart is a chart of bars, one for each step, with a part for each series on top of each other. Its figures stand below it as a
// table too, for those who do not see it.
type Chart struct {
	Label  string             // what it shows
	Step   string             // what a step is, as the head of the table's first column: "Day"
	Steps  []string           // the label of each
	Series []Series           // from the bottom of each bar upwards
	Format func(int64) string // writes a value with its unit; nil = the number
}

// Series is one part of each of a chart's bars.
type Series struct {
	Name   string
	Values []int64 // one for each step; none is negative
	Tone   Tone    // its colour where it means something; empty = the next of six that mean nothing
}

// MaxColours is how many series can be told apart by colour.
const MaxColours = 6

// The sizes of a chart in units of its own; style sheets stretch it.
const (
	chartHeight = 100.0
	slotWidth   = 10.0
	// leastPart is the height of the smallest value that is not nothing, so that it can be seen.
	leastPart = 1.0
)

// bar is one step of a chart as it is drawn.
type bar struct {
	x, width float64
	slot     float64 // where its place begins
	title    string
	parts    []barPart
}

type barPart struct {
	class     string
	y, height float64
}

func (c Chart) format(n int64) string {
	if c.Format == nil {
		return strconv.FormatInt(n, 10)
	}
	return c.Format(n)
}

// colour is the class of a series.
func (c Chart) colour(i int) string {
	if t := c.Series[i].Tone; t != "" {
		return "series-" + string(t)
	}
	return fmt.Sprintf("series-%d", i%MaxColours+1)
}

func (c Chart) total(step int) (sum int64) {
	for _, s := range c.Series {
		sum += s.Values[step]
	}
	return sum
}

func (c Chart) sum() (sum int64) {
	for i := range c.Steps {
		sum += c.total(i)
	}
	return sum
}

// top is what the scale ends at: an even number of few digits, not below any bar.
func (c Chart) top() int64 {
	var most int64
	for i := range c.Steps {
		most = max(most, c.total(i))
	}
	for unit := int64(1); unit < 1e17; unit *= 10 {
		for _, digit := range []int64{2, 4, 6, 8} {
			if digit*unit >= most {
				return digit * unit
			}
		}
	}
	return most
}

func (c Chart) bars() []bar {
	top, width := float64(c.top()), slotWidth*0.8
	if len(c.Steps) < 12 {
		width = slotWidth * 0.5
	}
	bars := make([]bar, len(c.Steps))
	for i := range c.Steps {
		b := bar{slot: float64(i) * slotWidth, width: width, title: c.words(i)}
		b.x = b.slot + (slotWidth-width)/2
		y := chartHeight
		for n, s := range c.Series {
			if s.Values[i] <= 0 {
				continue
			}
			height := max(leastPart, float64(s.Values[i])/top*chartHeight)
			y = max(0, y-height)
			b.parts = append(b.parts, barPart{class: c.colour(n), y: y, height: height})
		}
		bars[i] = b
	}
	return bars
}

// words tell of one step what its bar shows.
func (c Chart) words(step int) string {
	var b strings.Builder
	b.WriteString(c.Steps[step] + ": " + c.format(c.total(step)))
	for _, s := range c.Series {
		if len(c.Series) > 1 && s.Values[step] > 0 {
			fmt.Fprintf(&b, "\n%s: %s", s.Name, c.format(s.Values[step]))
		}
	}
	return b.String()
}

// summary tells in a sentence what the picture shows.
func (c Chart) summary() string {
	if len(c.Steps) == 0 {
		return c.Label
	}
	return fmt.Sprintf("%s, %s to %s: %s in all. The figures are in the table below.", c.Label, c.Steps[0], c.Steps[len(c.Steps)-1], c.format(c.sum()))
}

// times are the steps that are named below the chart.
func (c Chart) times() []string {
	switch n := len(c.Steps); {
	case n == 0:
		return nil
	case n < 3:
		return c.Steps
	default:
		return []string{c.Steps[0], c.Steps[n/2], c.Steps[n-1]}
	}
}

func (c Chart) columns() []Column {
	columns := []Column{{Label: c.Step}}
	for _, s := range c.Series {
		columns = append(columns, Column{Label: s.Name, Numeric: true})
	}
	if len(c.Series) > 1 {
		columns = append(columns, Column{Label: "Together", Numeric: true})
	}
	return columns
}

func (c Chart) viewBox() string {
	return "0 0 " + units(max(1, float64(len(c.Steps)))*slotWidth) + " " + units(chartHeight)
}

// units writes a length of the chart.
func units(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }
