package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
)

const submitPath = "/api/generate/submit"

const accepted = `{"code":200,"data":{"task_id":"task_01HF8Z3KQX2A6Y4N3R8M5W7V9P","status":"not_started","created_time":"2026-06-14T10:30:00"}}`

// input wraps members of "input" into a whole body.
func input(members string) string {
	return `{"model":"kling-v1","input":{"prompt":"two kites"` + members + `}}`
}

func TestSubmitTakesTheDocumentedRequest(t *testing.T) {
	f := newFixture(t)
	w := f.do("POST", submitPath, `{"model":"kling-v1","input":{"prompt":"A cat playing piano in the garden","metadata":{"callback_url":"https://your.domain/hooks/kling"}}}`)
	is(t, w, 200, accepted)
	for name, want := range map[string]string{
		"Content-Type": "application/json", "X-Callback-Ignored": "", "Idempotent-Replayed": "",
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	want := &kinora.Submission{
		OrganisationID: ownID, Surface: kinora.SurfaceSubmit, Model: "kling-v1",
		Input: kinora.Input{Prompt: "A cat playing piano in the garden", CallbackURL: "https://your.domain/hooks/kling"},
	}
	if diff := cmp.Diff(want, f.generations.only(t)); diff != "" {
		t.Error(diff)
	}
}

// Each row of the contract's table 2.2 that ends in a refusal, and the types that no row allows.
func TestSubmitRefuses(t *testing.T) {
	notAllowed := func(key string) string {
		return "input." + key + " is not allowed; put it under input.metadata"
	}
	long := strings.Repeat("x", 70_000)
	tests := map[string]struct{ body, message string }{
		"input.quality":        {input(`,"quality":"high"`), notAllowed("quality")},
		"input.resolution":     {input(`,"resolution":"1K"`), notAllowed("resolution")},
		"input.n":              {input(`,"n":2`), notAllowed("n")},
		"input.mask_url":       {input(`,"mask_url":"https://a.example/m.png"`), notAllowed("mask_url")},
		"input.aspectRatio":    {input(`,"aspectRatio":"16:9"`), notAllowed("aspectRatio")},
		"input.negativePrompt": {input(`,"negativePrompt":"rain"`), notAllowed("negativePrompt")},
		"input.callback_url":   {input(`,"callback_url":"https://a.example/"`), notAllowed("callback_url")},
		"null is a key too":    {input(`,"n":null`), notAllowed("n")},
		"keys have a case":     {input(`,"Size":"1:1"`), notAllowed("Size")},
		"escaped key":          {input(`,"\u006e":1`), notAllowed("n")},
		"long key":             {input(`,"` + long + `":1`), notAllowed(strings.Repeat("x", 64) + "…")},

		"no prompt":          {`{"model":"m","input":{}}`, "input.prompt is required"},
		"empty prompt":       {`{"model":"m","input":{"prompt":""}}`, "input.prompt is required"},
		"null prompt":        {`{"model":"m","input":{"prompt":null}}`, "input.prompt is required"},
		"white-space prompt": {`{"model":"m","input":{"prompt":" \t\n\u00a0\u3000"}}`, "input.prompt is required"},
		"prompt number":      {`{"model":"m","input":{"prompt":5}}`, "input.prompt must be a string"},
		"prompt object":      {`{"model":"m","input":{"prompt":{}}}`, "input.prompt must be a string"},
		"huge prompt":        {`{"model":"m","input":{"prompt":"` + long + `"}}`, "input.prompt must be at most 65536 bytes long"},

		"no model":     {`{"input":{"prompt":"x"}}`, "model is required"},
		"null model":   {`{"model":null,"input":{"prompt":"x"}}`, "model is required"},
		"empty model":  {`{"model":" ","input":{"prompt":"x"}}`, "model is required"},
		"model number": {`{"model":1,"input":{"prompt":"x"}}`, "model must be a string"},
		"huge model":   {`{"model":"` + long + `","input":{"prompt":"x"}}`, "model must be at most 128 bytes long"},

		"no input":     {`{"model":"m"}`, "input is required"},
		"null input":   {`{"model":"m","input":null}`, "input is required"},
		"input string": {`{"model":"m","input":"{}"}`, "input is required"},
		"input array":  {`{"model":"m","input":[]}`, "input is required"},

		"empty body":      {``, "invalid JSON body"},
		"not JSON":        {`prompt=x`, "invalid JSON body"},
		"cut off":         {`{"model":"m","input":{"prompt":"x"`, "invalid JSON body"},
		"trailing data":   {input("") + `{}`, "invalid JSON body"},
		"trailing comma":  {`{"model":"m",}`, "invalid JSON body"},
		"comment":         {`{/* */}`, "invalid JSON body"},
		"byte order mark": {"\ufeff" + input(""), "invalid JSON body"},
		"NaN":             {input(`,"duration":NaN`), "invalid JSON body"},
		"leading zero":    {input(`,"duration":05`), "invalid JSON body"},
		"array":           {`[]`, "JSON body must be an object"},
		"null":            {`null`, "JSON body must be an object"},
		"string":          {`"x"`, "JSON body must be an object"},

		"invalid UTF-8":        {"{\"model\":\"m\xff\"}", "JSON body is not valid UTF-8"},
		"overlong UTF-8":       {"{\"model\":\"m\xc0\xaf\"}", "JSON body is not valid UTF-8"},
		"raw surrogate":        {"{\"model\":\"m\xed\xa0\x80\"}", "JSON body is not valid UTF-8"},
		"high surrogate alone": {input(`,"size":"\ud800"`), "JSON body holds half of a surrogate pair"},
		"low surrogate alone":  {input(`,"size":"\udc00"`), "JSON body holds half of a surrogate pair"},
		"wrong low surrogate":  {input(`,"size":"\ud800\ud800"`), "JSON body holds half of a surrogate pair"},
		"NUL":                  {input(`,"size":"a\u0000"`), "JSON body holds U+0000"},
		"duplicate at root":    {`{"model":"a","model":"b","input":{"prompt":"x"}}`, `JSON body has the key "model" twice`},
		"duplicate in input":   {input(`,"prompt":"y"`), `JSON body has the key "prompt" twice`},
		"duplicate by escape":  {input(`,"promp\u0074":"y"`), `JSON body has the key "prompt" twice`},
		"duplicate below":      {input(`,"metadata":{"a":[{"b":1,"b":2}]}`), `JSON body has the key "b" twice`},
		"duplicate in ignored": {`{"other":{"b":1,"b":2},"model":"m","input":{"prompt":"x"}}`, `JSON body has the key "b" twice`},
		"deep":                 {input(`,"metadata":{"a":` + strings.Repeat("[", 62) + strings.Repeat("]", 62) + `}`), "JSON body is nested too deeply"},
		"very deep":            {strings.Repeat(`{"a":`, 100_000), "JSON body is nested too deeply"},
		"many values":          {`{"a":[` + strings.Repeat("0,", 150_000) + `0]}`, "JSON body has too many values"},
		"too large":            {`{"a":"` + strings.Repeat("x", 1<<20) + `"}`, "request body too large"},

		"metadata array":         {input(`,"metadata":[]`), "input.metadata must be an object"},
		"metadata number":        {input(`,"metadata":1`), "input.metadata must be an object"},
		"metadata text":          {input(`,"metadata":"x"`), "input.metadata must be an object"},
		"metadata empty text":    {input(`,"metadata":""`), "input.metadata must be an object"},
		"metadata string, array": {input(`,"metadata":"[1]"`), "input.metadata must be an object"},
		"metadata string, twice": {input(`,"metadata":"{\"a\":1,\"a\":2}"`), "input.metadata must be an object"},
		"metadata in metadata":   {input(`,"metadata":"\"{}\""`), "input.metadata must be an object"},

		"callback number": {input(`,"metadata":{"callback_url":5}`), "input.metadata.callback_url must be a string"},
		"callback null":   {input(`,"metadata":{"callback_url":null}`), "input.metadata.callback_url must be a string"},
		"callback object": {input(`,"metadata":"{\"callback_url\":{}}"`), "input.metadata.callback_url must be a string"},

		"size number": {input(`,"size":1024`), "input.size must be a string"},
		"huge size":   {input(`,"size":"` + long + `"`), "input.size must be at most 64 bytes long"},

		"image number":       {input(`,"image":1`), "input.image must be a string"},
		"image data URI":     {input(`,"image":"data:image/png;base64,iVBORw0KGgo="`), "input.image must be an http or https URL"},
		"image base64":       {input(`,"image":"iVBORw0KGgo="`), "input.image must be an http or https URL"},
		"image ftp":          {input(`,"image":"ftp://a.example/x.png"`), "input.image must be an http or https URL"},
		"image file":         {input(`,"image":"file:///etc/passwd"`), "input.image must be an http or https URL"},
		"image no host":      {input(`,"image":"https:///x.png"`), "input.image must be an http or https URL"},
		"image control":      {input(`,"image":"https://a.example/\n"`), "input.image must be an http or https URL"},
		"images string":      {input(`,"images":"https://a.example/x.png"`), "input.images must be an array of strings"},
		"images object":      {input(`,"images":{}`), "input.images must be an array of strings"},
		"images of numbers":  {input(`,"images":[1]`), "input.images must be an array of strings"},
		"images with null":   {input(`,"images":["https://a.example/",null]`), "input.images must be an array of strings"},
		"images of arrays":   {input(`,"images":[["https://a.example/"]]`), "input.images must be an array of strings"},
		"images data URI":    {input(`,"images":["https://a.example/","DATA:image/png;base64,aa"]`), "input.images[1] must be an http or https URL"},
		"images empty":       {input(`,"images":[""]`), "input.images[0] must be an http or https URL"},
		"too many images":    {input(`,"images":[` + strings.Repeat(`"https://a.example/",`, 100) + `"https://b.example/"]`), "input.images must have at most 100 items"},
		"image far too long": {input(`,"image":"https://a.example/` + long + `"`), "input.image must be at most 8192 bytes long"},

		"webhook string":     {`{"model":"m","input":{"prompt":"x"},"webhook":"https://a.example/"}`, "webhook must be an object with a url"},
		"webhook empty":      {`{"model":"m","input":{"prompt":"x"},"webhook":{}}`, "webhook.url is required"},
		"webhook null url":   {`{"model":"m","input":{"prompt":"x"},"webhook":{"url":null}}`, "webhook.url is required"},
		"webhook empty url":  {`{"model":"m","input":{"prompt":"x"},"webhook":{"url":""}}`, "webhook.url is required"},
		"webhook number":     {`{"model":"m","input":{"prompt":"x"},"webhook":{"url":1}}`, "webhook.url must be a string"},
		"webhook long":       {`{"model":"m","input":{"prompt":"x"},"webhook":{"url":"https://a.example/` + long + `"}}`, "webhook.url must be at most 2048 bytes long"},
		"reference number":   {`{"model":"m","input":{"prompt":"x"},"reference":17}`, "reference must be a string"},
		"reference long":     {`{"model":"m","input":{"prompt":"x"},"reference":"` + strings.Repeat("é", 256) + `"}`, "reference must be at most 255 characters long"},
		"own metadata array": {`{"model":"m","input":{"prompt":"x"},"metadata":[]}`, "metadata must be an object"},
		"own metadata text":  {`{"model":"m","input":{"prompt":"x"},"metadata":"{}"}`, "metadata must be an object"},
		"own metadata large": {`{"model":"m","input":{"prompt":"x"},"metadata":{"a":"` + strings.Repeat("x", 16<<10) + `"}}`, "metadata must be at most 16384 bytes of JSON"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			is(t, f.do("POST", submitPath, tt.body), 400, badRequest(tt.message))
			if n := len(f.generations.accepted); n != 0 {
				t.Errorf("%d submissions got through", n)
			}
		})
	}
}

