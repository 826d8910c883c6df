package dashboard

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

const jobOne, jobTwo = "job_01J00000000000000000000001", "job_01J00000000000000000000002"

// workflowHistory is a generation of a workflow that has succeeded, with everything that a page can show, and every text that
// somebody else wrote hostile.
func workflowHistory() kinora.History {
	at := time.Date(2026, 9, 21, 14, 0, 0, 0, time.UTC)
	later := func(s int) time.Time { return at.Add(time.Duration(s) * time.Second) }
	reference := `"><img src=x onerror=alert(1)>`
	g := &kinora.Generation{ID: jobOne, OrganisationID: north, Surface: kinora.SurfaceGenerations, Model: "sandbox-image", Kind: kinora.KindImage,
		State: kinora.GenerationSucceeded, Progress: 100, Input: kinora.Input{Prompt: "<script>alert('prompt')</script>"}, SourceAssetID: "src_1", Reference: &reference,
		Metadata: json.RawMessage(`{"note":"</code><script>alert(2)</script>"}`), WebhookURL: "https://user:secret@hooks.example/x?token=secret",
		Request: &kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "clean", RoomTypes: []string{"Kitchen", "Living Room"},
			Fields: map[string]json.RawMessage{"height": json.RawMessage("3"), "words": json.RawMessage(`["a","b"]`)}},
		CreatedAt: at, UpdatedAt: later(9), CompletedAt: later(9)}
	verdict := func(passed bool) *kinora.Verdict {
		return &kinora.Verdict{Passed: passed, Score: 0.81, Checks: []kinora.Check{{Name: "structure", Passed: passed, Value: 0.74, Limit: 0.4, Detail: "the checker's own words"}}}
	}
	return kinora.History{
		Generation: g, Source: &kinora.SourceAsset{ID: "src_1", State: kinora.AssetReady, BlobKey: "sources/1.jpg", ContentType: "image/jpeg", Width: 1400, Height: 1000},
		Outputs: []kinora.Output{
			{ID: "out_rejected", State: kinora.OutputRejected, Verdict: verdict(false), Ordinal: -1, Kind: kinora.KindImage, ContentType: "image/png", BlobKey: "outputs/r.png"},
			{ID: "out_alternate", State: kinora.OutputPublished, Verdict: verdict(true), Ordinal: 1, Role: "alternate", Kind: kinora.KindImage, ContentType: "image/svg+xml", BlobKey: "outputs/a.svg"},
			{ID: "out_primary", State: kinora.OutputPublished, Verdict: verdict(true), Ordinal: 0, Role: "primary", Kind: kinora.KindImage, ContentType: "image/png", BlobKey: "outputs/p.png", Width: 64, Height: 48, Bytes: 1234},
			{ID: "out_gone", State: kinora.OutputPublished, Ordinal: 2, Role: "alternate", Kind: kinora.KindImage, ContentType: "image/png", BlobKey: "outputs/g.png", RemovedAt: later(60)},
		},
		Attempts: []*kinora.Attempt{{GenerationID: jobOne, Parts: 1, State: kinora.AttemptSucceeded, Provider: "acme-provider", Account: "acme-account", UpstreamModel: "acme-model",
			UpstreamID: "acme-id", ErrorCode: "acme-code", ErrorClass: "unavailable", ErrorMessage: "the upstream was overloaded: acme trace 7", Failure: kinora.NewFailure(kinora.FailureUpstream, "the upstream failed"), LeaseOwner: "acme-node", Polls: 3,
			CreatedAt: at, SubmittedAt: later(1), AcceptedAt: later(2), DoneAt: later(7), FinishedAt: later(9)}},
		Reviews: []*kinora.Review{{State: kinora.ReviewApproved, DecidedBy: "grace", Reason: "fine work", CreatedAt: later(8), DecidedAt: later(9)}},
		Event:   &kinora.Event{ID: "evt_1", Type: kinora.EventCompleted, CreatedAt: later(9)},
		Deliveries: []kinora.DeliveryHistory{{
			Delivery: &kinora.Delivery{ID: "dlv_1", State: kinora.DeliveryDead, URL: "https://user:secret@hooks.example/x?token=secret", Attempts: 12, LastStatus: 500, LastError: "<b>broken</b>", FinishedAt: later(99)},
			Log:      []kinora.DeliveryAttempt{{Number: 12, Status: 500, Fault: kinora.FaultHTTP, Error: "<b>broken</b>", StartedAt: later(98)}}}},
		Entry: &kinora.UsageEntry{ID: "bev_1", Billable: true, Amount: 80_000},
	}
}

