package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

// target fills a pattern's wildcards in.
func target(pattern string, ids map[string]string) string {
	for name, id := range ids {
		pattern = strings.ReplaceAll(pattern, "{"+name+"}", id)
		pattern = strings.ReplaceAll(pattern, "{"+name+"...}", id)
	}
	return pattern
}

func TestRoutesAreSound(t *testing.T) {
	f := newDocumented(t)
	seen := map[string]bool{}
	for _, rt := range f.routes {
		name := rt.method + " " + rt.pattern
		if seen[name] {
			t.Errorf("%s stands in the table twice", name)
		}
		seen[name] = true
		if rt.dialect != dialectOf(rt.pattern) {
			t.Errorf("%s answers in another dialect than what is beside it", name)
		}
		if rt.handler == nil {
			t.Errorf("%s has no handler", name)
		}
		if rt.auth == public && rt.limit == limitNone && rt.load != operation {
			t.Errorf("%s is open to everybody, without a limit", name)
		}
		if rt.load == operation && rt.method != http.MethodGet {
			t.Errorf("%s is never refused, but does something", name)
		}
	}
}

// Promise 7: another organisation's id answers exactly as an unknown id does, on every route that takes one.
func TestForeignIDsAnswerAsUnknownOnes(t *testing.T) {
	f, _ := createFixture(t, func(c *Config) { c.Videos = fakeVideos{c.Generations.(*fakeGenerations)} })
	for _, id := range []string{taskOne, jobOne} {
		f.generations.store(&kinora.Generation{ID: id, OrganisationID: otherID, State: kinora.GenerationQueued, CreatedAt: testTime})
	}
	tested := 0
	for _, rt := range f.routes {
		if rt.auth != keyed || !strings.Contains(rt.pattern, "{") || strings.Contains(rt.pattern, "{model...}") || strings.Contains(rt.pattern, "{workflow}") { // these are everybody's
			continue
		}
		for _, ids := range [][3]string{{taskOne, "task_00000000000000000000000000", foreignIngest}, {jobOne, "job_00000000000000000000000000", foreignIngest}} {
			foreign := target(rt.pattern, map[string]string{"task_id": ids[0], "job_id": ids[0], "video_id": ids[0], "image_id": ids[0], "ingest_id": ids[2]})
			unknown := target(rt.pattern, map[string]string{"task_id": ids[1], "job_id": ids[1], "video_id": ids[1], "image_id": ids[1], "ingest_id": "ing_00000000000000000000000000"})
			if strings.Contains(foreign, "{") {
				t.Fatalf("%s: this test does not know how to make a foreign id for it", rt.pattern)
			}
			// With a body nothing but the id can be wrong with, where there is one.
			a, b := f.do(rt.method, foreign, "{}", once, header("X-Request-Id", "r")), f.do(rt.method, unknown, "{}", once, header("X-Request-Id", "r"))
			a.Header().Del("Ratelimit-Remaining")
			b.Header().Del("Ratelimit-Remaining")
			a.Header().Del("Ratelimit-Reset")
			b.Header().Del("Ratelimit-Reset")
			if a.Code != http.StatusNotFound || a.Code != b.Code || a.Body.String() != b.Body.String() || !sameHeader(a.Header(), b.Header()) {
				t.Errorf("%s %s: foreign %d %s %v, unknown %d %s %v", rt.method, rt.pattern, a.Code, a.Body, a.Header(), b.Code, b.Body, b.Header())
			}
			tested++
		}
	}
	if tested == 0 {
		t.Error("no route was tested")
	}
	// And in bodies.
	body := func(asset string) string { return `{"source_asset_id":"` + asset + `",` + cleanPhoto + `}` }
	a, b := f.create(body(foreignAsset)), f.create(body("src_00000000000000000000000000"))
	if a.Code != http.StatusNotFound || a.Code != b.Code || a.Body.String() != b.Body.String() {
		t.Errorf("a foreign asset: %d %s, an unknown one: %d %s", a.Code, a.Body, b.Code, b.Body)
	}
}

