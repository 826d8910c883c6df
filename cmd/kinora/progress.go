package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	barWidth = 24 // cells
	redraw   = 120 * time.Millisecond
)

// progress shows how generations come along: on a terminal one line each, redrawn in place; elsewhere one line of text
// per change; with --json nothing. Its methods may be called from any goroutine.
type progress struct {
	w     io.Writer
	style style
	mode  progressMode

	mu    sync.Mutex
	rows  []*progressRow
	width int // of the longest label
	frame int
	drawn int // lines on the terminal that belong to us

	stop chan struct{} // nil = nothing redraws
	done chan struct{}
}

type progressMode int

const (
	progressNone  progressMode = iota
	progressLines              // one line per change
	progressLive               // redrawn in place
)

// progressRow is one generation.
type progressRow struct {
	label   string
	state   string
	percent int
	started time.Time
	took    time.Duration // 0 = not ended
	failed  bool
}

// startProgress begins to show; finish must be called.
func (c *console) startProgress(labels ...string) *progress {
	p := &progress{w: c.err, style: c.errStyle, mode: progressLines}
	switch {
	case c.json:
		p.mode = progressNone
	case c.live:
		p.mode = progressLive
	}
	now := time.Now()
	for _, label := range labels {
		p.rows = append(p.rows, &progressRow{label: label, started: now})
		p.width = max(p.width, len([]rune(label)))
	}
	if p.mode == progressLive {
		p.stop, p.done = make(chan struct{}), make(chan struct{})
		go p.animate()
	}
	return p
}

func (p *progress) animate() {
	defer close(p.done)
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		p.draw()
		select {
		case <-tick.C:
		case <-p.stop:
			return
		}
	}
}

// set tells where row i stands. Once it has ended it stays as it is.
func (p *progress) set(i int, state string, percent int) {
	p.update(i, state, percent, func(*progressRow) {})
}

// end says that row i is done with.
func (p *progress) end(i int, state string, percent int, failed bool) {
	p.update(i, state, percent, func(r *progressRow) {
		r.took, r.failed = max(time.Since(r.started), 1), failed
	})
}

func (p *progress) update(i int, state string, percent int, then func(*progressRow)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rows[i]
	if r.took != 0 {
		return
	}
	state = strings.ReplaceAll(state, "_", " ")
	changed := r.state != state || r.percent != percent
	r.state, r.percent = state, percent
	then(r)
	if changed && p.mode == progressLines {
		fmt.Fprintf(p.w, "%s%s\n", p.label(r), p.words(r))
	}
}

// finish stops redrawing and leaves the last state on the screen. It may be called twice.
func (p *progress) finish() {
	if p.stop == nil {
		return
	}
	close(p.stop)
	<-p.done
	p.stop = nil
	p.draw()
}

// draw writes all rows over what was drawn before.
func (p *progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, r := range p.rows {
		b.WriteString("\r\x1b[K" + p.live(r) + "\n")
	}
	p.drawn = len(p.rows)
	p.frame++
	_, _ = io.WriteString(p.w, b.String())
}

// live is a row as a terminal shows it: at most 79 columns with a label of 10, so that it never wraps.
func (p *progress) live(r *progressRow) string {
	spinner := []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
	mark, took := p.style.dim(spinner[p.frame%len(spinner)]), time.Since(r.started)
	if r.took != 0 {
		took = r.took
		if mark = p.style.good("✓"); r.failed {
			mark = p.style.bad("✗")
		}
	}
	filled := min(max(r.percent, 0), 100) * barWidth / 100
	bar := strings.Repeat("━", filled) + p.style.dim(strings.Repeat("─", barWidth-filled))
	return fmt.Sprintf("%s %s%s %3d %%  %-11s  %s", mark, p.label(r), bar, r.percent, r.state, p.style.dim(elapsed(took)))
}

func (p *progress) label(r *progressRow) string {
	if p.width == 0 {
		return ""
	}
	return r.label + strings.Repeat(" ", p.width-len([]rune(r.label))+2)
}

func (p *progress) words(r *progressRow) string {
	text := fmt.Sprintf("%s %d %%", r.state, r.percent)
	if r.took != 0 {
		text += ", " + elapsed(r.took)
	}
	return text
}