func page(rest string) string { return Prefix + "/o/" + north + "/generations/" + jobOne + rest }

func TestGenerationPageShowsWhatIsForWhom(t *testing.T) {
	s := newStand(t, nil)
	s.histories.set(workflowHistory())
	s.histories.origin = kinora.Origin{By: &kinora.Actor{Name: "ada@example.com"}, IdempotencyKey: "key-1", Regenerations: []kinora.Relative{{ID: jobTwo, State: kinora.GenerationQueued}}}
	everybody := []string{jobOne, "outputs/out_primary", "structure", "0.81", "$0.08", "bev_1", "evt_1", "dlv_1", "11 earlier ones", "ada@example.com", "key-1", jobTwo,
		"The file was removed", "64 × 48", "1.2 KiB"}
	admins := []string{"grace", "fine work", "https://redacted@hooks.example/x?redacted"} // members see how a webhook's URL begins
	insiders := []string{"outputs/out_rejected", "acme-provider", "acme-account", "acme-model", "acme-id", "acme-code", "acme-node", "own words", "acme trace 7", "unavailable"}
	outsiders := []string{"the upstream failed"}
	never := []string{"<script>alert", "<img src=x", "<b>broken", "secret", "outputs/out_gone\"", "outputs/p.png"}
	for _, who := range []string{"member", "admin", "owner", "operator"} {
		got := s.ask(who, page(""), nil)
		body := got.Body.String()
		if got.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", who, got.Code, body)
		}
		hold := func(words []string, want bool) {
			for _, w := range words {
				if strings.Contains(body, w) != want {
					t.Errorf("%s: %q on the page is %v", who, w, !want)
				}
			}
		}
		hold(everybody, true)
		hold(never, false)
		hold(admins, who != "member")
		hold(insiders, who == "operator")
		hold(outsiders, who != "operator")
		if strings.Index(body, "out_primary") > strings.Index(body, "out_alternate") {
			t.Errorf("%s: the primary output is not the first", who)
		}
		if strings.Contains(body, `<img src="`+page("/outputs/out_alternate")) {
			t.Errorf("%s: a picture that can carry scripts is shown", who)
		}
	}
	s.generations.set(*workflowHistory().Generation)
	if list := s.ask("member", Prefix+"/o/"+north+"/generations", nil).Body.String(); !strings.Contains(list, page("")) {
		t.Error("the list does not lead to the page")
	}
}

// What was asked for with the admin token has no name, and is no key's.
func TestGenerationPageTellsOfTheAdminToken(t *testing.T) {
	s := newStand(t, nil)
	s.histories.set(workflowHistory())
	s.histories.origin = kinora.Origin{By: &kinora.Actor{Kind: kinora.ActorOperator}}
	for _, who := range []string{"member", "operator"} {
		if body := s.ask(who, page(""), nil).Body.String(); !strings.Contains(body, operatorName) || strings.Contains(body, "an API key") {
			t.Errorf("%s is not told that it was an operator", who)
		}
	}
}

func TestFilesAreForThoseWhoMaySeeThem(t *testing.T) {
	s := newStand(t, nil)
	s.histories.set(workflowHistory())
	for _, tc := range []struct {
		who, path string
		want      int
		to        string
	}{
		{"member", "/outputs/out_primary", http.StatusFound, "http://kinora.test/files/outputs/p.png?signed"},
		{"member", "/source", http.StatusFound, "http://kinora.test/files/sources/1.jpg?signed"},
		{"owner", "/outputs/out_rejected", http.StatusNotFound, ""},
		{"operator", "/outputs/out_rejected", http.StatusFound, "http://kinora.test/files/outputs/r.png?signed"},
		{"operator", "/outputs/out_gone", http.StatusNotFound, ""},
		{"operator", "/outputs/out_none", http.StatusNotFound, ""},
		{"stranger", "/outputs/out_primary", http.StatusNotFound, ""},
	} {
		if got := s.ask(tc.who, page(tc.path), nil); got.Code != tc.want || got.Header().Get("Location") != tc.to {
			t.Errorf("%s asks for %s: %d %s", tc.who, tc.path, got.Code, got.Header().Get("Location"))
		}
	}
}

