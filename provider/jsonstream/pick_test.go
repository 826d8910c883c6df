package jsonstream_test

import (
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kinora/kinora/provider/jsonstream"
)

// document notes that it was closed.
type document struct {
	io.Reader
	closed bool
}

func (d *document) Close() error { d.closed = true; return nil }

func TestPick(t *testing.T) {
	large := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("large ", 10_000)))
	which := func(path []string) jsonstream.Found {
		switch strings.Join(path, "/") {
		case "files/1":
			return jsonstream.Wanted
		case "files/0":
			return jsonstream.Unwanted
		}
		return jsonstream.Other
	}
	errRead := errors.New("reset")
	for name, tc := range map[string]struct {
		document io.Reader
		want     string
		err      error
	}{
		"it is there":              {strings.NewReader(`{"id":"x","files":["` + large + `","aGVsbG8="]}`), "hello", nil},
		"what follows is not read": {io.MultiReader(strings.NewReader(`{"files":["","aGVsbG8=" oops`)), "hello", nil},
		"it is not there":          {strings.NewReader(`{"files":["` + large + `"]}`), "", jsonstream.ErrAbsent},
		"no base64":                {strings.NewReader(`{"files":["","aGVs!!!"]}`), "hel", base64.CorruptInputError(4)},
		"it breaks off":            {io.MultiReader(strings.NewReader(`{"files":["","aGVs`), faulty{errRead}), "hel", errRead},
		"too much beside it":       {strings.NewReader(`{"id":"` + large + `"}`), "", jsonstream.ErrTooLarge},
		"no JSON":                  {strings.NewReader(`<html>`), "", jsonstream.ErrSyntax},
	} {
		d := &document{Reader: tc.document}
		var told error
		body := jsonstream.Pick(d, 1000, which, func(err error) error { told = err; return errors.Join(errors.New("told"), err) })
		got, err := io.ReadAll(body)
		if string(got) != tc.want || (err == nil) != (tc.err == nil) || err != nil && (!strings.HasPrefix(err.Error(), "told") || !same(told, tc.err)) {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, err, tc.want, tc.err)
		}
		if err := body.Close(); err != nil || !d.closed {
			t.Errorf("%s: closed %v, %v", name, d.closed, err)
		}
	}
	// A reader who leaves early ends the reading of the document.
	d := &document{Reader: strings.NewReader(`{"files":["","` + large + `"]}`)}
	body := jsonstream.Pick(d, 1000, which, func(err error) error { return err })
	if _, err := body.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil || !d.closed {
		t.Errorf("closed %v, %v", d.closed, err)
	}
}

// same compares by kind: where exactly base64 is damaged is not the point.
func same(got, want error) bool {
	var damaged base64.CorruptInputError
	if errors.As(want, &damaged) {
		return errors.As(got, &damaged)
	}
	return errors.Is(got, want)
}

type faulty struct{ err error }

func (f faulty) Read([]byte) (int, error) { return 0, f.err }
