package dashboard

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

// What is secret in addresses among a model's own fields is on none of the pages that are drawn from them, and each says that it is missing.
func TestAddressesAmongAModelsFieldsAreNotWhole(t *testing.T) {
	s := newStand(t, nil)
	h := modelHistory()
	g := h.Generation
	const signed = `"https://bucket.example/tail.png?X-Amz-Signature=s3cret"`
	g.Input.Images = []string{"https://example.com/open.png"}
	g.Input.Metadata = map[string]json.RawMessage{"tail_image": json.RawMessage(signed), "seed": json.RawMessage("12345678901234567890"), "strength": json.RawMessage("0.50"),
		"refs": json.RawMessage(`{"z": ["ftp://ada:s3cret@files.example/b.png", "open"], "` + "HTTPS://example.com/k?t=s3cret" + `": 1, "a": "https://files.example/` + north + `/first.png?sig=s3cret"}`),
		"own":  json.RawMessage(`["https://files.example/` + north + `/first.png?sig=s3cret", {"b": 1, "a": 2.0}]`)}
	s.histories.set(h)
	for _, who := range []string{"member", "owner", "operator"} {
		body := s.ask(who, page(""), nil).Body.String()
		has(t, body, "https://bucket.example/tail.png?redacted", "https://files.example/"+north+"/first.png?redacted", "12345678901234567890", "0.50", "what is secret in addresses among its fields")
		hasNot(t, body, "s3cret")
	}
	body := s.ask("member", "/dashboard/o/"+north+"/playground?from="+jobOne, nil).Body.String()
	hasNot(t, body, "s3cret")
	has(t, body, "to be filled in: input.metadata.refs, input.metadata.tail_image", "&#34;own&#34;: [\n    &#34;http://kinora.test/files/temp/first.png?signed&#34;", "0.50")
}

func TestAddressesAmongAWorkflowsFieldsAreNotWhole(t *testing.T) {
	s := newStand(t, nil)
	h := workflowHistory()
	h.Generation.Request = &kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "furnish",
		Fields: map[string]json.RawMessage{"strength": json.RawMessage(`"https://bucket.example/mask.png?sig=s3cret"`)}}
	s.histories.set(h)
	s.generations.set(*h.Generation)
	for _, path := range []string{page(""), page("/regenerate"), "/dashboard/o/" + north + "/playground?from=" + jobOne} {
		hasNot(t, s.ask("member", path, nil).Body.String(), "s3cret")
	}
}

// Everything but the texts that are replaced stays as it was written.
func TestReplacedTextsLeaveTheRest(t *testing.T) {
	const raw = ` { "b" : [ 1.50 , "x\"y" , null ], "x\u0022y":"x\"y" , "a": {"c":"z", "d" :  12345678901234567890} } `
	with := func(text string) string { return strings.ReplaceAll(text, `x"y`, "<ö>") }
	if got, want := string(replaceTexts(json.RawMessage(raw), with)), ` { "b" : [ 1.50 , "\u003cö\u003e" , null ], "\u003cö\u003e":"\u003cö\u003e" , "a": {"c":"z", "d" :  12345678901234567890} } `; got != want {
		t.Errorf("%s\nnot %s", got, want)
	}
	for _, text := range []string{`"x\"y"`, `["x\"y"]`} {
		if got := string(replaceTexts(json.RawMessage(text), func(string) string { return "z" })); got != strings.ReplaceAll(text, `x\"y`, "z") {
			t.Errorf("%s became %s", text, got)
		}
	}
	for _, same := range []string{"", "1", `"a"`, `"http`, "[]"} {
		if got := string(replaceTexts(json.RawMessage(same), with)); got != same {
			t.Errorf("%s became %s", same, got)
		}
	}
}