func TestCancelIsTheActorsAndSaysWhatCameOfIt(t *testing.T) {
	s := newStand(t, nil)
	h := workflowHistory()
	form := url.Values{"form_token": {s.token("member")}}
	s.histories.set(h)
	if body := s.ask("member", page(""), nil).Body.String(); strings.Contains(body, "cancel-generation") {
		t.Error("what has ended can be cancelled on its page")
	}
	if got := s.ask("member", page("/cancel"), form); got.Code != http.StatusSeeOther || len(s.histories.cancelled) != 0 || len(got.Result().Cookies()) == 0 {
		t.Errorf("cancelling what has ended: %d, %v", got.Code, s.histories.cancelled)
	}
	h.Generation.State, h.Generation.CompletedAt = kinora.GenerationRunning, time.Time{}
	s.histories.set(h)
	if body := s.ask("member", page(""), nil).Body.String(); !strings.Contains(body, "cancel-generation") || !strings.Contains(body, "/live?seen=") {
		t.Error("what runs cannot be cancelled on its page, or is not live")
	}
	if got := s.ask("member", page("/cancel"), form); got.Code != http.StatusSeeOther || got.Header().Get("Location") != page("") {
		t.Errorf("cancel: %d to %s", got.Code, got.Header().Get("Location"))
	}
	if len(s.histories.cancelled) != 1 || s.histories.cancelled[0] != jobOne+" by member@example.com" {
		t.Errorf("cancelled %v", s.histories.cancelled)
	}
}

// What the form has filled in reaches the API as its own fields and under a key of the form; what the API refuses stands at the field.
func TestRegenerateAsksTheAPI(t *testing.T) {
	s := newStand(t, nil)
	s.generations.set(*workflowHistory().Generation)
	var refusal error
	s.api.answer = func(apiCall) ([]byte, error) { return []byte(`{"job_id":"` + jobTwo + `"}`), refusal }
	body := s.ask("member", page("/regenerate"), nil).Body.String()
	has(t, body, `name="room_types" value="Kitchen" checked`, `<option value="clean" selected`, `name="strength"`, `name="once"`, `/regenerate/form"`)
	hasNot(t, body, "secret", `name="style_preset"`) // which does not go with the mode
	form := url.Values{"form_token": {s.token("member")}, "once": {"abc"}, "workflow": {"staging"}, "capture_type": {"photo"}, "mode": {"furnish"}, "room_types": {"Kitchen", "Bath"},
		"style_preset": {"Coastal"}, "strength": {"4"}, "webhook.url": {"https://hooks.example/y"}, "metadata": {`{"a": 1}`}, "reference": {""}}
	got := s.ask("member", page("/regenerate"), form)
	if got.Code != http.StatusSeeOther || !strings.HasSuffix(got.Header().Get("Location"), "/generations/"+jobTwo) {
		t.Fatalf("regenerate: %d to %s", got.Code, got.Header().Get("Location"))
	}
	want := apiCall{"POST", "/api/v1/generations/" + jobOne + "/regenerate", "dashboard-abc",
		`{"metadata":{"a":1},"mode":"furnish","room_types":["Kitchen","Bath"],"strength":4,"style_preset":"Coastal","webhook":{"url":"https://hooks.example/y"}}`, "member@example.com", north}
	if len(s.api.calls) != 1 || s.api.calls[0] != want {
		t.Errorf("the API was asked\n%+v, want\n%+v", s.api.calls, want)
	}

	refusal = &kinora.Error{Code: kinora.ErrInvalid, Message: "mode must be furnish or clean", Details: []kinora.FieldError{{Field: "mode", Message: "mode must be furnish or clean"},
		{Field: "shadow", Message: "shadow is required"}}}
	form.Set("once", "def") // of another form
	got = s.ask("member", page("/regenerate"), form)
	if body := got.Body.String(); got.Code != http.StatusUnprocessableEntity || !strings.Contains(body, `id="field-mode-error"`) || !strings.Contains(body, "shadow is required") || !strings.Contains(body, `value="Bath" checked`) {
		t.Errorf("refused: %d\n%s", got.Code, body)
	}
	form.Set("metadata", "{")
	if got = s.ask("member", page("/regenerate"), form); got.Code != http.StatusUnprocessableEntity || !strings.Contains(got.Body.String(), `id="field-metadata-error"`) {
		t.Errorf("metadata that is no JSON: %d", got.Code)
	}
	refusal = &kinora.Error{Code: kinora.ErrUnavailable, Message: "later"}
	form.Set("metadata", "")
	if got = s.ask("member", page("/regenerate"), form); got.Code != http.StatusServiceUnavailable {
		t.Errorf("out of reach: %d", got.Code)
	}
	plain := *workflowHistory().Generation
	plain.Request = nil
	s.generations.set(plain)
	if got = s.ask("member", page("/regenerate"), nil); got.Code != http.StatusConflict {
		t.Errorf("one of no workflow: %d", got.Code)
	}
}

