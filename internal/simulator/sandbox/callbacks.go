package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/kinora/kinora/internal/simulator"
)

// signer adds the Standard Webhooks headers; its zero value adds none.
type signer struct{ webhook *standardwebhooks.Webhook }

func newSigner(secret string) (signer, error) {
	if secret == "" {
		return signer{}, nil
	}
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil || !strings.HasPrefix(secret, "whsec_") {
		// The library's error would quote a part of the secret.
		return signer{}, errors.New("the webhook secret is not whsec_ and base64")
	}
	return signer{w}, nil
}

func (s signer) sign(h http.Header, id string, now time.Time, body []byte) {
	if s.webhook == nil {
		return
	}
	signature, err := s.webhook.Sign(id, now, body)
	if err != nil {
		return // the library has no way to fail here
	}
	h.Set(standardwebhooks.HeaderWebhookID, id)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, signature)
}

// callsBack says whether anybody is to be called about the job.
func (j *job) callsBack() bool {
	callback := j.Model == ImageCallbackModel || j.Model == VideoCallbackModel
	return callback && j.CallbackURL != "" && j.Options.Callback != "lost"
}

// planCallbacks arranges the calls about a job that was just accepted or taken up
// again; what should have been sent before from is left out.
func (s *Server) planCallbacks(j *job, from time.Time) {
	if !j.callsBack() {
		return
	}
	if j.Options.Callback == "forged" {
		s.callbacks.SendAt(j.started, s.forged(j))
	}
	started := s.callback(j, j.show)
	at := j.started
	if j.Options.Callback == "reordered" {
		// It tells of the start, but arrives after the end.
		started = s.callback(j, func(_ time.Time, host string) Status { return j.show(j.started, host) })
		at = j.finished.Add(queueTime(time.Second))
	}
	if !at.Before(from) && j.started.Before(j.finished) {
		s.sendUnlessCancelled(j, at, started)
	}
	if !j.finished.Before(from) {
		s.sendUnlessCancelled(j, j.finished, s.callback(j, j.show))
	}
}

// sendUnlessCancelled sends a callback at a time, unless the job was cancelled by
// then: that has its own.
func (s *Server) sendUnlessCancelled(j *job, at time.Time, cb simulator.Callback) {
	s.schedule.At(at, func(context.Context) {
		s.jobs.mu.Lock()
		cancelled := !j.cancelled.IsZero()
		s.jobs.mu.Unlock()
		if !cancelled {
			s.sendAt(j, at, cb)
		}
	})
}

// planEndCallback arranges the call about a job that was cancelled.
func (s *Server) planEndCallback(j *job, now time.Time) {
	if j.callsBack() {
		s.sendAt(j, now, s.callback(j, j.show))
	}
}

// sendAt sends a callback as often as the job wants it.
func (s *Server) sendAt(j *job, at time.Time, cb simulator.Callback) {
	s.callbacks.SendAt(at, cb)
	if j.Options.Callback == "duplicate" {
		s.callbacks.SendAt(at, cb)
	}
}

// callback tells the job's state as show has it at the moment of each try. All
// tries, and a duplicate, carry the same id.
func (s *Server) callback(j *job, show func(now time.Time, host string) Status) simulator.Callback {
	id := "msg_" + strings.ToLower(rand.Text())
	return simulator.Callback{
		URL: j.CallbackURL,
		Body: func(now time.Time) []byte {
			s.jobs.mu.Lock()
			defer s.jobs.mu.Unlock()
			return statusBody(show(now, j.host))
		},
		Sign:  func(h http.Header, now time.Time, body []byte) { j.account.signer.sign(h, id, now, body) },
		Tried: func(int) { s.countCallback(j) },
	}
}

// forged claims that the job has succeeded, signed by nobody we know.
func (s *Server) forged(j *job) simulator.Callback {
	cb := s.callback(j, func(_ time.Time, host string) Status {
		claim := j.show(j.created, host)
		claim.Status, claim.Progress, claim.Outputs = statusSucceeded, 100, j.outputs("https://forged.invalid")
		return claim
	})
	cb.Sign = func(h http.Header, now time.Time, body []byte) {
		wrong, err := standardwebhooks.NewWebhookRaw([]byte("not the account's secret"))
		if err == nil {
			signer{wrong}.sign(h, "msg_forged", now, body)
		}
	}
	return cb
}

func (s *Server) countCallback(j *job) {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	j.callbacks++
}

func statusBody(s Status) []byte {
	body, err := json.Marshal(s)
	if err != nil {
		return []byte("{}") // a Status can always be marshalled
	}
	return body
}
