package dashboard

import (
	"bytes"
	"context"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

// fakeSources has one picture of north.
type fakeSources struct{ Assets }

func (fakeSources) List(_ context.Context, organisationID string, state kinora.AssetState, _ string, _ int) ([]*kinora.SourceAsset, error) {
	if organisationID != north || state != kinora.AssetReady {
		return nil, nil
	}
	return []*kinora.SourceAsset{{ID: "src_1", State: kinora.AssetReady, BlobKey: "assets/1.jpg", ContentType: "image/jpeg", Width: 900, Height: 640}}, nil
}

func fakeOffers() []Offer {
	return []Offer{
		{Name: "staging", Workflow: true, Kind: kinora.KindImage, About: "Furnishes rooms.", Price: 80_000, Fields: []OfferField{
			{Name: "room_types", Type: FieldSeveral, Label: "Rooms", Values: []string{"Kitchen", "Bath"}},
			{Name: "style_preset", Type: FieldChoice, Label: "Style", Values: []string{"Modern", "Coastal"}},
			{Name: "strength", Type: FieldNumber, Label: "Strength"},
		}, Rows: []OfferRow{
			{CaptureType: "photo", Mode: "furnish", Required: []string{"style_preset"}},
			{CaptureType: "photo", Mode: "clean", Forbidden: []string{"style_preset"}},
			{CaptureType: "floorplan"},
		}},
		{Name: "clip", Kind: kinora.KindVideo},
	}
}

func acceptedAs(id string) func(apiCall) ([]byte, error) {
	return func(c apiCall) ([]byte, error) {
		if strings.HasPrefix(c.Path, "/api/v1/") {
			return []byte(`{"job_id":"` + id + `"}`), nil
		}
		return []byte(`{"code":200,"data":{"task_id":"` + id + `"}}`), nil
	}
}

func TestTheFormFollowsTheMatrix(t *testing.T) {
	s := newStand(t, func(c *Config) { c.Assets = fakeSources{c.Assets} })
	body := s.page(t, "member", "/playground")
	has(t, body, "staging (workflow, image)", "clip (model, video)", `name="style_preset"`, `value="Kitchen"`, `name="mode"`, "$0.08 if it succeeds", "http://kinora.test/files/previews/assets/1.jpg")
	clean := s.page(t, "member", "/playground?of=workflow:staging&capture_type=photo&mode=clean")
	if strings.Contains(clean, `name="style_preset"`) {
		t.Error("a field that must not be sent is on the form")
	}
	if plan := s.page(t, "member", "/playground?of=workflow:staging&capture_type=floorplan&mode=clean"); strings.Contains(plan, `name="mode"`) {
		t.Error("a mode is asked for where none may be sent")
	}
	model := s.page(t, "member", "/playground?of=model:clip")
	has(t, model, `name="input.prompt"`, `name="input.duration"`, "No price is set")
	if strings.Contains(model, `name="capture_type"`) {
		t.Error("a model has a capture type")
	}
	none := newStand(t, func(c *Config) { c.Offers = func() []Offer { return nil } })
	has(t, none.page(t, "member", "/playground"), "Nothing can be made here yet")
}

// What is offered is shared by all requests, so that a form must not grow into its spare room.
func TestTheFormLeavesTheOffersAlone(t *testing.T) {
	fields := append(make([]OfferField, 0, 8), OfferField{Name: "strength", Type: FieldNumber, Label: "Strength"})
	s := newStand(t, func(c *Config) {
		c.Offers = func() []Offer { return []Offer{{Name: "clip", Kind: kinora.KindVideo, Fields: fields}} }
	})
	has(t, s.page(t, "member", "/playground?of=model:clip"), `name="strength"`)
	for _, beyond := range fields[1:cap(fields)] {
		if beyond.Name != "" {
			t.Errorf("%s was written behind the offer's own fields", beyond.Name)
		}
	}
}

func TestWhatTheFormSends(t *testing.T) {
	s := newStand(t, nil)
	for name, tt := range map[string]struct {
		pairs      []string
		path, body string
	}{
		"workflow": {[]string{"of", "workflow:staging", "capture_type", "photo", "mode", "furnish", "room_types", "Bath", "style_preset", "Modern", "strength", "0.50", "source_asset_id", "src_1", "reference", " r1 "},
			"/api/v1/generations", `{"capture_type":"photo","mode":"furnish","reference":"r1","room_types":["Bath"],"source_asset_id":"src_1","strength":0.50,"style_preset":"Modern","workflow":"staging"}`},
		"what does not belong there": {[]string{"of", "workflow:staging", "capture_type", "photo", "mode", "clean", "style_preset", "Modern", "source_url", "https://x.example/a.jpg"},
			"/api/v1/generations", `{"capture_type":"photo","mode":"clean","source_url":"https://x.example/a.jpg","workflow":"staging"}`},
		"model": {[]string{"of", "model:clip", "input.prompt", " a cat\n", "input.images", "https://x.example/1.png\nhttps://x.example/2.png ", "input.duration", "5", "input.metadata", `{"seed": 12345678901234567890, "n": 2}`, "webhook.url", "https://x.example/hook", "metadata", `{"a":1}`},
			"/api/generate/submit", `{"input":{"duration":5,"images":["https://x.example/1.png","https://x.example/2.png"],"metadata":{"n":2,"seed":12345678901234567890},"prompt":" a cat\n"},"metadata":{"a":1},"model":"clip","webhook":{"url":"https://x.example/hook"}}`},
	} {
		s.api.calls, s.api.answer = nil, acceptedAs(heldOne)
		got := s.post("member", "/playground", append(tt.pairs, "once", "abc")...)
		if got.Code != http.StatusSeeOther || !strings.HasPrefix(got.Header().Get("Location"), "/dashboard/o/"+north+"/playground?of=") {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
			continue
		}
		c := s.api.calls[0]
		if c.Path != tt.path || c.Body != tt.body || c.Key != "dashboard-abc" || c.Actor != "member@example.com" || c.Organisation != north {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// A picture is sent on as it came, beside the fields.
func TestThePlaygroundSendsAPicture(t *testing.T) {
	s := newStand(t, nil)
	s.api.answer = acceptedAs(heldOne)
	post := func(of string) apiCall {
		t.Helper()
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		for name, value := range map[string]string{"form_token": s.token("member"), "of": of, "once": "abc", "capture_type": "floorplan", "input.prompt": "a cat"} {
			_ = form.WriteField(name, value)
		}
		file, _ := form.CreateFormFile("file", "room.jpg")
		_, _ = file.Write([]byte("the picture"))
		_ = form.Close()
		r := httptest.NewRequest(http.MethodPost, "http://kinora.test/dashboard/o/"+north+"/playground", &body)
		r.Header.Set("Content-Type", form.FormDataContentType())
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "member"})
		if got := s.send(r); got.Code != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", of, got.Code, got.Body)
		}
		return s.api.calls[len(s.api.calls)-1]
	}
	if c := post("workflow:staging"); !strings.Contains(c.Body, "the picture") || !strings.Contains(c.Body, `name="workflow"`) || strings.Contains(c.Body, "form_token") {
		t.Errorf("%+v", c)
	}
	s.api.answer = func(c apiCall) ([]byte, error) {
		if c.Path == "/api/common/upload/stream" {
			return []byte(`{"data":{"file_url":"https://files.example/room.jpg"}}`), nil
		}
		return acceptedAs(heldTwo)(c)
	}
	if c := post("model:clip"); c.Path != "/api/generate/submit" || !strings.Contains(c.Body, `"images":["https://files.example/room.jpg"]`) {
		t.Errorf("%+v", c)
	}
}

func TestRefusalsStandAtTheirFields(t *testing.T) {
	s := newStand(t, nil)
	s.api.answer = func(apiCall) ([]byte, error) {
		return nil, &kinora.Error{Code: kinora.ErrInvalid, Message: "x", Details: []kinora.FieldError{
			{Field: "input.images[1]", Message: "<i>no picture</i>"}, {Field: "input.seconds", Message: "no such length"}}}
	}
	got := s.post("member", "/playground", "of", "model:clip", "input.prompt", "</textarea><script>", "once", "abc")
	if got.Code != http.StatusUnprocessableEntity {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	has(t, got.Body.String(), `id="field-input-images-error" class="field-error">&lt;i&gt;no picture`, "no such length", "&lt;/textarea&gt;&lt;script&gt;")
	for field, text := range map[string]string{"input.metadata": "[1]", "metadata": `{"a":1} x`, "input.duration": "five"} {
		calls := len(s.api.calls)
		got := s.post("member", "/playground", "of", "model:clip", "input.prompt", "a", "once", "abc", field, text)
		has(t, got.Body.String(), `id="field-`+strings.ReplaceAll(field, ".", "-")+`-error"`)
		if len(s.api.calls) != calls {
			t.Errorf("%s: sent all the same", field)
		}
	}
	if got := s.post("member", "/playground", "of", "model:gone"); got.Code != http.StatusNotFound {
		t.Errorf("a model that is not offered: %d", got.Code)
	}
}

// Where a form's token stands for another request, that one may be under way: with a new token, the next press would pay for it again.
func TestAConflictKeepsTheToken(t *testing.T) {
	s := newStand(t, nil)
	s.histories.set(workflowHistory())
	s.generations.set(*workflowHistory().Generation)
	s.api.answer = func(apiCall) ([]byte, error) {
		return nil, kinora.Errorf(kinora.ErrConflict, "the idempotency key was used with another request")
	}
	for path, pairs := range map[string][]string{
		"/playground":                            {"of", "model:clip", "input.prompt", "a cat"},
		"/generations/" + jobOne + "/regenerate": {"reference", "r1"},
	} {
		for _, part := range []string{"", "true"} {
			form := url.Values{"form_token": {s.token("member")}, "once": {"TOKENOFTHEFORM"}}
			for i := 0; i < len(pairs); i += 2 {
				form.Set(pairs[i], pairs[i+1])
			}
			r := httptest.NewRequest(http.MethodPost, "http://kinora.test/dashboard/o/"+north+path, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("HX-Request", part)
			r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "member"})
			got := s.send(r)
			body := got.Body.String()
			if got.Code != http.StatusConflict || strings.Count(body, `name="once" value="TOKENOFTHEFORM"`) != 1 {
				t.Errorf("%s: %d, or another token:\n%s", path, got.Code, body)
			}
			has(t, body, "has been sent before", `href="/dashboard/o/`+north+`/generations"`, `href="/dashboard/o/`+north+path, pairs[len(pairs)-1])
		}
	}
}

// Without a token of its own, which is the idempotency key, a form that is sent twice would be paid for twice.
func TestWhatHasNoTokenIsNotSent(t *testing.T) {
	s := newStand(t, nil)
	s.generations.set(*workflowHistory().Generation)
	s.api.answer = acceptedAs(heldOne)
	for _, once := range []string{"", strings.Repeat("x", 65)} {
		for path, pairs := range map[string][]string{
			"/playground":                            {"of", "model:clip", "input.prompt", "a cat", "once", once},
			"/generations/" + jobOne + "/regenerate": {"once", once},
		} {
			if got := s.post("member", path, pairs...); got.Code != http.StatusUnprocessableEntity || len(s.api.calls) > 0 {
				t.Errorf("%s with token %q: %d, %v", path, once, got.Code, s.api.calls)
			}
		}
	}
}

// What a session has had made is listed, whatever its cookie says.
func TestRunsOfASession(t *testing.T) {
	s := newStand(t, nil)
	s.hold()
	r, _ := http.NewRequest(http.MethodGet, "http://kinora.test/dashboard/o/"+north+"/playground", nil)
	r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "member"})
	r.AddCookie(&http.Cookie{Name: s.cookieName(runsCookie), Value: heldTwo + ".../x." + heldTwo + ".task_01J0000000000000000000000Z"})
	body := s.send(r).Body.String()
	has(t, body, "run-"+heldTwo, "/playground/live?ids="+heldTwo)
	if strings.Count(body, `id="run-`) != 1 {
		t.Error("something that is not there is listed")
	}
}

func TestThePreview(t *testing.T) {
	s := newStand(t, nil)
	for name, tt := range map[string]struct {
		form url.Values
		want []string
	}{
		"model":            {url.Values{"of": {"model:clip"}, "input.prompt": {"it's <b>"}}, []string{"/api/generate/submit", "it&#39;\\&#39;&#39;s &lt;b&gt;", "No price"}},
		"with a file":      {url.Values{"of": {"workflow:staging"}, "capture_type": {"photo"}, "mode": {"furnish"}, "room_types": {"Kitchen", "Bath"}}, []string{"-F file=@PICTURE", "room_types=Kitchen", "room_types=Bath", "Idempotency-Key"}},
		"not a whole form": {url.Values{"of": {"model:clip"}, "metadata": {"{"}}, []string{"metadata must be a JSON object"}},
	} {
		tt.form.Set("form_token", s.token("member"))
		got := s.ask("member", "/dashboard/o/"+north+"/playground/preview", tt.form)
		if got.Code != http.StatusOK {
			t.Fatalf("%s: %d", name, got.Code)
		}
		for _, want := range tt.want {
			if !strings.Contains(got.Body.String(), want) {
				t.Errorf("%s lacks %q:\n%s", name, want, got.Body)
			}
		}
	}
}
