package dashboard

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

// The playground opens filled in from a generation of a model: its own files by fresh addresses, and what may be a secret left out and
// named.
func TestPlaygroundFilledFromAModelsGeneration(t *testing.T) {
	s := newStand(t, nil)
	h := modelHistory()
	g, reference := h.Generation, "listing-7"
	g.Input.Prompt, g.Input.Size, g.Input.Duration, g.Reference = "a <pier>", "16:9", 7, &reference
	g.Input.CallbackURL = "https://user:pass-9@up.example/cb"
	g.Input.Metadata = map[string]json.RawMessage{"seed": json.RawMessage("12345678901234567890")}
	g.Input.Images = append(g.Input.Images, "https://example.com/open.png")
	s.histories.set(h)
	open := "/dashboard/o/" + north + "/playground?from=" + jobOne
	has(t, s.ask("member", page(""), nil).Body.String(), `href="`+open+`"`, "Open in playground")
	body := s.ask("member", open+"&input.prompt=from+the+address", nil).Body.String()
	has(t, body, `value="model:clip" selected`, "a &lt;pier&gt;", `value="16:9"`, `value="7"`, "&#34;seed&#34;: 12345678901234567890", `value="listing-7"`,
		"http://kinora.test/files/temp/first.png?signed", "https://example.com/open.png", `name="from" value="`+jobOne+`"`,
		"the address of input.images[0], the address of input.images[2]", "its callback URL", "its webhook URL")
	for _, never := range []string{"secret", "pass-9", "from the address", "foreign.png", "theirs.png"} {
		if strings.Contains(body, never) {
			t.Errorf("the form has %q", never)
		}
	}
	if got := s.ask("stranger", open, nil); got.Code != http.StatusNotFound {
		t.Errorf("a stranger: %d", got.Code)
	}
	if got := s.ask("stranger", strings.Replace(open, north, south, 1), nil); got.Code != http.StatusNotFound || strings.Contains(got.Body.String(), "pier") {
		t.Errorf("at a stranger's own organisation: %d", got.Code)
	}
}

// From a generation of a workflow: with its source, which stays among those to choose when the form is drawn anew.
func TestPlaygroundFilledFromAWorkflowsGeneration(t *testing.T) {
	s := newStand(t, nil)
	h := workflowHistory()
	h.Generation.Request = &kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "furnish", RoomTypes: []string{"Bath"}, StylePreset: "Coastal",
		Fields: map[string]json.RawMessage{"strength": json.RawMessage("0.50"), "gone": json.RawMessage(`"x"`)}}
	h.Source.ID = "src_1"
	s.histories.set(h)
	open := "/dashboard/o/" + north + "/playground"
	body := s.ask("member", open+"?from="+jobOne, nil).Body.String()
	has(t, body, `value="workflow:staging" selected`, `value="furnish" selected`, `value="Coastal" selected`, `value="0.50"`, `value="Bath" checked`, `name="source_asset_id" value="src_1" checked`,
		"to be filled in: gone, its webhook URL.", "&#34;source_asset_id&#34;: &#34;src_1&#34;")
	form := map[string][]string{"form_token": {s.token("member")}, "of": {"workflow:staging"}, "capture_type": {"floorplan"}, "source_asset_id": {"src_1"}, "from": {jobOne}}
	has(t, s.ask("member", open+"/form", form).Body.String(), `name="source_asset_id" value="src_1" checked`, `name="from" value="`+jobOne+`"`)

	// Its source is gone, and then what made it.
	h.Source = nil
	s.histories.set(h)
	has(t, s.ask("member", open+"?from="+jobOne, nil).Body.String(), "to be filled in: the source, gone")
	h.Generation.Request.Workflow = "withdrawn"
	s.histories.set(h)
	has(t, s.ask("member", open+"?from="+jobOne, nil).Body.String(), "is not offered any more")
	if strings.Contains(s.ask("member", page(""), nil).Body.String(), "Open in playground") {
		t.Error("a playground is offered for what nothing makes any more")
	}
}

// What a field cannot say goes into the object beside the fields; where there is none, the form names it.
func TestFillingSaysWhatItLeaves(t *testing.T) {
	g := &kinora.Generation{Input: kinora.Input{Prompt: "p", Size: "auto", Metadata: map[string]json.RawMessage{"n": json.RawMessage(`"two"`), "audio": json.RawMessage("true"),
		"style": json.RawMessage(`"odd"`), "refs": json.RawMessage(`["https://example.com/a.png","https://example.com/b.png?k=1"]`)}}}
	fields := []OfferField{{Name: "input.prompt", Type: FieldLong}, {Name: "input.metadata.n", Type: FieldNumber}, {Name: "input.metadata.audio", Type: FieldSwitch},
		{Name: "input.metadata.style", Type: FieldChoice, Values: []string{"plain"}}, {Name: "input.metadata.refs", Type: FieldImages}}
	f := filling{sent: map[string][]string{}}
	f.model(g, fields)
	if got := f.sent.Encode(); got != "input.metadata.audio=true&input.metadata.refs=https%3A%2F%2Fexample.com%2Fa.png&input.prompt=p" {
		t.Errorf("filled in: %s", got)
	}
	if got := strings.Join(f.left, ", "); got != "the address of input.metadata.refs[1], input.metadata.n, input.metadata.style, input.size" {
		t.Errorf("left: %s", got)
	}
	f = filling{sent: map[string][]string{}}
	f.model(g, append(fields, OfferField{Name: "input.metadata", Type: FieldObject}))
	if got := f.sent.Get("input.metadata"); got != "{\n  \"n\": \"two\",\n  \"style\": \"odd\"\n}" {
		t.Errorf("the object: %s", got)
	}
}
