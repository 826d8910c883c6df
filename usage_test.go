package kinora_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
)

func TestMoney(t *testing.T) {
	for text, want := range map[string]kinora.Money{"0": 0, "0.35": 350_000, "12": 12_000_000, "0.000001": 1, "1000000000": kinora.MaxMoney, "007.5": 7_500_000} {
		if got, err := kinora.ParseMoney(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ".5", "1.", "-1", "+1", "1e3", "0.1234567", "1,5", "1000000000.000001", "99999999999", "0x1", " 1", "NaN"} {
		if got, err := kinora.ParseMoney(text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
	for m, want := range map[kinora.Money]string{0: "0.0", 350_000: "0.35", 1: "0.000001", -1_500_000: "-1.5", 2_000_000: "2.0"} {
		if m.String() != want {
			t.Errorf("%d is shown as %s", int64(m), m)
		}
	}
	for text, want := range map[string]kinora.Money{"0.10000000000000001": 100_000, "1e2": 100_000_000} {
		var m kinora.Money
		if err := json.Unmarshal([]byte(text), &m); err != nil || m != want {
			t.Errorf("%s: %s, %v", text, m, err)
		}
	}
	for _, text := range []string{`"1"`, "-1", "0.1234567", "1e99", "null1"} {
		var m kinora.Money
		if err := json.Unmarshal([]byte(text), &m); err == nil {
			t.Errorf("%s was read as %s", text, m)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		m := kinora.Money(rapid.Int64Range(0, int64(kinora.MaxMoney)).Draw(t, "m"))
		var back kinora.Money
		if text, err := json.Marshal(m); err != nil || json.Unmarshal(text, &back) != nil || back != m {
			t.Fatalf("%d came back as %d", m, back)
		}
	})
}

func TestBillingPeriodIsTheMonthInUTC(t *testing.T) {
	at := time.Date(2027, 1, 1, 0, 30, 0, 0, time.FixedZone("east", 3600)) // still December in UTC
	start, end := kinora.BillingPeriod(at)
	if start != time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) || end != time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) {
		t.Errorf("%s – %s", start, end)
	}
}

func TestPrices(t *testing.T) {
	p := kinora.Prices{Models: map[string]kinora.Money{"m": 5, "staging": 9}, Workflows: map[string]kinora.Money{"staging": 7, "free": 0, "": 1}}
	for _, c := range []struct {
		model, workflow string
		want            kinora.Money
	}{{"m", "", 5}, {"m", "staging", 7}, {"m", "free", 0}, {"m", "other", 5}, {"x", "", 0}} {
		if got := p.Of(c.model, c.workflow); got != c.want {
			t.Errorf("%+v costs %d", c, got)
		}
	}
}

func TestFingerprint(t *testing.T) {
	request := func() kinora.WorkflowRequest {
		return kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "furnish", RoomTypes: []string{"Living Room", "Kitchen"},
			StylePreset: "Scandinavian", Fields: map[string]json.RawMessage{"light": json.RawMessage(`{"b": 1, "a": [1.0]}`)}}
	}
	want := kinora.Fingerprint(request(), "ab")
	same := request()
	same.RoomTypes = []string{"Kitchen", "Living Room"}
	same.Fields["light"] = json.RawMessage(`{"a":[1.0],"b":1}`)
	if len(want) != 64 || kinora.Fingerprint(same, "ab") != want {
		t.Error("the order of rooms or keys counts")
	}
	if same.RoomTypes[0] != "Kitchen" {
		t.Error("the request was changed")
	}
	for name, change := range map[string]func(r *kinora.WorkflowRequest) string{
		"source":  func(*kinora.WorkflowRequest) string { return "cd" },
		"no mode": func(r *kinora.WorkflowRequest) string { r.Mode = ""; return "ab" },
		"rooms":   func(r *kinora.WorkflowRequest) string { r.RoomTypes = r.RoomTypes[:1]; return "ab" },
		"style":   func(r *kinora.WorkflowRequest) string { r.StylePreset = "Modern"; return "ab" },
		"fields":  func(r *kinora.WorkflowRequest) string { r.Fields = nil; return "ab" },
		"number": func(r *kinora.WorkflowRequest) string {
			r.Fields["light"] = json.RawMessage(`{"a":[1],"b":1}`)
			return "ab"
		},
	} {
		r := request()
		if source := change(&r); kinora.Fingerprint(r, source) == want {
			t.Errorf("%s makes no difference", name)
		}
	}
	// It is a promise: clients compare fingerprints over years.
	if got := kinora.Fingerprint(kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "clean"}, ""); got != "e3fa9180dba99ce59b53b9825533e28f9b155a1c7c8fd16e62e4367344bc7ff9" {
		t.Errorf("the fingerprint of a known configuration is now %s", got)
	}
}

func TestInputFingerprint(t *testing.T) {
	in := kinora.Input{Prompt: "a kite", Metadata: map[string]json.RawMessage{"seed": json.RawMessage(`7`)}}
	want := kinora.InputFingerprint("m", in)
	told := in
	told.CallbackURL, told.CallbackIgnored = "https://x.example/", true
	if kinora.InputFingerprint("m", told) != want {
		t.Error("who is called back counts")
	}
	other := in
	other.Prompt = "a boat"
	if kinora.InputFingerprint("m", other) == want || kinora.InputFingerprint("n", in) == want {
		t.Error("model or prompt makes no difference")
	}
}
