package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
)

func TestExplain(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		exit int
		code string
		says string
	}{
		{"invalid", kinora.Errorf(kinora.ErrInvalid, "name is required"), exitUsage, "invalid", "name is required"},
		{"too large", kinora.Errorf(kinora.ErrTooLarge, "x"), exitUsage, "too_large", ""},
		{"unauthorised", kinora.Errorf(kinora.ErrUnauthorized, "x"), exitUnauthorised, "unauthorized", ""},
		{"forbidden", kinora.Errorf(kinora.ErrForbidden, "x"), exitUnauthorised, "forbidden", ""},
		{"not found", fmt.Errorf("key: %w", kinora.Errorf(kinora.ErrNotFound, "key not found")), exitNotFound, "not_found", "key: key not found"},
		{"conflict", kinora.Errorf(kinora.ErrConflict, "x"), exitConflict, "conflict", ""},
		{"rate", kinora.Errorf(kinora.ErrRateLimited, "x"), exitUnavailable, "rate_limited", ""},
		{"no upstream", kinora.Errorf(kinora.ErrNoUpstream, "x"), exitUnavailable, "no_upstream", ""},
		{"unavailable", &kinora.Error{Code: kinora.ErrUnavailable, Op: "open database", Message: "in use", Hint: "stop it", Err: context.DeadlineExceeded},
			exitUnavailable, "unavailable", "stop it"},
		{"internal", kinora.Errorf(kinora.ErrInternal, "x"), exitFailure, "internal", ""},
		{"cancelled", fmt.Errorf("wait: %w", context.Canceled), exitInterrupted, "interrupted", "interrupted"},
		{"time is up", fmt.Errorf("wait: %w", context.DeadlineExceeded), exitTimeout, "timeout", "time is up"},
		{"network time-out is no --timeout", fmt.Errorf("%w: %w", client.ErrUnavailable, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}),
			exitUnavailable, "unavailable", "gave no answer"},
		{"generation failed", &client.TaskFailedError{Task: client.Task{ID: "task_1", ErrorMessage: "refused"}}, exitGeneration, "generation_failed", "refused"},
		{"file", &fs.PathError{Op: "open", Path: "/x", Err: fs.ErrPermission}, exitFailure, "failure", "/x"},
		{"hint kept", withHint(kinora.Errorf(kinora.ErrNotFound, "gone"), "look elsewhere"), exitNotFound, "not_found", "look elsewhere"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			c := newConsole(strings.NewReader(""), &out, &errOut)
			if exit := c.fail(test.err); exit != test.exit || !strings.Contains(errOut.String(), test.says) {
				t.Errorf("exit %d, want %d with %q:\n%s", exit, test.exit, test.says, errOut.String())
			}
			errOut.Reset()
			c.json = true
			c.fail(test.err)
			failed, _ := document(t, errOut.String())["error"].(map[string]any)
			if failed["code"] != test.code || failed["exit_code"] != float64(test.exit) {
				t.Errorf("JSON: %v, want code %q", failed, test.code)
			}
			if out.Len() > 0 {
				t.Errorf("a failure wrote to standard output: %s", out.String())
			}
		})
	}
	if exit := newConsole(nil, nil, nil).fail(nil); exit != exitOK {
		t.Errorf("no error: exit %d", exit)
	}
	if err := withHint(errors.New("x"), "y"); err.Error() != "x" {
		t.Errorf("withHint changed the message to %q", err)
	}
}

func TestForeignTextCannotDriveTheTerminal(t *testing.T) {
	var errOut bytes.Buffer
	c := newConsole(nil, &errOut, &errOut)
	c.fail(kinora.Errorf(kinora.ErrInvalid, "\x1b[2Jgone\r\nforged: \u202eline"))
	for _, r := range errOut.String() {
		if r == '\x1b' || r == '\r' || r == '\u202e' {
			t.Errorf("%q came through", r)
		}
	}
	if lines := strings.Count(errOut.String(), "\n"); lines != 1 {
		t.Errorf("%d lines", lines)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	var b bytes.Buffer
	p := &progress{w: &b, mode: progressLive, width: 5}
	p.rows = []*progressRow{{label: "image", started: time.Now()}, {label: "video", started: time.Now()}}
	p.set(0, "not_started", 0)
	p.draw()
	p.set(0, "running", 50)
	p.end(1, "failed", 70, true)
	p.set(1, "running", 99) // comes late and changes nothing
	p.draw()
	frames := strings.Split(b.String(), "\x1b[2A")
	if len(frames) != 2 {
		t.Fatalf("the second drawing does not begin by going back up:\n%q", b.String())
	}
	if !strings.Contains(frames[0], "not started") || !strings.Contains(frames[1], " 50 %") {
		t.Errorf("rows: %q", frames)
	}
	if !strings.Contains(frames[1], "✗ video") || !strings.Contains(frames[1], " 70 %  failed") {
		t.Errorf("the failed row: %q", frames[1])
	}
	p.width = 10
	for _, r := range p.rows {
		r.label, r.took, r.percent, r.state = "0123456789", 59*time.Minute+59*time.Second, 100, "not started"
		if n := utf8.RuneCountInString(p.live(r)); n > 79 {
			t.Errorf("a row of %d columns would wrap", n)
		}
	}
}

func TestProgressElsewhere(t *testing.T) {
	var b bytes.Buffer
	c := newConsole(nil, &b, &b)
	p := c.startProgress("")
	p.set(0, "running", 10)
	p.set(0, "running", 10)
	p.set(0, "running", 11)
	p.finish()
	p.finish()
	if got := b.String(); got != "running 10 %\nrunning 11 %\n" {
		t.Errorf("one line per change: %q", got)
	}
	b.Reset()
	c.json = true
	p = c.startProgress("")
	p.set(0, "running", 10)
	p.finish()
	if b.Len() > 0 {
		t.Errorf("progress beside JSON: %q", b.String())
	}
}

func TestProgressRedrawsUntilFinished(t *testing.T) {
	var b bytes.Buffer // only the animation writes until finish has returned
	c := newConsole(nil, &b, &b)
	c.live = true
	p := c.startProgress("image")
	p.end(0, "finished", 100, false)
	p.finish()
	if !strings.Contains(b.String(), "✓ image") || !strings.HasSuffix(b.String(), "\n") {
		t.Errorf("last state: %q", b.String())
	}
}

func TestElapsed(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 340 * time.Millisecond: "340 ms", 4200 * time.Millisecond: "4.2 s",
		185 * time.Second: "3 m 05 s", 3*time.Hour + 4*time.Minute: "3 h 04 m",
	} {
		if got := elapsed(d); got != want {
			t.Errorf("elapsed(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestShellQuoted(t *testing.T) {
	for in, want := range map[string]string{"": "''", "a/b-c.png": "a/b-c.png", "a b": "'a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'"} {
		if got := shellQuoted(in); got != want {
			t.Errorf("shellQuoted(%q) = %s, want %s", in, got, want)
		}
	}
}