// What is wrong with a length reaches the core, which knows whether the model cares; and so does the field it came from.
func TestSubmitLengths(t *testing.T) {
	const rule = " must be a whole number of seconds, at most 86400"
	for name, tt := range map[string]struct {
		body     string
		duration int
		field    string
		fault    string
	}{
		"text":                {`,"duration":"five"`, 0, "", "input.duration" + rule},
		"half":                {`,"duration":5.5`, 0, "", "input.duration" + rule},
		"negative":            {`,"duration":-5`, 0, "", "input.duration" + rule},
		"sign":                {`,"duration":"+5"`, 0, "", "input.duration" + rule},
		"hexadecimal":         {`,"duration":"0x10"`, 0, "", "input.duration" + rule},
		"endless":             {`,"duration":1e999`, 0, "", "input.duration" + rule},
		"infinite":            {`,"duration":"Inf"`, 0, "", "input.duration" + rule},
		"years":               {`,"duration":99999999`, 0, "", "input.duration" + rule},
		"boolean":             {`,"duration":true`, 0, "", "input.duration" + rule},
		"seconds text":        {`,"seconds":"long"`, 0, "", "input.seconds" + rule},
		"seconds array":       {`,"seconds":["4"]`, 0, "", "input.seconds" + rule},
		"durationSeconds":     {`,"metadata":{"durationSeconds":"x"}`, 0, "", "input.metadata.durationSeconds" + rule},
		"losing seconds":      {`,"seconds":"x","duration":5`, 0, "", "input.seconds" + rule},
		"nothing":             {``, 0, "", ""},
		"zero":                {`,"duration":0`, 0, "", ""},
		"zero leaves seconds": {`,"duration":0,"seconds":"4"`, 4, "input.seconds", ""},
		"duration wins":       {`,"duration":2,"seconds":"4"`, 2, "input.duration", ""},
		"metadata wins":       {`,"duration":2,"metadata":{"durationSeconds":16}`, 16, "input.metadata.durationSeconds", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			is(t, f.do("POST", submitPath, input(tt.body)), 200, accepted)
			got := f.generations.only(t)
			if tt.fault == "" && (got.Input.Duration != tt.duration || got.DurationField != tt.field) || got.DurationFault != tt.fault {
				t.Errorf("%d from %q, fault %q", got.Input.Duration, got.DurationField, got.DurationFault)
			}
		})
	}
}

