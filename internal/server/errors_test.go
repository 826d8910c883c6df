package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kinora/kinora"
)

func errorCodes() []kinora.ErrorCode {
	return []kinora.ErrorCode{
		kinora.ErrInvalid, kinora.ErrUnauthorized, kinora.ErrForbidden, kinora.ErrNotFound, kinora.ErrConflict, kinora.ErrTooLarge,
		kinora.ErrRateLimited, kinora.ErrBudget, kinora.ErrNoUpstream, kinora.ErrUnavailable, kinora.ErrInternal,
		errMalformed, errMethod, errMedia, errRange, errRoute, errOverload, errClient,
	}
}

// Every dialect has an answer for every code, and says no more than its contract allows.
func TestDialectsAnswerEveryCode(t *testing.T) {
	documented := map[string][]int{
		"submit":      {400, 401, 402, 403, 404, 405, 409, 415, 416, 429, 499, 500, 502, 503},
		"detail":      {400, 401, 403, 404, 405, 409, 413, 415, 416, 422, 429, 499, 500, 503},
		"generations": {400, 401, 403, 404, 405, 409, 415, 416, 422, 429, 499, 500, 503},
		"openai":      {400, 401, 403, 404, 405, 409, 413, 415, 416, 429, 499, 500, 503},
		"admin":       {400, 401, 403, 404, 405, 409, 413, 415, 416, 429, 499, 500, 503},
	}
	for _, d := range dialects() {
		for _, code := range errorCodes() {
			a, ok := d.answers[code]
			if !ok {
				t.Errorf("%s has no answer for %s", d.name, code)
				continue
			}
			found := false
			for _, status := range documented[d.name] {
				found = found || status == a.status
			}
			if !found {
				t.Errorf("%s answers %s with the undocumented %d", d.name, code, a.status)
			}
			if d != &detailDialect && a.word == "" {
				t.Errorf("%s has no word for %s", d.name, code)
			}
		}
	}
}

func TestDetailEnvelope(t *testing.T) {
	f := newFixture(t)
	for want, err := range map[string]error{
		`400 {"detail":"Invalid upload path"}`:   refuse(kinora.ErrInvalid, "Invalid upload path"),
		`401 {"detail":"Unauthorized"}`:          refuse(kinora.ErrUnauthorized, "unknown API key"),
		`413 {"detail":"File too large"}`:        refuse(kinora.ErrTooLarge, "request body too large"),
		`429 {"detail":"Too many requests"}`:     refuse(kinora.ErrRateLimited, "x"),
		`500 {"detail":"Internal server error"}`: context.Canceled,
		`422 {"detail":[{"loc":["body","file"],"msg":"field required","type":"value_error.missing"}]}`: &fieldMissing{"file"},
	} {
		w := httptest.NewRecorder()
		f.fail(context.Background(), &exchange{w: w, route: &route{dialect: &detailDialect}}, err)
		if got := w.Result().Status[:4] + w.Body.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// In dialects without a word for it a missing field is an invalid request.
func TestFieldMissingElsewhere(t *testing.T) {
	f := newFixture(t)
	w := httptest.NewRecorder()
	f.fail(context.Background(), &exchange{w: w, route: &route{dialect: &adminDialect}}, &fieldMissing{"name"})
	is(t, w, 400, `{"error":{"code":"invalid","message":"name is required"}}`)
}

func TestAdminEnvelopeShowsHints(t *testing.T) {
	f := newFixture(t)
	w := httptest.NewRecorder()
	f.fail(context.Background(), &exchange{w: w, route: &route{dialect: &adminDialect}},
		&kinora.Error{Code: kinora.ErrConflict, Message: "taken", Hint: "choose another name"})
	is(t, w, 409, `{"error":{"code":"conflict","message":"taken","hint":"choose another name"}}`)
}

// Whatever a message holds, the body stays JSON and the message comes through.
func TestErrorBodiesAreJSON(t *testing.T) {
	f := newFixture(t)
	for _, d := range dialects() {
		for _, message := range []string{"a\"b\\c", "<script>&", "\x00\n\u2028", "\xff", ""} {
			w := httptest.NewRecorder()
			f.fail(context.Background(), &exchange{w: w, route: &route{dialect: d}}, refuse(kinora.ErrInvalid, "%s", message))
			if !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != "application/json" || w.Code == http.StatusOK {
				t.Errorf("%s: %q became %q", d.name, message, w.Body)
			}
		}
	}
}
