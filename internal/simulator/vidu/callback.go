package vidu

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// sends is how often a callback about an end is sent before it is given up: once, and
// repeated three times. One about a start is not repeated.
const sends = 4

// tell calls back about a task that has just come to a state. The lock is held.
func (s *Simulator) tell(t *task, state string, at time.Time) {
	if t.CallbackURL == "" || t.orders.callback == "lost" {
		return
	}
	cb := s.callback(t, s.body(t, state), t.account.Key)
	cb.Tries = sends
	if state == processing {
		cb.Tries = 1
		if t.orders.callback == "reordered" {
			at = at.Add(t.takes + time.Second/10)
		}
		s.tellLies(t, at)
	}
	s.callbacks.SendAt(at, cb)
	if t.orders.callback == "duplicate" {
		s.callbacks.SendAt(at, cb)
	}
}

// tellLies sends what no Vidu would: a success that is not true, signed with another key
// or, since the signature leaves the body out, with the right one about another task.
func (s *Simulator) tellLies(t *task, at time.Time) {
	claim, key := s.show(t, success), t.account.Key
	claim.Creations = []Creation{{ID: "c1", URL: "https://forged.invalid/v.mp4"}}
	switch t.orders.callback {
	case "forged":
		key = "not the account's key"
	case "liar":
		for _, other := range s.order {
			if other != t && other.account == t.account {
				claim.ID, claim.Payload = other.id, t.Payload
			}
		}
	default:
		return
	}
	lie := s.callback(t, encode(claim), key)
	lie.Tries = 1
	s.callbacks.SendAt(at, lie)
}

// callback is one message about a task, signed with a key.
func (s *Simulator) callback(t *task, body []byte, key string) simulator.Callback {
	return simulator.Callback{
		URL:  t.CallbackURL,
		Body: func(time.Time) []byte { return body },
		Sign: func(h http.Header, now time.Time, _ []byte) {
			switch t.orders.callback {
			case "unsigned":
				return
			case "stale":
				now = now.Add(-time.Hour)
			}
			sign(h, t.CallbackURL, key, now)
		},
		Tried: func(int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.callbacks++
		},
	}
}

// sign adds the documented headers. The string to sign has the path and the query of
// the callback URL as it was given, and nothing of the body.
func sign(h http.Header, callbackURL, key string, now time.Time) {
	date, nonce := now.UTC().Format(http.TimeFormat), strings.ToLower(rand.Text())
	h.Set("Date", date)
	h.Set("x-request-nonce", nonce)
	h.Set("X-HMAC-SIGNED-HEADERS", "Date;x-request-nonce")
	h.Set("X-HMAC-ALGORITHM", "hmac-sha256")
	h.Set("X-HMAC-ACCESS-KEY", "vidu")
	h.Set("X-HMAC-SIGNATURE", signature(http.MethodPost, callbackURL, key, date, [][2]string{{"Date", date}, {"x-request-nonce", nonce}}))
}

func signature(method, callbackURL, key, date string, headers [][2]string) string {
	path, query := "/", ""
	if u, err := url.Parse(callbackURL); err == nil {
		query = u.RawQuery
		if u.EscapedPath() != "" {
			path = u.EscapedPath()
		}
	}
	text := method + "\n" + path + "\n" + query + "\nvidu\n" + date + "\n"
	for _, h := range headers {
		text += h[0] + ":" + h[1] + "\n"
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// body is a callback's: what a query would answer. The lock is held.
func (s *Simulator) body(t *task, state string) []byte { return encode(s.show(t, state)) }

func (s *Simulator) lockedBody(t *task, state string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.body(t, state)
}

func encode(shown Shown) []byte {
	out, err := json.Marshal(shown)
	if err != nil {
		return []byte("{}") // a Shown can always be marshalled
	}
	return out
}