// The fields are those that the workflow describes for what is chosen; what was asked for is said, and is not sent again.
func TestRegenerateFormFollowsTheWorkflow(t *testing.T) {
	s := newStand(t, nil)
	g := *workflowHistory().Generation
	g.Request = &kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "furnish", StylePreset: "Modern", RoomTypes: []string{"Kitchen"},
		Fields: map[string]json.RawMessage{"strength": json.RawMessage("0.7")}}
	s.generations.set(g)
	s.api.answer = func(apiCall) ([]byte, error) { return []byte(`{"job_id":"` + jobTwo + `"}`), nil }
	body := s.ask("member", page("/regenerate"), nil).Body.String()
	has(t, body, `<option value="" selected>As it was: Modern`, `<option value="Coastal"`, `placeholder="0.7"`, `<option value="furnish" selected`)
	hasNot(t, body, " required")

	as := func(pairs ...string) url.Values {
		form := url.Values{"form_token": {s.token("member")}, "once": {"abc"}, "workflow": {"staging"}, "capture_type": {"photo"}, "mode": {"furnish"}, "room_types": {"Kitchen"}}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return form
	}
	if s.ask("member", page("/regenerate"), as()); s.api.calls[0].Body != "{}" {
		t.Errorf("nothing was changed, and the API is asked for %s", s.api.calls[0].Body)
	}
	body = s.ask("member", page("/regenerate/form"), as("mode", "clean", "strength", "0.3")).Body.String()
	has(t, body, `<option value="clean" selected`, `value="0.3"`)
	hasNot(t, body, `name="style_preset"`)
	if len(s.api.calls) != 1 {
		t.Error("to look at another mode's fields makes a generation")
	}

	g.Request.Workflow = "retired"
	s.generations.set(g)
	has(t, s.ask("member", page("/regenerate"), nil).Body.String(), "retired (not offered any more)", `<option value="staging"`)
}

func TestRecordIsTheAPIs(t *testing.T) {
	s := newStand(t, nil)
	s.api.answer = func(c apiCall) ([]byte, error) {
		return []byte(`{"job_id":"` + jobOne + `","reference":"<script>x"}`), nil
	}
	body := s.ask("member", page("/record"), nil).Body.String()
	if !strings.Contains(body, "&lt;script&gt;x") || strings.Contains(body, "<script>x") || s.api.calls[0].Path != "/api/v1/generations/"+jobOne || s.api.calls[0].Organisation != north {
		t.Errorf("asked %+v, shown\n%s", s.api.calls, body)
	}
}

