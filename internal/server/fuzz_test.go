package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kinora/kinora"
)

func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `null`, `{"a":1,"a":2}`, `{"a":{"b":[1,2.5e-3,"\ud83d\ude00",true,null]}}`, "\"\xff\"", `"\u0000"`, `"\ud800"`,
		`"\ud800\u0041"`, `"\ud800\ud800"`, ` [ 1 , 2 ] `, `{"\u0061":1,"a":2}`, strings.Repeat("[", 70) + strings.Repeat("]", 70), "\ufeff{}",
		`{"a"`, `"\`, `"\u`, `"\ud83d\u`, `[1,]`, `01`, `-`, `1e`, `tru`, `{"a":1}{"b":2}`, `"` + "\x7f\u2028" + `"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := string(body)
		if err := parsesAlike(body); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if string(body) != before {
			t.Fatal("the body was changed")
		}
	})
}

// Whatever is posted, the answer is the success or an error of the contract, and what reaches the core keeps its rules.
func FuzzSubmit(f *testing.F) {
	for _, seed := range []string{
		input(""), input(`,"metadata":{"callback_url":"https://a.example/","durationSeconds":8}`), input(`,"metadata":"{\"n\":2}"`),
		input(`,"images":["https://a.example/1","https://a.example/1"],"image":"http://b.example"`), input(`,"duration":"5","seconds":4`),
		`{"model":"m","input":{"prompt":"x"},"webhook":{"url":"https://a.example/"},"reference":"r","metadata":{"a":[1]}}`,
		input(`,"n":1`), `{"model":"m"}`, `{"input":{}}`, `[]`, ``, `{"model":"m","input":{"prompt":"\u0000"}}`, input(`,"duration":1e5`),
		`{"callback_url":1,"model":"m","input":{"prompt":" x "}}`, input(`,"size":"\ud83d\ude00"`), input(`,"duration":86400.0`),
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "a key")
	}
	fx := newFixture(f, func(c *Config) { c.Limits.Submit.PerMinute = -1 })
	f.Fuzz(func(t *testing.T, body []byte, idempotencyKey string) {
		fx.t = t
		fx.log.Reset()
		fx.generations.accepted = nil
		w := fx.do("POST", submitPath, string(body), func(r *http.Request) {
			if idempotencyKey != "" {
				r.Header["Idempotency-Key"] = []string{idempotencyKey}
			}
		})
		if w.Code == http.StatusOK {
			if w.Body.String() != accepted {
				t.Fatalf("answered %s", w.Body)
			}
			checkSubmission(t, fx.generations.only(t), idempotencyKey)
			return
		}
		var e taskError
		dec := json.NewDecoder(w.Body)
		dec.DisallowUnknownFields()
		if err := dec.Decode(&e); err != nil || w.Code != 400 || e.Code != 400 || e.Error.Type != "invalid_request_error" || e.Error.Message == "" {
			t.Fatalf("answered %d %+v %v", w.Code, e, err)
		}
		if len(fx.generations.accepted) != 0 {
			t.Fatal("refused, but it reached the core")
		}
	})
}

func checkSubmission(t *testing.T, s *kinora.Submission, idempotencyKey string) {
	t.Helper()
	in := s.Input
	switch {
	case s.OrganisationID != ownID || s.Surface != kinora.SurfaceSubmit:
		t.Fatalf("belongs to %s, %s", s.OrganisationID, s.Surface)
	case strings.TrimSpace(s.Model) == "" || strings.TrimSpace(in.Prompt) == "":
		t.Fatalf("model %q, prompt %q", s.Model, in.Prompt)
	case in.Duration < 0 || in.Duration > maxVideoLength:
		t.Fatalf("duration %d", in.Duration)
	case s.IdempotencyKey != idempotencyKey || (s.RequestHash != "") != (idempotencyKey != ""):
		t.Fatalf("key %q, hash %q", s.IdempotencyKey, s.RequestHash)
	}
	for _, text := range []string{s.Model, in.Prompt, in.Size, in.CallbackURL, s.WebhookURL} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			t.Fatalf("text %q", text)
		}
	}
	for i, u := range in.Images {
		lower := strings.ToLower(u)
		if !strings.HasPrefix(lower, "http://") && !strings.HasPrefix(lower, "https://") {
			t.Fatalf("image %d is %q", i, u)
		}
	}
	if _, there := in.Metadata["callback_url"]; there {
		t.Fatal("callback_url was left in the metadata")
	}
	// As the store does with it.
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var again kinora.Input
	if err := json.Unmarshal(text, &again); err != nil || again.Prompt != in.Prompt || len(again.Metadata) != len(in.Metadata) {
		t.Fatalf("stored and read again: %+v, %v", again, err)
	}
	if s.Metadata != nil && (!json.Valid(s.Metadata) || s.Metadata[0] != '{' || len(s.Metadata) > kinora.MaxMetadata) {
		t.Fatalf("metadata %q", s.Metadata)
	}
}

