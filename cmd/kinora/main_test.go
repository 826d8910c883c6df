package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv("KINORA_TEST_AS_PROGRAM") != "" { // a test wants a process of its own
		main()
	}
	goleak.VerifyTestMain(m)
}

// invocation is what one run of the program left behind.
type invocation struct {
	exit        int
	out, errOut string
}

// invoke runs the program in this process, on a clock that lets pauses pass at once.
func invoke(t *testing.T, stdin string, args ...string) invocation {
	t.Helper()
	return invokeContext(t, t.Context(), stdin, args...)
}

func invokeContext(t *testing.T, ctx context.Context, stdin string, args ...string) invocation {
	t.Helper()
	var out, errOut bytes.Buffer
	c := newConsole(strings.NewReader(stdin), &out, &errOut)
	c.clock = hastyClock{}
	exit := c.run(ctx, args)
	return invocation{exit: exit, out: out.String(), errOut: errOut.String()}
}

// hastyClock is a clock on which nobody waits.
type hastyClock struct{}

func (hastyClock) Now() time.Time { return time.Now() }

func (hastyClock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// isolate takes away what the environment of whoever runs the tests would add.
func isolate(t *testing.T) {
	t.Helper()
	for _, name := range []string{"KINORA_SERVER", "KINORA_KEY", "KINORA_ADMIN_TOKEN", "KINORA_CONFIG", "NO_COLOR"} {
		t.Setenv(name, "")
	}
}

// document reads the one JSON document that text must be.
func document(t *testing.T, text string) map[string]any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		t.Fatalf("not a JSON document: %v\n%s", err, text)
	}
	if dec.More() {
		t.Fatalf("more than one JSON document:\n%s", text)
	}
	return doc
}

// keysOf lists what an object has, as a JSON shape is a promise about names.
func keysOf(object any) string {
	m, _ := object.(map[string]any)
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	return sorted(keys)
}

func TestUsageErrors(t *testing.T) {
	isolate(t)
	for _, test := range []struct {
		name string
		args []string
		says string
	}{
		{"unknown command", []string{"frobnicate"}, "unexpected argument frobnicate"},
		{"unknown flag", []string{"version", "--colour"}, "unknown flag --colour"},
		{"missing flag", []string{"submit", "--model", "m"}, "--prompt"},
		{"missing id", []string{"status"}, `expected "<id>"`},
		{"bad duration", []string{"status", "task_1", "--timeout", "soon"}, "soon"},
		{"no key", []string{"status", "task_1"}, "no API key"},
		{"server is no URL", []string{"status", "task_1", "--key", "sk-k", "--server", "localhost"}, "base URL"},
		{"metadata without value", []string{"submit", "--model", "m", "--prompt", "p", "--key", "sk-k", "--meta", "n"}, "KEY=VALUE"},
		{"broken JSON in metadata", []string{"submit", "--model", "m", "--prompt", "p", "--key", "sk-k", "--meta", `a={"b":`}, "begins like JSON"},
		{"metadata twice", []string{"submit", "--model", "m", "--prompt", "p", "--key", "sk-k", "--meta", "a=1", "--meta", "a=2"}, "twice"},
		{"image that is no file", []string{"submit", "--model", "m", "--prompt", "p", "--key", "sk-k", "--image", "/no/such.png"}, "--image"},
		{"help on an unknown command", []string{"help", "frobnicate"}, "unexpected argument"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := invoke(t, "", test.args...)
			if got.exit != exitUsage || got.out != "" || !strings.Contains(got.errOut, test.says) {
				t.Fatalf("exit %d\nout: %s\nerr: %s\nwant exit %d and %q", got.exit, got.out, got.errOut, exitUsage, test.says)
			}
			got = invoke(t, "", append(test.args, "--json")...)
			if got.exit != exitUsage || got.out != "" {
				t.Fatalf("--json: exit %d, out %q", got.exit, got.out)
			}
			failed := document(t, got.errOut)["error"]
			if keysOf(failed) != "code exit_code hint message" {
				t.Errorf("keys of the failure: %s", keysOf(failed))
			}
		})
	}
}

func TestHelpTellsExitCodes(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"--help"}, {"-h"}} {
		got := invoke(t, "", args...)
		if got.exit != exitOK || got.errOut != "" {
			t.Fatalf("%v: exit %d, %s", args, got.exit, got.errOut)
		}
		for _, e := range exitCodes() {
			if !strings.Contains(got.out, e.meaning) {
				t.Errorf("%v: exit code %d is not explained", args, e.code)
			}
		}
	}
	one := invoke(t, "", "help", "submit")
	if one.exit != exitOK || !strings.Contains(one.out, "Usage: kinora submit") || !strings.Contains(one.out, "$KINORA_KEY") {
		t.Errorf("help submit: exit %d\n%s", one.exit, one.out)
	}
	none := invoke(t, "")
	if none.exit != exitUsage || !strings.Contains(none.out, "Usage: kinora <command>") {
		t.Errorf("no arguments: exit %d\n%s", none.exit, none.out)
	}
}

func TestExitCodesAreDistinct(t *testing.T) {
	seen := map[int]bool{}
	for _, e := range exitCodes() {
		if seen[e.code] || e.word == "" || e.meaning == "" {
			t.Errorf("exit code %d is listed twice or not explained", e.code)
		}
		seen[e.code] = true
	}
}

func TestVersion(t *testing.T) {
	text := invoke(t, "", "version")
	if text.exit != exitOK || !strings.HasPrefix(text.out, "kinora ") || text.errOut != "" {
		t.Errorf("version: %+v", text)
	}
	doc := document(t, invoke(t, "", "version", "--json").out)
	if keysOf(doc) != "commit go modified platform time version" {
		t.Errorf("keys of version: %s", keysOf(doc))
	}
}
