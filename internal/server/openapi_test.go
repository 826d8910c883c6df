package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/api"
)

func loadDocument(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(api.Document()))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil { // the examples too
		t.Fatal(err)
	}
	return doc
}

// documentPath is a pattern in the document's spelling.
func documentPath(pattern string) string { return strings.ReplaceAll(pattern, "...}", "}") }

// The route table and the document name the same operations, with the same ways to authenticate.
func TestDocumentHasTheRouteTable(t *testing.T) {
	doc := loadDocument(t)
	f := newDocumented(t)
	documented := map[string]*openapi3.Operation{}
	ids := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			documented[method+" "+path] = op
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil {
				t.Errorf("%s %s: operation id, summary or tag is not right", method, path)
			}
			ids[op.OperationID] = true
		}
	}
	for _, rt := range f.routes {
		name := rt.method + " " + documentPath(rt.pattern)
		op, ok := documented[name]
		if !ok {
			t.Errorf("%s is not documented", name)
			continue
		}
		delete(documented, name)
		security := &doc.Security
		if op.Security != nil {
			security = op.Security
		}
		got := "none"
		if len(*security) == 1 {
			for scheme := range (*security)[0] {
				got = scheme
			}
		}
		if want := map[authentication]string{public: "none", keyed: "bearerAuth", adminned: "adminAuth"}[rt.auth]; got != want {
			t.Errorf("%s: security %s is documented, it has %s", name, got, want)
		}
	}
	for name := range documented {
		t.Errorf("%s is documented, but not served", name)
	}
}

// contract holds answers against the document, and remembers which of its answers were seen.
type contract struct {
	t    *testing.T
	doc  *openapi3.T
	seen map[string]bool // "METHOD path status"
}

// find returns the operation for a path, and its parameters.
func (c *contract) find(method, path string) (*routers.Route, map[string]string) {
	for template, item := range c.doc.Paths.Map() {
		op := item.GetOperation(method)
		if op == nil {
			continue
		}
		var names []string
		expr := regexp.MustCompile(`\\\{(\w+)\\\}`).ReplaceAllStringFunc(regexp.QuoteMeta(template), func(wildcard string) string {
			name := strings.Trim(wildcard, `\{}`)
			names = append(names, name)
			if name == "key" || name == "path" {
				return "(.+)"
			}
			return "([^/]+)"
		})
		match := regexp.MustCompile("^" + expr + "$").FindStringSubmatch(path)
		if match == nil {
			continue
		}
		params := map[string]string{}
		for i, name := range names {
			params[name] = match[i+1]
		}
		return &routers.Route{Spec: c.doc, Path: template, PathItem: item, Method: method, Operation: op}, params
	}
	c.t.Fatalf("%s %s is not documented", method, path)
	return nil, nil
}

// check holds an answer, and the request where that was accepted, against the document.
func (c *contract) check(r *http.Request, body []byte, w *httptest.ResponseRecorder) error {
	rt, params := c.find(r.Method, r.URL.Path)
	r = r.Clone(context.Background())
	r.Body = io.NopCloser(bytes.NewReader(body))
	options := &openapi3filter.Options{
		IncludeResponseStatus: true,
		AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc,
		ExcludeRequestBody:    len(body) == 0,
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: rt, Options: options}
	if w.Code < 300 && r.Header.Get("Content-Type") != "" {
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			return fmt.Errorf("the request was accepted, but the document refuses it: %w", err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: w.Code, Header: w.Header(), Options: options}
	out.SetBodyBytes(w.Body.Bytes())
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		return err
	}
	status := fmt.Sprint(w.Code)
	if rt.Operation.Responses.Value(status) == nil {
		status = "default"
	}
	c.seen[fmt.Sprint(r.Method, " ", rt.Path, " ", status)] = true
	return nil
}