func FuzzCallback(f *testing.F) {
	f.Add("kling", callbackToken, "a=1", []byte(`{"challenge":1}`))
	f.Add("", "", "", []byte(nil))
	f.Add("..", "%2e%2e", "%", []byte("\xff"))
	f.Add("kling", "tok/../x", "&&&", []byte("{}"))
	fx := newFixture(f, func(c *Config) { c.Limits.CallbackAddress.PerMinute, c.Limits.CallbackToken.PerMinute = -1, -1 })
	f.Fuzz(func(t *testing.T, name, token, query string, body []byte) {
		fx.t = t
		fx.log.Reset()
		fx.callbacks.calls = nil
		r := httptest.NewRequest("POST", "/", strings.NewReader(string(body)))
		r.URL.Path, r.URL.RawQuery = "/callbacks/"+name+"/"+token, query
		w := httptest.NewRecorder()
		fx.Handler().ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 404 && w.Code != 307 {
			t.Fatalf("answered %d", w.Code)
		}
		if (w.Code == 200) != (name == "kling" && token == callbackToken) {
			t.Fatalf("%q %q answered %d", name, token, w.Code)
		}
		if len(token) > 12 && strings.Contains(w.Body.String(), token) {
			t.Fatal("the token comes back")
		}
		for _, call := range fx.callbacks.calls {
			if string(call.Body) != string(body) || call.Query != query {
				t.Fatal("it was changed on the way")
			}
		}
	})
}

// No path and query but the signed ones open a file.
func FuzzFileURL(f *testing.F) {
	f.Add("out/1.png", "exp=1&n=a&sig=b")
	f.Add("../secret", "")
	f.Add("out/1.png", "exp=99999999999&n=&sig=")
	f.Add("out%2f1.png", "sig=%00")
	f.Add("out/1.png", strings.Repeat("exp=1&", 500))
	fx := newFixture(f, func(c *Config) { c.Limits.File.PerMinute = -1 })
	good := fx.put("out/1.png", []byte("content"))
	f.Fuzz(func(t *testing.T, path, query string) {
		fx.t = t
		fx.log.Reset()
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path, r.URL.RawQuery = "/files/"+path, query
		w := httptest.NewRecorder()
		fx.Handler().ServeHTTP(w, r)
		if w.Code != 403 && w.Code != 404 {
			t.Fatalf("answered %d", w.Code)
		}
		if strings.Contains(w.Body.String(), "content") {
			t.Fatal("it was opened")
		}
		// A changed URL opens nothing either: the query may only grow by parameters that mean nothing.
		goodPath, goodQuery, _ := strings.Cut(good, "?")
		r.URL.Path, r.URL.RawQuery = goodPath, goodQuery
		w = httptest.NewRecorder()
		fx.Handler().ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("the good URL answered %d", w.Code)
		}
	})
}

// Whatever is posted to the generations API, the answer is the success or an error of the contract in its envelope, and what
// reaches the core is as it was sent.
func FuzzCreateGeneration(f *testing.F) {
	for _, seed := range []string{
		`{` + ofAsset + cleanPhoto + `}`, `{` + ofAsset + cleanPhoto + `,"metadata":{ "a" : [1.0] },"reference":"ä","webhook":{"url":"https://a.example/"}}`,
		`{"source_url":"https://a.example/1.jpg","workflow":"staging","capture_type":"panorama360","style_preset":"Modern","room_types":["Kitchen","Dining Room"]}`,
		`{` + ofAsset + `"workflow":"staging","mode":"furnish"}`, `{"workflow":1,"room_types":[1],"metadata":[]}`, `{"file":1}`, `{}`, `[]`, ``, `{"mode":"\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	fx, _ := createFixture(f, func(c *Config) {
		c.Limits.Create.PerMinute, c.Limits.Regenerate.PerMinute, c.Limits.SourceURL.PerMinute = -1, -1, -1
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		fx.t = t
		fx.log.Reset()
		for _, path := range []string{createPath, createPath + "/" + jobOne + "/regenerate"} {
			fx.generations.accepted, fx.generations.stored = nil, nil
			fx.generations.store(parentOf(furnished()))
			w := fx.do("POST", path, string(body), once, header("Content-Type", "application/json"))
			switch w.Code {
			case http.StatusAccepted:
				sub := fx.generations.only(t)
				if !json.Valid(w.Body.Bytes()) || sub.Request == nil || sub.Reference != nil && utf8.RuneCountInString(*sub.Reference) > kinora.MaxReference {
					t.Fatalf("accepted %+v, answered %s", sub, w.Body)
				}
				if sub.ParentID == "" && sub.Metadata != nil && !strings.Contains(string(body), string(sub.Metadata)) {
					t.Fatalf("metadata %s is not what was sent", sub.Metadata)
				}
			case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
				problem(t, w)
			default:
				t.Fatalf("answered %d %s", w.Code, w.Body)
			}
		}
	})
}