// Each row that ends in a generation: what reaches the core.
func TestSubmitAccepts(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	text := func(s string) *string { return &s }
	tests := map[string]struct {
		body string
		want kinora.Submission // beside organisation and surface
	}{
		"misplaced keys under metadata": {
			input(`,"metadata":{"quality":"high","resolution":"1K","n":2,"mask_url":"u","aspectRatio":"16:9","negativePrompt":"rain"}`),
			kinora.Submission{Input: kinora.Input{Metadata: map[string]json.RawMessage{
				"quality": raw(`"high"`), "resolution": raw(`"1K"`), "n": raw(`2`), "mask_url": raw(`"u"`),
				"aspectRatio": raw(`"16:9"`), "negativePrompt": raw(`"rain"`),
			}}},
		},
		"metadata is open and kept as it is": {
			input(`,"metadata":{"a":{"b" : [1.0,1e400,null,"\u00e9"]},"":0,"Callback_URL":7}`),
			kinora.Submission{Input: kinora.Input{Metadata: map[string]json.RawMessage{
				"a": raw(`{"b" : [1.0,1e400,null,"\u00e9"]}`), "": raw(`0`), "Callback_URL": raw(`7`),
			}}},
		},
		"metadata as a string": {
			input(`,"metadata":"{\"n\":2,\"callback_url\":\"https://a.example/\\u00e9\"}"`),
			kinora.Submission{Input: kinora.Input{
				Metadata: map[string]json.RawMessage{"n": raw("2")}, CallbackURL: "https://a.example/é",
			}},
		},
		"metadata null":          {input(`,"metadata":null`), kinora.Submission{}},
		"metadata empty":         {input(`,"metadata":{}`), kinora.Submission{}},
		"callback byte for byte": {input(`,"metadata":{"callback_url":"HTTP://User@Host:80/a b?x=%2f#\ud83d\ude00"}`), kinora.Submission{Input: kinora.Input{CallbackURL: "HTTP://User@Host:80/a b?x=%2f#😀"}}},
		"callback anything":      {input(`,"metadata":{"callback_url":"not a url"}`), kinora.Submission{Input: kinora.Input{CallbackURL: "not a url"}}},
		"callback empty":         {input(`,"metadata":{"callback_url":""}`), kinora.Submission{}},
		"unknown root keys":      {`{"model":"kling-v1","input":{"prompt":"two kites"},"user":"u","n":1,"stream":true}`, kinora.Submission{}},
		"null fields":            {input(`,"size":null,"image":null,"images":null,"duration":null,"seconds":null`), kinora.Submission{}},
		"empty fields":           {input(`,"size":"","image":"","images":[],"duration":"","seconds":""`), kinora.Submission{}},
		"size":                   {input(`,"size":"1024x1024"`), kinora.Submission{Input: kinora.Input{Size: "1024x1024"}}},
		"image": {
			input(`,"image":"https://a.example/1.png"`),
			kinora.Submission{Input: kinora.Input{Images: []string{"https://a.example/1.png"}}},
		},
		"image first, no repeats": {
			input(`,"images":["http://b.example/2","https://a.example/1","http://b.example/2","HTTPS://c.example"],"image":"https://a.example/1"`),
			kinora.Submission{Input: kinora.Input{Images: []string{"https://a.example/1", "http://b.example/2", "HTTPS://c.example"}, ImageItems: 4}},
		},
		"duration":                  {input(`,"duration":5`), kinora.Submission{Input: kinora.Input{Duration: 5}}},
		"duration as string":        {input(`,"duration":" 10 "`), kinora.Submission{Input: kinora.Input{Duration: 10}}},
		"duration 5.0":              {input(`,"duration":5.0`), kinora.Submission{Input: kinora.Input{Duration: 5}}},
		"duration 0":                {input(`,"duration":0,"seconds":"4"`), kinora.Submission{Input: kinora.Input{Duration: 4}}},
		"seconds":                   {input(`,"seconds":"4"`), kinora.Submission{Input: kinora.Input{Duration: 4}}},
		"seconds as number":         {input(`,"seconds":4`), kinora.Submission{Input: kinora.Input{Duration: 4}}},
		"duration before seconds":   {input(`,"seconds":"4","duration":5`), kinora.Submission{Input: kinora.Input{Duration: 5}}},
		"metadata before all":       {input(`,"duration":5,"metadata":{"durationSeconds":6},"seconds":"4"`), kinora.Submission{Input: kinora.Input{Duration: 6, Metadata: map[string]json.RawMessage{"durationSeconds": raw("6")}}}},
		"durationSeconds as string": {input(`,"metadata":{"durationSeconds":"6"}`), kinora.Submission{Input: kinora.Input{Duration: 6, Metadata: map[string]json.RawMessage{"durationSeconds": raw(`"6"`)}}}},
		"durationSeconds null":      {input(`,"duration":5,"metadata":{"durationSeconds":null}`), kinora.Submission{Input: kinora.Input{Duration: 5}}},
		"metadata's nulls":          {input(`,"metadata":"{\"n\":null,\"seed\":7,\"mask_url\": null }"`), kinora.Submission{Input: kinora.Input{Metadata: map[string]json.RawMessage{"seed": raw("7")}}}},
		"own extensions": {
			`{"model":"kling-v1","input":{"prompt":"two kites"},"webhook":{"url":"https://your.domain/hooks/tasks","secret":"x"},"reference":"order-17","metadata": {"row" : 7, "a":"\u003c"}}`,
			kinora.Submission{WebhookURL: "https://your.domain/hooks/tasks", Reference: text("order-17"), Metadata: raw(`{"row" : 7, "a":"\u003c"}`)},
		},
		"own extensions null":   {`{"model":"kling-v1","input":{"prompt":"two kites"},"webhook":null,"reference":null,"metadata":null}`, kinora.Submission{}},
		"empty reference":       {`{"model":"kling-v1","input":{"prompt":"two kites"},"reference":""}`, kinora.Submission{Reference: text("")}},
		"longest reference":     {`{"model":"kling-v1","input":{"prompt":"two kites"},"reference":"` + strings.Repeat("é", 255) + `"}`, kinora.Submission{Reference: text(strings.Repeat("é", 255))}},
		"surrogate pair":        {input(`,"size":"\uD83D\uDE00"`), kinora.Submission{Input: kinora.Input{Size: "😀"}}},
		"white space all round": {" \n\t" + input("") + "\r\n ", kinora.Submission{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			is(t, f.do("POST", submitPath, tt.body), 200, accepted)
			want := tt.want
			want.OrganisationID, want.Surface, want.Model, want.Input.Prompt = ownID, kinora.SurfaceSubmit, "kling-v1", "two kites"
			got := f.generations.only(t)
			got.DurationField = "" // see TestSubmitLengths
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSubmitKeepsThePromptAsItWasSent(t *testing.T) {
	f := newFixture(t)
	f.do("POST", submitPath, `{"model":"m","input":{"prompt":" \u0022two\u0022\n kites\u2028 <b> "}}`)
	if got, want := f.generations.only(t).Input.Prompt, " \"two\"\n kites\u2028 <b> "; got != want {
		t.Errorf("prompt %q, want %q", got, want)
	}
}

func TestSubmitTellsOfIgnoredCallbacks(t *testing.T) {
	polling := func(_ context.Context, s *kinora.Submission) (*kinora.Accepted, error) {
		in := s.Input
		in.CallbackIgnored = in.CallbackURL != ""
		return &kinora.Accepted{Generation: &kinora.Generation{ID: taskOne, Input: in, CreatedAt: testTime}}, nil
	}
	tests := map[string]struct {
		body string
		want []string
	}{
		"in its place":    {input(`,"metadata":{"callback_url":"https://a.example/"}`), []string{"polling-only"}},
		"at the root":     {`{"callback_url":"https://a.example/","model":"m","input":{"prompt":"x"}}`, []string{"not-in-metadata"}},
		"root, any type":  {`{"callback_url":null,"model":"m","input":{"prompt":"x"}}`, []string{"not-in-metadata"}},
		"in both":         {`{"callback_url":"https://b.example/","model":"m","input":{"prompt":"x","metadata":{"callback_url":"https://a.example/"}}}`, []string{"polling-only, not-in-metadata"}},
		"none":            {input(""), nil},
		"not a root's":    {input(`,"metadata":{"x":{"callback_url":"https://a.example/"}}`), nil},
		"webhook is ours": {`{"webhook":{"url":"https://a.example/"},"model":"m","input":{"prompt":"x"}}`, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.generations.accept = polling
			w := f.do("POST", submitPath, tt.body)
			is(t, w, 200, accepted)
			if diff := cmp.Diff(tt.want, w.Header().Values("X-Callback-Ignored")); diff != "" {
				t.Error(diff)
			}
			if u := f.generations.only(t).Input.CallbackURL; u == "https://b.example/" {
				t.Error("the root's callback_url was used")
			}
		})
	}
}

func TestSubmitIdempotencyKey(t *testing.T) {
	t.Run("reaches the core with a hash of the request", func(t *testing.T) {
		f := newFixture(t)
		for _, body := range []string{
			input(`,"size":"1:1","duration":5`),
			` { "input" : {"duration":5, "size":"1\u003a1","prompt":"two kites"}, "model":"kling-v1"}`,
			input(`,"size":"1:2","duration":5`),
			input(`,"size":"1:1","duration":"5"`),
		} {
			f.do("POST", submitPath, body, header("Idempotency-Key", "listing-123 lr/1"))
		}
		s := f.generations.accepted
		if s[0].IdempotencyKey != "listing-123 lr/1" || s[0].IdempotencyScope != "POST /api/generate/submit" {
			t.Errorf("key %q, scope %q", s[0].IdempotencyKey, s[0].IdempotencyScope)
		}
		if len(s[0].RequestHash) != 64 || s[0].RequestHash != s[1].RequestHash {
			t.Errorf("equal documents have the hashes %q and %q", s[0].RequestHash, s[1].RequestHash)
		}
		if s[0].RequestHash == s[2].RequestHash || s[0].RequestHash == s[3].RequestHash {
			t.Error("different documents have one hash")
		}
	})
	t.Run("a replay answers as the first time", func(t *testing.T) {
		f := newFixture(t)
		f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) {
			return &kinora.Accepted{Replayed: true, Generation: &kinora.Generation{
				ID: taskOne, State: kinora.GenerationSucceeded, CreatedAt: testTime,
			}}, nil
		}
		w := f.do("POST", submitPath, input(""), header("Idempotency-Key", "k"))
		is(t, w, 200, accepted)
		if w.Header().Get("Idempotent-Replayed") != "true" {
			t.Error("the replay is not marked")
		}
	})
	for name, headers := range map[string][]string{
		"empty": {""}, "long": {strings.Repeat("k", 256)}, "two": {"a", "b"}, "not ASCII": {"schlüssel"}, "tab": {"a\tb"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			f := newFixture(t)
			w := f.do("POST", submitPath, input(""), func(r *http.Request) { r.Header["Idempotency-Key"] = headers })
			is(t, w, 400, badRequest("Idempotency-Key must be 1 to 255 printable ASCII characters"))
			if len(f.generations.accepted) != 0 {
				t.Error("it was accepted")
			}
		})
	}
}

// What the core refuses is told in the envelope of 2.7, with the numbers of its table.
func TestSubmitErrorsOfTheCore(t *testing.T) {
	tests := map[string]struct {
		err    error
		status int
		body   string
		retry  string
	}{
		"invalid":     {kinora.Errorf(kinora.ErrInvalid, "unsupported model: <m>"), 400, badRequest("unsupported model: <m>"), ""},
		"forbidden":   {kinora.Errorf(kinora.ErrForbidden, "this key may not use the model"), 403, taskErrorText(403, "this key may not use the model", "permission_error"), ""},
		"conflict":    {kinora.Errorf(kinora.ErrConflict, "other body"), 409, taskErrorText(409, "other body", "idempotency_conflict"), ""},
		"rate":        {&kinora.Error{Code: kinora.ErrRateLimited, Message: "slow down", RetryAfter: 1500 * time.Millisecond}, 429, taskErrorText(429, "slow down", "rate_limit_error"), "2"},
		"no upstream": {kinora.Errorf(kinora.ErrNoUpstream, "no account"), 503, taskErrorText(503, "no account", "upstream_error"), "1"},
		"unavailable": {fmt.Errorf("accept: %w", kinora.Errorf(kinora.ErrUnavailable, "try again")), 503, taskErrorText(503, "try again", "upstream_error"), "1"},
		"anything":    {fmt.Errorf("dial tcp 10.1.2.3:5432: secret"), 500, taskErrorText(500, "internal error (request r1)", "server_error"), ""},
		"internal":    {kinora.Errorf(kinora.ErrInternal, "secret"), 500, taskErrorText(500, "internal error (request r1)", "server_error"), ""},
		"new code":    {kinora.Errorf("brand_new", "secret"), 500, taskErrorText(500, "internal error (request r1)", "server_error"), ""},
		"time is up":  {fmt.Errorf("commit: %w", context.DeadlineExceeded), 503, taskErrorText(503, "the request took too long", "upstream_error"), "1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) { return nil, tt.err }
			w := f.do("POST", submitPath, input(""), header("X-Request-Id", "r1"))
			is(t, w, tt.status, tt.body)
			if got := w.Header().Get("Retry-After"); got != tt.retry {
				t.Errorf("Retry-After %q, want %q", got, tt.retry)
			}
		})
	}
}