// unseen lists the documented answers that no request brought about.
func (c *contract) unseen() []string {
	var list []string
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status := range op.Responses.Map() {
				if name := method + " " + path + " " + status; !c.seen[name] {
					list = append(list, name)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

// Every answer that the document promises is given, and every answer that is given is in the document.
func TestDocumentIsHeldAgainstRealAnswers(t *testing.T) {
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
	c := &contract{t: t, doc: loadDocument(t), seen: map[string]bool{}}
	for _, ex := range documentedExchanges(t) {
		f := newDocumented(t, ex.config...)
		if ex.before != nil {
			ex.before(f)
		}
		target := ex.target
		if strings.HasPrefix(target, "/files/") && !strings.Contains(target, "?") {
			target += "?" + f.signer.Sign(target, f.clock.now().Add(900e9))
		}
		r := httptest.NewRequest(ex.method, target, strings.NewReader(ex.body))
		r.Header.Set("Authorization", "Bearer "+testKey)
		if strings.HasPrefix(target, "/admin/") {
			r.Header.Set("Authorization", "Bearer "+adminToken)
		}
		if ex.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for _, change := range ex.change {
			change(r)
		}
		w := httptest.NewRecorder()
		f.Handler().ServeHTTP(w, r)
		name := fmt.Sprint(ex.method, " ", ex.target, " ", ex.body)
		if w.Code != ex.status {
			t.Errorf("%.200s: answered %d %s, want %d", name, w.Code, w.Body, ex.status)
			continue
		}
		if err := c.check(r, []byte(ex.body), w); err != nil {
			t.Errorf("%.200s: %v\n%s", name, err, w.Body)
		}
	}
	for _, name := range c.unseen() {
		t.Errorf("no request brought about %s", name)
	}
}

// The examples of requests work.
func TestDocumentedExamplesWork(t *testing.T) {
	doc := loadDocument(t)
	f := newDocumented(t)
	f.generations.accept = func(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error) {
		if s.Surface == kinora.SurfaceGenerations {
			return f.generations.make(ctx, s)
		}
		return &kinora.Accepted{Generation: &kinora.Generation{ID: taskOne, State: kinora.GenerationQueued, CreatedAt: testTime}}, nil
	}
	sent := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.RequestBody == nil {
				continue
			}
			media := op.RequestBody.Value.Content.Get("application/json")
			if media == nil {
				continue
			}
			examples := []any{media.Example}
			for _, e := range media.Examples {
				examples = append(examples, e.Value.Value)
			}
			for _, example := range examples {
				if example == nil {
					continue
				}
				body, err := json.Marshal(example)
				if err != nil {
					t.Fatal(err)
				}
				target := target(path, documentedIDs)
				k := testKey
				if strings.HasPrefix(path, "/admin/") {
					k = adminToken
				}
				if w := f.do(method, target, string(body), key(k), once); w.Code >= 300 {
					t.Errorf("%s %s %s: answered %d %s", method, path, body, w.Code, w.Body)
				}
				sent++
			}
		}
	}
	if sent < 5 {
		t.Errorf("only %d examples were found", sent)
	}
}

// The validator can fail: each of these differs from a good answer in one thing.
func TestDocumentRefusesWrongAnswers(t *testing.T) {
	c := &contract{t: t, doc: loadDocument(t), seen: map[string]bool{}}
	const status = "/api/generate/status/" + taskOne
	good := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-Id", "r1")
		return w
	}
	for name, wrong := range map[string]struct {
		method, path string
		status       int
		body         string
	}{
		"extra key":           {"POST", submitPath, 200, strings.Replace(accepted, `"status"`, `"error_message":null,"status"`, 1)},
		"missing key":         {"POST", submitPath, 200, `{"code":200,"data":{"task_id":"` + taskOne + `","status":"not_started"}}`},
		"time with a zone":    {"POST", submitPath, 200, strings.Replace(accepted, `10:30:00`, `10:30:00Z`, 1)},
		"other id":            {"POST", submitPath, 200, strings.Replace(accepted, "task_", "job_", 1)},
		"undocumented status": {"POST", submitPath, 413, badRequest("x")},
		"unknown type":        {"POST", submitPath, 400, taskErrorText(400, "x", "bad")},
		"files while running": {"GET", status, 200, `{"code":200,"data":{"task_id":"` + taskOne + `","status":"running","progress":1,"files":[],"created_time":"2026-06-14T10:30:00","error_message":null}}`},
		"finished, no files":  {"GET", status, 200, `{"code":200,"data":{"task_id":"` + taskOne + `","status":"finished","progress":100,"created_time":"2026-06-14T10:30:00","error_message":null}}`},
		"other 404":           {"GET", status, 404, `{"code":404,"error":{"message":"no such task","type":"not_found"}}`},
		"three keys":          {"GET", "/api/v1/generations/" + jobOne, 404, `{"error":{"code":"not_found","message":"x","retryable":false}}`},
		"null failure code":   {"GET", "/api/v1/generations/" + jobOne, 404, `{"error":{"code":null,"message":"x","retryable":false,"retry_after":null}}`},
		"not JSON":            {"GET", "/v1/models", 200, `x`},
		"secret too many":     {"GET", "/admin/v1/organisations/" + ownID, 200, `{"id":"o","name":"n","default_webhook":"","webhook_hosts":[],"disabled":false,"created_at":"2026-06-14T10:30:00Z","webhook_secret":{}}`},
	} {
		w := good()
		w.Code = wrong.status
		w.Body.WriteString(wrong.body)
		if c.check(httptest.NewRequest(wrong.method, wrong.path, nil), nil, w) == nil {
			t.Errorf("%s: the document takes it", name)
		}
	}
	w := good()
	w.Header().Del("X-Request-Id")
	w.Body.WriteString(accepted)
	if c.check(httptest.NewRequest("POST", submitPath, nil), nil, w) == nil {
		t.Error("a missing header: the document takes it")
	}
	w = good()
	w.Body.WriteString(accepted)
	if err := c.check(httptest.NewRequest("POST", submitPath, nil), nil, w); err != nil {
		t.Errorf("the good answer is refused: %v", err)
	}
}

