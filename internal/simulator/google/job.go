package google

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// maxBody is more than fourteen images of twenty megabytes would be in practice.
const maxBody = 128 << 20

// job is one accepted submit. The lock of what changes is the simulator's.
type job struct {
	id       string
	kind     string // "veo", "omni" or "image"
	model    string
	prompt   string
	account  *Account
	parent   string // of a Veo operation's name
	host     string // start of file addresses
	hook     string // a webhook's address; empty = none
	metadata any    // goes back with the webhook
	gcs      string // where the output goes in Cloud Storage; empty = nowhere
	inline   bool   // the output stands in the answer
	ratio    string
	height   int // of the shorter side
	seconds  int
	count    int
	files    int // that came with the submit
	orders   orders
	created  time.Time
	ends     time.Time
	ready    time.Time // when its file can be read

	cancelled                   time.Time // zero = not
	looks, downloads, callbacks int
}

// state is where the job stands.
func (j *job) state(now time.Time) string {
	switch {
	case !j.cancelled.IsZero():
		return "cancelled"
	case !now.Before(j.ends):
		return "ended"
	case now.Before(j.created.Add(j.ends.Sub(j.created) / 5)):
		return "queued"
	}
	return "running"
}

// name is a Veo operation's.
func (j *job) name() string { return j.parent + j.id }

// read reads the JSON body of a submit.
func (s *Simulator) read(w http.ResponseWriter, r *http.Request, to any) *failure {
	s.count(func(c *counts) { c.submits++ })
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || json.Unmarshal(text, to) != nil {
		return problem("INVALID_ARGUMENT", "Invalid JSON payload received.")
	}
	return nil
}

// take makes a job of a submit that was understood, or refuses it as ordered.
func (s *Simulator) take(r *http.Request, j *job) *failure {
	o, f := readOrders(r.Header, j.prompt)
	if f != nil {
		return f
	}
	if o.drop == "before" {
		simulator.Abort()
	}
	if o.callback == "refused" && j.hook != "" {
		return invalid("webhook_config.uris[0]", "the webhook URI is not reachable")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.fail != "" {
		s.refused[j.prompt]++
		if o.times == 0 || s.refused[j.prompt] <= o.times {
			f := problem(o.fail, "as ordered")
			f.array = o.array
			if o.fail == "RESOURCE_EXHAUSTED" {
				f.details = []object{{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}}
			}
			return f
		}
	}
	j.id, j.orders, j.host, j.created = strings.ToLower(rand.Text()), o, hostOf(r), s.clock.Now()
	total := s.cfg.VideoTime
	if j.kind == "image" {
		total = s.cfg.ImageTime
	}
	if o.time >= 0 {
		total = o.time
	}
	processing := s.cfg.FileTime
	if o.processing >= 0 {
		processing = o.processing
	}
	j.ends = j.created.Add(total)
	j.ready = j.ends.Add(processing)
	j.inline = j.inline || o.inline
	s.jobs[j.id] = j
	s.order = append(s.order, j)
	s.announce(j)
	return nil
}

// respond answers a submit whose job exists, or does not, as ordered.
func (s *Simulator) respond(w http.ResponseWriter, r *http.Request, j *job, body any) error {
	if j.orders.callback == "early" && j.hook != "" {
		s.callbacks.Try(r.Context(), s.webhook(j, j.reference(), j.hook, s.signer))
	}
	if simulator.Hold(r.Context(), s.clock, j.orders.late) != nil || j.orders.drop == "after" {
		simulator.Abort()
	}
	if j.orders.drop == "error" {
		return problem("INTERNAL", "as ordered")
	}
	writeJSON(w, http.StatusOK, body)
	return nil
}

// look finds a job for a poll, which may go wrong as ordered. done says that it was answered.
func (s *Simulator) look(w http.ResponseWriter, a *Account, id, kind string, show func(j *job, now time.Time) any) error {
	now := s.clock.Now()
	s.mu.Lock()
	s.counts.polls++
	j := s.jobs[id]
	if j == nil || j.account != a || j.kind != kind || j.orders.gone && !now.Before(j.ends) {
		s.mu.Unlock()
		return problem("NOT_FOUND", "Requested entity was not found.")
	}
	j.looks++
	nth := j.looks
	s.mu.Unlock()
	body := show(j, now)
	switch o := j.orders; {
	case body == nil:
		return problem("INTERNAL", "the output could not be drawn")
	case nth <= o.faults:
		return problem("INTERNAL", "as ordered")
	case nth <= o.faults+o.bare:
		return problem("INVALID_ARGUMENT", "Request contains an invalid argument.")
	case nth <= o.faults+o.bare+o.broken:
		out, err := json.Marshal(body)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out[:len(out)/2])
		return nil
	}
	writeJSON(w, http.StatusOK, body)
	return nil
}

// reference is what a webhook calls the job.
func (j *job) reference() string {
	if j.kind == "veo" {
		return j.name()
	}
	return j.id
}

// announce plans the webhook of a job's end: there is none for a failed video, nor for a
// cancelled interaction (section 4). The lock is held.
func (s *Simulator) announce(j *job) {
	failed := j.orders.end != ""
	if j.hook == "" || j.orders.callback == "lost" || j.kind == "veo" && failed {
		return
	}
	cb := s.webhook(j, j.reference(), j.hook, s.signer)
	s.callbacks.SendAt(j.ends, cb)
	switch j.orders.callback {
	case "duplicate":
		s.callbacks.SendAt(j.ends, cb)
	case "forged":
		if other, err := rsa.GenerateKey(rand.Reader, 2048); err == nil {
			lie := s.webhook(j, j.reference(), j.hook, other)
			lie.Tries = 1
			s.callbacks.SendAt(j.created, lie)
		}
	case "liar":
		lie := s.webhook(j, "somebody-elses", j.hook, s.signer)
		lie.Tries = 1
		s.callbacks.SendAt(j.created, lie)
	}
}

// webhook is one message about a job, signed with a key.
func (s *Simulator) webhook(j *job, reference, address string, key *rsa.PrivateKey) simulator.Callback {
	id := "msg_" + rand.Text()
	return simulator.Callback{
		URL: address,
		Body: func(now time.Time) []byte {
			out, _ := json.Marshal(object{ // what it is made of can be marshalled
				"type": j.event(), "version": "v1", "timestamp": now.UTC().Format(time.RFC3339), "data": object{"id": reference}, "user_metadata": j.metadata,
			})
			return out
		},
		Sign: func(h http.Header, now time.Time, _ []byte) {
			audience := address
			switch j.orders.callback {
			case "unsigned":
				return
			case "stale":
				now = now.Add(-time.Hour)
			case "audience":
				audience = "projects/1"
			}
			h.Set("webhook-id", id)
			h.Set("Webhook-Signature", s.sign(key, audience, now))
		},
		Tried: func(int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			j.callbacks++
		},
	}
}

func (j *job) event() string {
	switch {
	case j.kind == "veo":
		return "video.generated"
	case j.orders.end == "":
		return "interaction.completed"
	}
	return "interaction.failed"
}

// hostOf is the start of file addresses for a request.
func hostOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
