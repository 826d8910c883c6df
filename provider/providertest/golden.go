package providertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kinora/kinora/provider"
)

// testGolden compares the HTTP form of requests with what is kept in files.
func (s *Suite) testGolden(t *testing.T) {
	requests := map[string]provider.Request{"submit": s.Request}
	maps.Copy(requests, s.Golden)
	for name, req := range requests {
		t.Run(name, func(t *testing.T) {
			if err := s.Provider.Validate(req); err != nil {
				t.Errorf("Validate refuses it: %v", err)
			}
			u := s.upstream(t)
			u.Answer(s.Accepted)
			if _, err := s.Provider.Submit(t.Context(), u.With(s.Account), req); err != nil {
				t.Errorf("submit: %v", err)
			}
			s.compareGolden(t, name, u.Take())
		})
	}
	calls := map[string]func(provider.Upstream) error{}
	if !s.traits().Synchronous {
		calls["poll"] = func(up provider.Upstream) error {
			_, err := s.Provider.Poll(t.Context(), up, []provider.Job{s.Job})
			return err
		}
	}
	if p, ok := s.Provider.(provider.Canceler); ok && s.cancels() && !s.traits().Synchronous {
		calls["cancel"] = func(up provider.Upstream) error { return p.Cancel(t.Context(), up, s.Job) }
	}
	if p, ok := s.Provider.(provider.Reconciler); ok && s.reconciles() {
		calls["reconcile"] = func(up provider.Upstream) error {
			_, err := p.Reconcile(t.Context(), up, s.Request)
			return err
		}
	}
	answers := map[string]Reply{"cancel": s.Cancelled, "reconcile": s.Found}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			u := s.upstream(t)
			if name == "reconcile" {
				u = s.reconciled(t)
			}
			if name == "poll" {
				u.Answer(s.Poll(map[string]string{s.Job.UpstreamID: "a word nobody knows"}))
			} else {
				u.Answer(answers[name])
			}
			if err := call(u.With(s.Account)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			s.compareGolden(t, name, u.Take())
		})
	}
}

func (s *Suite) compareGolden(t *testing.T, name string, requests []Recorded) {
	t.Helper()
	var got strings.Builder
	for i, r := range requests {
		if i > 0 {
			got.WriteString("\n\n")
		}
		got.WriteString(s.print(r))
	}
	path := filepath.Join("testdata", s.Folder, strings.ReplaceAll(name, " ", "_")+".golden")
	if s.Update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s is not there; run the test with -update and read what it writes\ngot:\n%s", path, got.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the request differs from %s\ngot:\n%s\nwant:\n%s", path, got.String(), want)
	}
}

// unstable are headers that say nothing about the provider.
var unstable = []string{"Accept-Encoding", "Content-Length", "User-Agent"}

// print writes a request as text without secrets.
func (s *Suite) print(r Recorded) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.Method, r.Target)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if !slices.Contains(unstable, name) {
			for _, v := range r.Header[name] {
				fmt.Fprintf(&b, "%s: %s\n", name, v)
			}
		}
	}
	if len(r.Body) > 0 {
		b.WriteString("\n")
		var indented bytes.Buffer
		if json.Indent(&indented, r.Body, "", "  ") == nil {
			b.Write(indented.Bytes())
		} else {
			b.Write(r.Body)
		}
		b.WriteString("\n")
	}
	out := b.String()
	for name, secret := range s.secrets() {
		out = strings.ReplaceAll(out, secret, "<"+name+">")
	}
	if s.Redact != nil {
		out = s.Redact(out)
	}
	return out
}

func (s *Suite) testValidate(t *testing.T) {
	before := fmt.Sprintf("%#v", s.Request)
	if err := s.Provider.Validate(s.Request); err != nil {
		t.Errorf("the suite's request is refused: %v", err)
	}
	if after := fmt.Sprintf("%#v", s.Request); after != before {
		t.Errorf("Validate changed the request from %s to %s", before, after)
	}
	for says, req := range s.Refused {
		err := s.Provider.Validate(req)
		if err == nil {
			t.Errorf("a request is not refused that should be with %q", says)
			continue
		}
		if e := s.checkError(t, err); e.Class != provider.Invalid || !strings.Contains(e.Message, says) {
			t.Errorf("refused with class %s and %q, want %s and %q", e.Class, e.Message, provider.Invalid, says)
		}
	}
}

func pathOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Path
}