// The bodies of the contracts' test vectors are events as the document has them.
func TestDocumentedEvent(t *testing.T) {
	doc := loadDocument(t)
	schema := doc.Components.Schemas["Event"].Value
	for body, good := range map[string]bool{
		`{"event_type":"generation.completed","job_id":"task_01HF8Z3KQX2A6Y4N3R8M5W7V9P","source_asset_id":null,"reference":null,"outputs":[{"output_id":"out_01JXQ7T0000000000000000002","role":"primary","url":"https://files.example/t/01HF8Z3KQX2A6Y4N3R8M5W7V9P-0.mp4?sig=x","expires_at":"2026-06-14T10:46:30Z","content_type":"video/mp4","width":1280,"height":720}],"failure":null,"metadata":{}}`: true,
		`{"event_type":"generation.failed","job_id":"job_01JXJ0B0000000000000000001","source_asset_id":"src_01JXSRC0000000000000000001","reference":"listing-123","outputs":[],"failure":{"code":"quality_rejected","message":"no output passed review","retryable":true},"metadata":{"row":7}}`:                                                                                                            true,
		`{"event_type":"generation.failed","job_id":"job_01JXJ0B0000000000000000001","outputs":[],"failure":null,"metadata":{}}`: false,
	} {
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		err := schema.VisitJSON(v, openapi3.EnableJSONSchema2020())
		if (err == nil) != good {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestDocumentIsServed(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/openapi.yaml", "/api/v1/openapi"} {
		w := f.do("GET", path, "", key(""))
		is(t, w, 200, api.Document())
		if w.Header().Get("Content-Type") != "application/yaml" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", w.Header())
		}
	}
}