func sameHeader(a, b http.Header) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// Without a good key no route that needs one does anything, whatever else is in the request.
func TestRoutesNeedTheirKeys(t *testing.T) {
	f := newDocumented(t)
	bad := map[string]func(*http.Request){
		"no header":       func(r *http.Request) { r.Header.Del("Authorization") },
		"empty":           func(r *http.Request) { r.Header.Set("Authorization", "") },
		"no token":        func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") },
		"spaces":          func(r *http.Request) { r.Header.Set("Authorization", "Bearer    ") },
		"no scheme":       func(r *http.Request) { r.Header.Set("Authorization", testKey) },
		"other scheme":    func(r *http.Request) { r.Header.Set("Authorization", "Basic "+testKey) },
		"glued":           func(r *http.Request) { r.Header.Set("Authorization", "Bearer"+testKey) },
		"two tokens":      func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+testKey+" x") },
		"two headers":     func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+testKey) },
		"control bytes":   func(r *http.Request) { r.Header.Set("Authorization", "Bearer \x01"+testKey) },
		"not ASCII":       func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+testKey+"é") },
		"far too long":    func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+strings.Repeat("k", 600)) },
		"unknown key":     key("sk-unknown"),
		"other headers":   func(r *http.Request) { r.Header.Del("Authorization"); r.Header.Set("X-Api-Key", testKey) },
		"key in the URL":  func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = "key=" + testKey },
		"the wrong realm": key(adminToken + "x"),
	}
	for _, rt := range f.routes {
		path := target(rt.pattern, documentedIDs)
		for name, change := range bad {
			w := f.do(rt.method, path, "{}", change)
			switch {
			case rt.auth == public && w.Code == http.StatusUnauthorized:
				t.Errorf("%s %s: asked for a key", rt.method, rt.pattern)
			case rt.auth != public && (w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == ""):
				t.Errorf("%s %s with %s: answered %d", rt.method, rt.pattern, name, w.Code)
			}
		}
		if rt.auth == keyed {
			if w := f.do(rt.method, path, "{}", key(adminToken)); w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s took the admin token for a key", rt.method, rt.pattern)
			}
			if w := f.do(rt.method, path, "{}", key(disabledKey)); w.Code != http.StatusForbidden {
				t.Errorf("%s %s answered %d to a disabled organisation", rt.method, rt.pattern, w.Code)
			}
		}
		if rt.auth == adminned {
			if w := f.do(rt.method, path, "{}"); w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s took a key for the admin token", rt.method, rt.pattern)
			}
		}
	}
	if len(f.generations.accepted)+len(f.generations.asked) != 0 {
		t.Error("something reached the core")
	}
	for _, k := range []string{testKey, adminToken, "sk-unknown"} {
		if strings.Contains(f.log.String(), k) {
			t.Error("a key stands in the log")
		}
	}
}

func TestBothKindsOfKeysAuthenticate(t *testing.T) {
	f := newFixture(t)
	is(t, f.do("POST", submitPath, input(""), key(testKey)), 200, accepted)
	is(t, f.do("POST", submitPath, input(""), key(otherKey)), 200, accepted)
	is(t, f.do("POST", submitPath, input(""), func(r *http.Request) { r.Header.Set("Authorization", "bEARER  "+testKey) }), 200, accepted)
	if got := f.generations.accepted[1].OrganisationID; got != otherID {
		t.Errorf("the second belongs to %s", got)
	}
}

// Every path of the table answers the methods that it does not have in its own dialect, and says which it has.
func TestOtherMethods(t *testing.T) {
	f := newDocumented(t)
	allowed := map[string][]string{}
	for _, rt := range f.routes {
		allowed[rt.pattern] = append(allowed[rt.pattern], rt.method)
	}
	for pattern, methods := range allowed {
		path := target(pattern, documentedIDs)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"} {
			if slices.Contains(methods, method) || method == "HEAD" && slices.Contains(methods, "GET") {
				continue
			}
			w := f.do(method, path, "")
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%s %s answered %d %s", method, path, w.Code, w.Body)
				continue
			}
			for _, m := range methods {
				if !strings.Contains(w.Header().Get("Allow"), m) {
					t.Errorf("%s: Allow %q lacks %s", path, w.Header().Get("Allow"), m)
				}
			}
		}
	}
}

