package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/kinora/kinora"
)

// curl is a request that asks for the same again, for a shell.
type curl struct {
	Command string
	Note    string // what has to be filled in; empty = the key alone
}

// curl is the create request of a workflow's generation, or the submit request of any other.
func (v *visit) curl(g *kinora.Generation) curl {
	whole := func(address string) bool { return kinora.ShownURL(address) == address }
	known := func(address string) bool { return v.urlText(address) == address }
	path, body := "/api/generate/submit", map[string]any(nil)
	var missing []string
	own, all := shownFields(g.Input.Metadata) // the model's, or the workflow's
	if g.Request != nil {
		own, all = shownFields(g.Request.Fields)
	}
	if g.Request != nil {
		path, body = "/api/v1/generations", createBody(g, own)
		if g.SourceAssetID == "" {
			missing = append(missing, "the source")
		}
	} else {
		body = submitBody(g, own, known)
	}
	if g.WebhookURL != "" {
		if known(g.WebhookURL) {
			body["webhook"] = map[string]string{"url": g.WebhookURL}
		} else {
			missing = append(missing, "its webhook URL")
		}
	}
	if g.Input.CallbackURL != "" && !known(g.Input.CallbackURL) {
		missing = append(missing, "its callback URL")
	}
	for _, image := range g.Input.Images {
		if g.Request == nil && !whole(image) {
			missing = append(missing, "the queries of its images")
			break
		}
	}
	if !all {
		missing = append(missing, "what is secret in addresses among its fields")
	}
	if g.Reference != nil {
		body["reference"] = *g.Reference
	}
	if len(g.Metadata) > 0 {
		body["metadata"] = g.Metadata
	}
	c := curl{Command: v.command(path, g.Request != nil, "-H 'Content-Type: application/json'", "-d "+inShell(asciiControls(body)))}
	if len(missing) > 0 {
		c.Note = "Not in it, to be filled in: " + strings.Join(missing, ", ") + "."
	}
	return c
}

// command is a request of the API for a shell, with what follows its key; once gives it an idempotency key.
func (d *Dashboard) command(path string, once bool, rest ...string) string {
	lines := []string{"curl " + inShell(strings.TrimSuffix(d.cfg.URL, "/")+path), "-H 'Authorization: Bearer '\"$KINORA_API_KEY\""}
	if once {
		lines = append(lines, "-H \"Idempotency-Key: $(date +%s)-$RANDOM\"")
	}
	return strings.Join(append(lines, rest...), " \\\n  ")
}

// createBody is the body of a create request; own are its workflow's fields as they may be shown.
func createBody(g *kinora.Generation, own map[string]json.RawMessage) map[string]any {
	w := g.Request
	body := map[string]any{"workflow": w.Workflow, "source_asset_id": g.SourceAssetID}
	if g.SourceAssetID == "" {
		body["source_asset_id"] = "SOURCE_ASSET_ID"
	}
	for name, value := range map[string]string{"capture_type": w.CaptureType, "mode": w.Mode, "style_preset": w.StylePreset} {
		if value != "" {
			body[name] = value
		}
	}
	if len(w.RoomTypes) > 0 {
		body["room_types"] = w.RoomTypes
	}
	for name, raw := range own {
		body[name] = raw
	}
	return body
}

// submitBody is the body of a submit request; metadata has the model's own fields as they may be shown, and known tells which callback
// URLs may be in it.
func submitBody(g *kinora.Generation, metadata map[string]json.RawMessage, known func(string) bool) map[string]any {
	in := map[string]any{"prompt": g.Input.Prompt}
	if g.Input.Size != "" {
		in["size"] = g.Input.Size
	}
	if g.Input.Duration > 0 {
		in["duration"] = g.Input.Duration
	}
	if len(g.Input.Images) > 0 {
		images := make([]string, len(g.Input.Images))
		for i, image := range g.Input.Images {
			images[i] = kinora.ShownURL(image)
		}
		in["images"] = images
	}
	if u := g.Input.CallbackURL; u != "" && known(u) {
		metadata["callback_url"], _ = json.Marshal(u) // marshals any string
	}
	if len(metadata) > 0 {
		in["metadata"] = metadata
	}
	return map[string]any{"model": g.Model, "input": in}
}

// asciiControls is a value as JSON over several lines, in which characters that a terminal obeys rather than shows, such as delete
// and those that turn the direction of writing, stand as escapes: somebody else wrote them, and the text is going to be pasted.
func asciiControls(body any) string {
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if enc.Encode(body) != nil {
		return "{}" // a caller's own JSON that no longer reads as such
	}
	var out strings.Builder
	for _, r := range strings.TrimSuffix(raw.String(), "\n") {
		switch {
		case r == '\n' || !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co):
			out.WriteRune(r)
		case r > 0xffff:
			a, b := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, a, b)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}