func TestSubmitRefusesEncodedBodies(t *testing.T) {
	f := newFixture(t)
	is(t, f.do("POST", submitPath, "\x1f\x8b", header("Content-Encoding", "gzip")), 400, badRequest("Content-Encoding is not supported"))
	is(t, f.do("POST", submitPath, input(""), header("Content-Encoding", "identity")), 200, accepted)
}

func TestSubmitTakesAnyContentType(t *testing.T) {
	f := newFixture(t)
	is(t, f.do("POST", submitPath, input(""), header("Content-Type", "text/plain")), 200, accepted)
}

func statusOf(f *fixture, id string) string {
	return f.do("GET", "/api/generate/status/"+id, "").Body.String()
}

func TestTaskStatusBodies(t *testing.T) {
	generation := func(state kinora.GenerationState, progress int, failure *kinora.Failure) *kinora.Generation {
		return &kinora.Generation{
			ID: taskOne, OrganisationID: ownID, Surface: kinora.SurfaceSubmit, Kind: kinora.KindVideo, State: state,
			Progress: progress, Failure: failure, CreatedAt: testTime.In(time.FixedZone("", 7200)),
		}
	}
	const head, tail = `{"code":200,"data":{"task_id":"task_01HF8Z3KQX2A6Y4N3R8M5W7V9P","status":`, `,"created_time":"2026-06-14T10:30:00","error_message":`
	tests := map[string]struct {
		g    *kinora.Generation
		want string
	}{
		"ingesting": {generation(kinora.GenerationIngesting, 0, nil), head + `"not_started","progress":0` + tail + `null}}`},
		"queued":    {generation(kinora.GenerationQueued, 3, nil), head + `"not_started","progress":0` + tail + `null}}`},
		"running":   {generation(kinora.GenerationRunning, 42, nil), head + `"running","progress":42` + tail + `null}}`},
		"failed": {
			generation(kinora.GenerationFailed, 42, kinora.NewFailure(kinora.FailureContentRejected, "the upstream refused <the> content & \"more\"")),
			head + `"failed","progress":42` + tail + `"the upstream refused <the> content & \"more\""}}`,
		},
		"failed without a reason": {generation(kinora.GenerationFailed, 0, nil), head + `"failed","progress":0` + tail + `"the generation failed"}}`},
		"cancelled": {
			generation(kinora.GenerationCancelled, 7, kinora.NewFailure(kinora.FailureCancelled, "cancelled by the caller")),
			head + `"failed","progress":7` + tail + `"cancelled"}}`,
		},
		"finished, files gone": {generation(kinora.GenerationSucceeded, 90, nil), head + `"finished","progress":100,"files":[]` + tail + `null}}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.generations.store(tt.g)
			w := f.do("GET", "/api/generate/status/"+taskOne, "")
			is(t, w, 200, tt.want)
			if w.Header().Get("X-Callback-Ignored") != "" {
				t.Error("nothing was ignored")
			}
		})
	}
}

func TestTaskStatusFiles(t *testing.T) {
	f := newFixture(t, func(c *Config) {
		c.FileURL = func(key string) (string, time.Time) {
			return "https://files.example/files/" + key + "?exp=1&sig=x", testTime
		}
	})
	f.generations.store(&kinora.Generation{
		ID: taskOne, OrganisationID: ownID, State: kinora.GenerationSucceeded, Progress: 100, CreatedAt: testTime,
		Input: kinora.Input{CallbackURL: "https://a.example/", CallbackIgnored: true},
	},
		kinora.Output{ID: "out_1", BlobKey: "out/1.mp4", Kind: kinora.KindVideo},
		kinora.Output{ID: "out_2", BlobKey: "out/2.png", Kind: kinora.KindImage, RemovedAt: testTime},
		kinora.Output{ID: "out_3", BlobKey: "out/3.jpg", Kind: kinora.KindImage},
	)
	w := f.do("GET", "/api/generate/status/"+taskOne, "")
	is(t, w, 200, `{"code":200,"data":{"task_id":"task_01HF8Z3KQX2A6Y4N3R8M5W7V9P","status":"finished","progress":100,`+
		`"files":[{"file_url":"https://files.example/files/out/1.mp4?exp=1&sig=x","file_type":"video"},`+
		`{"file_url":"https://files.example/files/out/3.jpg?exp=1&sig=x","file_type":"image"}],`+
		`"created_time":"2026-06-14T10:30:00","error_message":null}}`)
	if got := w.Header().Values("X-Callback-Ignored"); len(got) != 1 || got[0] != "polling-only" {
		t.Errorf("X-Callback-Ignored %q, want polling-only", got)
	}
}

// The exact bytes of contract 3.3, for whatever is not this caller's task.
func TestTaskStatusNotFound(t *testing.T) {
	const body = `{"code":404,"error":{"message":"task not found","type":"not_found"}}`
	f := newFixture(t)
	f.generations.store(&kinora.Generation{ID: taskOne, OrganisationID: otherID, State: kinora.GenerationQueued, CreatedAt: testTime})
	f.generations.store(&kinora.Generation{ID: jobOne, OrganisationID: ownID, State: kinora.GenerationQueued, CreatedAt: testTime})
	for _, id := range []string{taskOne, "task_01HF8Z3KQX2A6Y4N3R8M5W7V9Q"} {
		is(t, f.do("GET", "/api/generate/status/"+id, ""), 404, body)
	}
	f.generations.asked = nil
	for _, id := range []string{
		jobOne, "x", "task_", "task_01hf8z3kqx2a6y4n3r8m5w7v9p", "task_01HF8Z3KQX2A6Y4N3R8M5W7V9U", taskOne + "0", "%00", "%20",
		"task_01HF8Z3KQX2A6Y4N3R8M5W7V9%2F", "..%2f..%2fetc", "%ff", "'%20OR%201=1--", "", taskOne + "/", "a/b", "../status/x", strings.Repeat("a", 5000),
	} {
		is(t, f.do("GET", "/api/generate/status/"+id, ""), 404, body)
	}
	if len(f.generations.asked) != 0 {
		t.Errorf("malformed ids reached the store: %q", f.generations.asked)
	}
	if statusOf(f, taskOne) != body {
		t.Error("a foreign task answers unlike an unknown one")
	}
}
