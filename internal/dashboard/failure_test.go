package dashboard

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// failingGenerations cannot be read.
type failingGenerations struct {
	Generations
	err error
}

func (g failingGenerations) Search(context.Context, string, kinora.GenerationSearch, string, int) ([]kinora.Listed, string, error) {
	return nil, "", g.err
}

// What went wrong inside is in the log with the request's number, which the page shows instead of it; what visitors should
// understand is on the page.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		err           error
		status        int
		shown, hidden string
		logged        bool
	}{
		"inside":      {errors.New("pq: secret detail"), http.StatusInternalServerError, "req_test", "secret detail", true},
		"coded":       {&kinora.Error{Code: kinora.ErrInternal, Message: "secret detail"}, http.StatusInternalServerError, "req_test", "secret detail", true},
		"unavailable": {&kinora.Error{Code: kinora.ErrUnavailable, Message: "the database is out of reach", Err: errors.New("secret detail")}, http.StatusServiceUnavailable, "the database is out of reach", "secret detail", true},
		"invalid":     {kinora.Errorf(kinora.ErrInvalid, "input.prompt must not be empty"), http.StatusUnprocessableEntity, "input.prompt must not be empty", "req_test", false},
		"limited":     {&kinora.Error{Code: kinora.ErrRateLimited, Message: "too many", RetryAfter: 1500 * time.Millisecond}, http.StatusTooManyRequests, "too many", "req_test", false},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			s := newStand(t, func(cfg *Config) {
				cfg.Generations = failingGenerations{err: c.err}
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			ask := func(part bool) *httptest.ResponseRecorder {
				r := httptest.NewRequest(http.MethodGet, "http://kinora.test"+Prefix+"/o/"+north+"/generations", nil)
				r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "member"})
				if part {
					r.Header.Set("HX-Request", "true")
				}
				return s.send(r)
			}
			for _, part := range []bool{false, true} {
				got := ask(part)
				body := got.Body.String()
				if got.Code != c.status || !strings.Contains(body, c.shown) || strings.Contains(body, c.hidden) {
					t.Errorf("part %v: %d %s", part, got.Code, body)
				}
				if whole := strings.Contains(body, "<html"); whole == part || part && got.Header().Get("HX-Retarget") != "#flash" {
					t.Errorf("part %v: a whole page: %v", part, whole)
				}
				if c.err.Error() == "too many" && got.Header().Get("Retry-After") != "2" {
					t.Errorf("Retry-After is %q", got.Header().Get("Retry-After"))
				}
			}
			if logged := strings.Contains(log.String(), "request_id=req_test"); logged != c.logged {
				t.Errorf("logged: %s", log.String())
			}
		})
	}
}
