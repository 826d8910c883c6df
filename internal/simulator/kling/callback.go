package kling

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// hookKey is what a webhook secret stands for.
type hookKey []byte

func hookKeys(secrets []string) (keys []hookKey, err error) {
	for _, secret := range secrets {
		text, ok := strings.CutPrefix(secret, "whsec_")
		key, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil || len(key) == 0 {
			return nil, errors.New("kling: a webhook secret is not whsec_ and base64")
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// SetWebhookSecrets gives the account of an API key other webhook secrets, as its owner does
// in the console: a second one begins a rotation, one alone ends it or is an emergency
// reset, none leaves the callbacks unsigned, those of running tasks too.
func (s *Simulator) SetWebhookSecrets(apiKey string, secrets ...string) error {
	keys, err := hookKeys(secrets)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		if a.Key == apiKey {
			a.hooks = keys
			return nil
		}
	}
	return errors.New("kling: there is no such account")
}

// plan arranges the calls about a task, one for each of its states. The lock is held.
func (s *Simulator) plan(t *task) {
	if t.callback == "" || t.orders.callback == "lost" {
		return
	}
	s.send(t, t.created, t.created)
	second := t.started
	if t.orders.callback == "reordered" {
		second = t.ended.Add(100 * time.Millisecond) // it tells of the start, after the end
	}
	s.send(t, second, t.started)
	s.send(t, t.ended, t.ended)
	switch t.orders.callback {
	case "forged":
		s.callbacks.SendAt(t.started, s.message(t, s.lie(t, t), []hookKey{hookKey("not the account's secret")}))
	case "liar":
		for _, other := range s.order {
			if other != t && other.account == t.account && other.route.family == t.route.family {
				s.callbacks.SendAt(t.started, s.message(t, s.lie(t, other), nil))
				break
			}
		}
	}
}

// send sends a callback at a time; it tells of the state that the task has at another.
func (s *Simulator) send(t *task, at, of time.Time) {
	cb := s.message(t, s.body(t, of), nil)
	s.callbacks.SendAt(at, cb)
	if t.orders.callback == "duplicate" {
		s.callbacks.SendAt(at, cb)
	}
}

// message is one message about a task, signed with the account's secrets of the moment, or
// with others. It is sent once: Kling's documents know of no repetition.
func (s *Simulator) message(t *task, body []byte, others []hookKey) simulator.Callback {
	id := strings.ToLower(rand.Text())
	return simulator.Callback{
		URL: t.callback, Tries: 1,
		Body: func(time.Time) []byte { return body },
		Sign: func(h http.Header, now time.Time, body []byte) {
			keys := others
			if keys == nil {
				s.mu.Lock()
				keys = t.account.hooks
				s.mu.Unlock()
			}
			switch t.orders.callback {
			case "unsigned":
				return
			case "stale":
				now = now.Add(-time.Hour)
			}
			sign(h, id, now, body, keys)
		},
		Tried: func(int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.callbacks++
		},
	}
}

// sign adds the headers of the Standard Webhooks scheme, with a signature for each key.
func sign(h http.Header, id string, now time.Time, body []byte, keys []hookKey) {
	if len(keys) == 0 {
		return
	}
	sent := strconv.FormatInt(now.Unix(), 10)
	var signatures []string
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + sent + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", sent)
	h.Set("webhook-signature", strings.Join(signatures, " "))
}

// body is a callback's: in the newer family the element of a list, in the older one the
// task without the envelope.
func (s *Simulator) body(t *task, of time.Time) []byte { return encode(s.show(t, of)) }

// lie claims that a task has succeeded, with a file of somebody else's.
func (s *Simulator) lie(t, about *task) []byte {
	claim := *about
	claim.orders, claim.host = orders{}, "https://forged.invalid"
	claim.external = t.external
	return encode(s.show(&claim, claim.ended))
}

func encode(shown any) []byte {
	out, err := json.Marshal(shown)
	if err != nil {
		return []byte("{}") // what is shown can always be marshalled
	}
	return out
}
