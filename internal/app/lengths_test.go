package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kinora/kinora/internal/app"
)

// refusalOf posts an input to the submit route and returns the status, and the message of a refusal.
func refusalOf(t *testing.T, a *app.App, model, input string) (status int, message string) {
	t.Helper()
	body := `{"model":"` + model + `","input":{"prompt":"a kite"` + input + `}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.LocalURL()+"/api/generate/submit", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.Bootstrapped().KeyText)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Error struct{ Message string }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return res.StatusCode, answer.Error.Message
}

// A refusal names the field that the caller wrote; what has no effect on a model is not judged for it.
func TestRefusalsNameTheCallersField(t *testing.T) {
	a := run(t, "", nil)
	for _, c := range []struct{ model, input, refusal string }{
		{"sandbox-image", `,"duration":"abc"`, ""},
		{"sandbox-image", `,"seconds":[1],"metadata":{"durationSeconds":"x"}`, ""},
		{"sandbox-video", `,"duration":0,"size":"128x128"`, ""},
		{"sandbox-video", `,"duration":"abc"`, "input.duration must be a whole number of seconds, at most 86400"},
		{"sandbox-video", `,"duration":16`, "input.duration must be between 1 and 15 seconds"},
		{"sandbox-video", `,"seconds":"16"`, "input.seconds must be between 1 and 15 seconds"},
		{"sandbox-video", `,"duration":2,"metadata":{"durationSeconds":16}`, "input.metadata.durationSeconds must be between 1 and 15 seconds"},
		{"sandbox-image", `,"metadata":{"output_format":"JPEG"}`, "input.metadata.output_format must be one of jpeg, jpg, png"},
		{"sandbox-image", `,"metadata":{"output_format":"jpg"}`, ""},
		{"sandbox-image", `,"metadata":{"sandbox":{"delay":"soon"}}`, `input.metadata.sandbox.delay must be seconds, or a text such as "1.5s", up to 48 hours`},
	} {
		status, message := refusalOf(t, a, c.model, c.input)
		if want := map[bool]int{true: 200, false: 400}[c.refusal == ""]; status != want || message != c.refusal {
			t.Errorf("%s %s: %d %q, want %d %q", c.model, c.input, status, message, want, c.refusal)
		}
	}
}