func TestUnknownPathsAnswerInTheDialectBesideThem(t *testing.T) {
	f := newFixture(t)
	const api = `{"error":{"code":"not_found","message":"no such route","retryable":false,"retry_after":null}}`
	const openai = `{"error":{"message":"no such route","type":"invalid_request_error","param":null,"code":"unknown_url"}}`
	task := taskErrorText(404, "no such route", "not_found")
	for path, want := range map[string]string{
		"/": api, "/x": api, "/api": api, "/api/v1": api, "/api/v1/": api, "/api/v1/generations/": api, "/apix": api,
		"/api/v1//generations/" + jobOne: api, "/api/v1/./generations/" + jobOne: api, "/%2e%2e/api/v1": api,
		"/api/generate/": task, "/api/generate/cancel": task, "/api/generate/submit/": task, "/api/generate//submit": task,
		"/v1/chat/completions": openai, "/api/generate": task, "/v1": openai, "/v1/videos/": openai,
		"/api/common":          `{"detail":"Not found"}`,
		"/admin":               `{"error":{"code":"not_found","message":"no such route"}}`,
		"/api/common/upload/x": `{"detail":"Not found"}`,
		"/admin/v1/x":          `{"error":{"code":"not_found","message":"no such route"}}`,
		"/callbacks/":          api, "/metrics/": api,
	} {
		w := f.do("GET", path, "", func(r *http.Request) { r.Header.Del("Authorization") })
		is(t, w, 404, want)
		if w.Header().Get("X-Request-Id") == "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", path, w.Header())
		}
	}
	// Not a path at all.
	for _, raw := range []string{"*", "api"} {
		r := httptest.NewRequest("OPTIONS", "/", nil)
		r.URL.Path, r.RequestURI = raw, raw
		w := httptest.NewRecorder()
		f.Handler().ServeHTTP(w, r)
		is(t, w, 404, api)
	}
}

func TestModelList(t *testing.T) {
	f := newFixture(t)
	is(t, f.do("GET", "/v1/models", ""), 200, `{"object":"list","data":[`+
		`{"id":"kling-v1","object":"model","created":0,"owned_by":"kling","kind":"video"},`+
		`{"id":"nano-banana-2","object":"model","created":0,"owned_by":"google","kind":"image"}]}`)
	is(t, f.do("GET", "/v1/models/kling-v1", ""), 200, `{"id":"kling-v1","object":"model","created":0,"owned_by":"kling","kind":"video"}`)
	for path, name := range map[string]string{"sora-2": "sora-2", "org/kling-v1": "org/kling-v1", "org%2Fkling-v1": "org/kling-v1"} {
		is(t, f.do("GET", "/v1/models/"+path, ""), 404,
			`{"error":{"message":"the model `+name+` does not exist","type":"invalid_request_error","param":"model","code":"model_not_found"}}`)
	}
}

func TestOptionalSurfacesAreAbsentWithoutTheirService(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Callbacks, c.Models, c.Gatherer, c.Registerer = nil, nil, nil, nil })
	for _, path := range []string{"/v1/models", callbackPath, "/metrics"} {
		if w := f.do("GET", path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s answered %d", path, w.Code)
		}
	}
}

func TestNewRefusesWhatCannotBeServed(t *testing.T) {
	good := newFixture(t).cfg
	good.Registerer = nil
	for name, change := range map[string]func(*Config){
		"no authenticator": func(c *Config) { c.Authenticator = nil },
		"no generations":   func(c *Config) { c.Generations = nil },
		"no files":         func(c *Config) { c.Files = nil },
		"no signer":        func(c *Config) { c.FileSigner = nil },
		"no file URLs":     func(c *Config) { c.FileURL = nil },
		"negative bound":   func(c *Config) { c.MaxBody = -1 },
		"short token":      func(c *Config) { c.AdminToken = "admin" },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	if _, err := New(good); err != nil {
		t.Errorf("the unchanged configuration was refused: %v", err)
	}
	twice := newFixture(t).cfg
	if _, err := New(twice); err == nil {
		t.Error("two servers share one registry's series")
	}
}