// Whatever a prompt holds, a shell reads the command as one request with that prompt in it, and nothing in it moves a terminal's cursor.
func TestCurlIsSafeInAShell(t *testing.T) {
	s := newStand(t, nil)
	v := &visit{Dashboard: s.Dashboard}
	prompt := "it's \"$(touch /tmp/x)\" `id` \\ !! ; rm -rf ~ # \x7f\x7f \x1b[2J \u202e \u2028 \U000e0041\n'; echo owned; '"
	g := workflowHistory().Generation
	g.Request, g.Surface = nil, kinora.SurfaceSubmit
	g.Input = kinora.Input{Prompt: prompt, Images: []string{"https://a.example/i.png?sig=secret", "https://a.example/j.png"}, CallbackURL: "https://up.example/cb",
		Metadata: map[string]json.RawMessage{"n": json.RawMessage("2")}}
	c := v.curl(g)
	for _, r := range c.Command {
		if r < ' ' && r != '\n' || r == 0x7f || r > 0x7e && r < 0xa0 || r == 0x202e || r == 0x2028 || r > 0xffff {
			t.Errorf("the command has the character %U", r)
		}
	}
	if strings.Contains(c.Command, "secret") || !strings.Contains(c.Note, "images") || !strings.Contains(c.Note, "webhook") {
		t.Errorf("note %q of\n%s", c.Note, c.Command)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `curl() { for a in "$@"; do printf '%s\0' "$a"; done; }; KINORA_API_KEY=key; `+c.Command).Output()
	if err != nil {
		t.Fatal(err)
	}
	args := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(args) != 7 || args[0] != "http://kinora.test/api/generate/submit" || args[2] != "Authorization: Bearer key" {
		t.Fatalf("the shell saw %q", args)
	}
	var sent struct {
		Model string
		Input struct {
			Prompt   string
			Images   []string
			Metadata map[string]any
		}
		Webhook any
	}
	if err := json.Unmarshal([]byte(args[6]), &sent); err != nil || sent.Input.Prompt != prompt || len(sent.Input.Images) != 2 || sent.Webhook != nil ||
		sent.Input.Metadata["callback_url"] != "https://up.example/cb" || sent.Input.Metadata["n"] != 2.0 {
		t.Errorf("sent %+v, %v", sent, err)
	}
	again := v.curl(workflowHistory().Generation)
	if !strings.Contains(again.Command, "/api/v1/generations'") || !strings.Contains(again.Command, `"source_asset_id": "src_1"`) || !strings.Contains(again.Command, "Idempotency-Key") {
		t.Errorf("a workflow's:\n%s", again.Command)
	}
}

// A digest changes with what is shown, and not with the time.
func TestPartsKnowWhatHasChanged(t *testing.T) {
	now := time.Date(2026, 9, 21, 14, 0, 5, 0, time.UTC)
	s := newStand(t, func(c *Config) { c.Now = func() time.Time { return now } })
	v := &visit{Dashboard: s.Dashboard, organisation: &kinora.Organisation{ID: north}, role: kinora.RoleMember, who: s.people.sessions["member"]}
	of := func(change func(*kinora.History)) partDigests {
		h := workflowHistory()
		h.Generation.State, h.Generation.Progress, h.Generation.CompletedAt = kinora.GenerationRunning, 10, time.Time{}
		h.Attempts[0].State, h.Attempts[0].DoneAt, h.Attempts[0].FinishedAt = kinora.AttemptOpen, time.Time{}, time.Time{}
		change(&h)
		p, err := v.generationDetail(t.Context(), &h, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p.digests()
	}
	before := of(func(*kinora.History) {})
	now = now.Add(time.Minute)
	if after := of(func(*kinora.History) {}); after != before || partsKnown(before.String()) != before {
		t.Errorf("time alone changes %v to %v", before, after)
	}
	for name, tc := range map[string]struct {
		change func(*kinora.History)
		parts  []int
	}{
		"progress": {func(h *kinora.History) { h.Generation.Progress = 20 }, []int{0}},
		"a look":   {func(h *kinora.History) { h.Attempts[0].Polls++ }, []int{3}},
		"an end": {func(h *kinora.History) {
			h.Generation.State, h.Generation.CompletedAt = kinora.GenerationFailed, now
			h.Entry = nil
		}, []int{0, 1, 3, 5, 6}},
		"an output's file": {func(h *kinora.History) { h.Outputs[2].RemovedAt = now }, []int{2, 4}},
	} {
		after := of(tc.change)
		var changed []int
		for i := range after {
			if after[i] != before[i] {
				changed = append(changed, i)
			}
		}
		if len(changed) != len(tc.parts) {
			t.Errorf("%s changes the parts %v, want %v", name, changed, tc.parts)
		}
	}
}
