package minimax

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/time/rate"

	"github.com/kinora/kinora/internal/simulator"
)

// maxBody is the largest body of a submit, in bytes.
const maxBody = 64 << 20

// readSubmit reads a submit's body into a version's own shape.
func (s *Simulator) readSubmit(w http.ResponseWriter, r *http.Request, limit *rate.Limiter, into any) (json.RawMessage, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			return nil, invalid("the request body is larger than 64 MB")
		}
		simulator.Abort() // the caller has left
	}
	s.counts.submits.Add(1)
	if limit != nil && !limit.AllowN(s.clock.Now(), 1) {
		return nil, refused(1002, codeWords[1002])
	}
	if err := json.Unmarshal(body, into); err != nil {
		var typed *json.UnmarshalTypeError
		if errors.As(err, &typed) && typed.Field != "" {
			return nil, invalid("%s has the wrong type", typed.Field)
		}
		return nil, invalid("the body is not the JSON that was expected")
	}
	return body, nil
}

// take accepts a video job that has been understood: the misfortunes that it orders, the
// challenge, the job itself and its callbacks, and at last the answer.
func (s *Simulator) take(w http.ResponseWriter, r *http.Request, j *job, answer func() any) error {
	j.orders = simulator.ReadOrders(r.Header, j.prompt)
	j.host = s.host(r)
	if err := s.refusal(j.orders, j.prompt); err != nil {
		return err
	}
	if j.orders["drop"] == "before" {
		simulator.Abort()
	}
	if j.callbackURL != "" && !s.challenge(r.Context(), j.callbackURL) {
		return invalid("fail to check callback url")
	}
	now := s.clock.Now()
	j.plan(now, s.cfg.VideoTime)
	if err := s.insert(j, now); err != nil {
		return err
	}
	if j.orders["callback"] == "early" {
		s.post(r.Context(), j, j.created)
	}
	s.planCallbacks(j)
	return s.afterAccept(w, r, j.orders, answer())
}

// afterAccept answers a submit that has taken effect, as the prompt orders.
func (s *Simulator) afterAccept(w http.ResponseWriter, r *http.Request, o simulator.Orders, answer any) error {
	s.hold(r.Context(), o.Duration("late", 0))
	switch {
	case o["drop"] == "after":
		simulator.Abort()
	case o["answer"] == "half":
		writeHalf(w, answer)
	case o["answer"] == "500":
		http.Error(w, "internal server error", http.StatusInternalServerError)
		return nil
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// interrupted does to a query what the job orders for its first ones.
func (s *Simulator) interrupted(w http.ResponseWriter, j *job, nth int, answer any) {
	switch fives := j.orders.Count("query_5xx"); {
	case nth <= fives:
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
	case nth <= fives+j.orders.Count("query_half"):
		writeHalf(w, answer)
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}

// seconds are unix seconds, as all times here.
func seconds(t time.Time) int64 { return t.Unix() }
