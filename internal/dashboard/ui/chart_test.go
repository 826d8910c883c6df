package ui

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestChartsEndAtRoundNumbers(t *testing.T) {
	for most, want := range map[int64]int64{0: 2, 1: 2, 2: 2, 3: 4, 5: 6, 8: 8, 9: 20, 20: 20, 61: 80, 81: 200, 1_250_000: 2_000_000} {
		c := Chart{Steps: []string{"a", "b"}, Series: []Series{{Values: []int64{0, most}}}}
		if got := c.top(); got != want {
			t.Errorf("a chart up to %d ends at %d, want %d", most, got, want)
		}
	}
}

// No bar leaves the picture, and none that is something is too small to see.
func TestBarsStayInTheirChart(t *testing.T) {
	c := Chart{Steps: []string{"a", "b", "c"}, Series: []Series{{Values: []int64{1, 0, 999}}, {Values: []int64{999, 0, 1}}, {Values: []int64{1000, 0, 0}}}}
	bars := c.bars()
	if len(bars) != 3 || len(bars[1].parts) != 0 {
		t.Fatalf("%+v", bars)
	}
	for _, b := range bars {
		if b.x < b.slot || b.x+b.width > b.slot+slotWidth {
			t.Errorf("bar from %v to %v in a place that begins at %v", b.x, b.x+b.width, b.slot)
		}
		for _, p := range b.parts {
			if p.y < 0 || p.y+p.height > chartHeight+0.001 || p.height < leastPart {
				t.Errorf("part from %v, %v high", p.y, p.height)
			}
		}
	}
}

func TestChartsTellWhatTheyShow(t *testing.T) {
	c := Chart{Label: "Generations", Step: "Day", Steps: []string{"1 May", "2 May"}, Format: func(n int64) string { return fmt.Sprintf("%d pcs", n) },
		Series: []Series{{Name: `<b>model</b>`, Values: []int64{3, 4}}, {Name: "failed", Values: []int64{0, 5}, Tone: Danger}}}
	var drawn bytes.Buffer
	if err := Bars(c).Render(t.Context(), &drawn); err != nil {
		t.Fatal(err)
	}
	text := drawn.String()
	for _, want := range []string{"Generations, 1 May to 2 May: 12 pcs in all", "2 May: 9 pcs\n&lt;b&gt;model&lt;/b&gt;: 4 pcs\nfailed: 5 pcs", "series-danger", `<td data-label="failed" class="number">5 pcs</td>`} {
		if !strings.Contains(text, want) {
			t.Errorf("the chart lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "<b>") || strings.Contains(text, "style=") {
		t.Errorf("the chart has markup of a name, or style:\n%s", text)
	}
}
