package ark

import (
	"bytes"
	"encoding/base64"
	"image"
	"strings"
	"testing"
	"time"
)

const imagesRoute = "/images/generations"

func instant(c *Config) { c.ImageTime = time.Nanosecond; c.Clock = nil }

func items(a answer) (out []map[string]any) {
	list, _ := a.json["data"].([]any)
	for _, item := range list {
		out = append(out, item.(map[string]any))
	}
	return out
}

// The vendor's own example.
func TestImageExample(t *testing.T) {
	w := newWorld(t, instant)
	a := w.call("POST", imagesRoute, `{"model":"doubao-seedream-4-0-250828","prompt":"isometric tea house","size":"2K","response_format":"url","watermark":false,"sequential_image_generation":"disabled"}`)
	data := items(a)
	usage, _ := a.json["usage"].(map[string]any)
	if a.status != 200 || a.text("model") != "doubao-seedream-4-0-250828" || len(data) != 1 || data[0]["size"] != "2048x2048" || usage["generated_images"] != 1.0 || usage["output_tokens"] != 16384.0 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	file := w.call("GET", data[0]["url"].(string), "")
	if cfg, format, err := image.DecodeConfig(bytes.NewReader(file.body)); err != nil || format != "jpeg" || cfg.Width != 160 {
		t.Errorf("%+v %s %v", cfg, format, err)
	}
	calls := w.s.Stats().Images
	if len(calls) != 1 || calls[0].Watermark || calls[0].Made != 1 {
		t.Errorf("%+v", calls)
	}
}

func TestImageCalls(t *testing.T) {
	w := newWorld(t, instant)
	call := func(prompt, more string) answer {
		t.Helper()
		return w.call("POST", imagesRoute, `{"model":"doubao-seedream-4-0-250828","prompt":"`+prompt+`"`+more+`}`)
	}
	a := call("x", `,"sequential_image_generation":"auto","sequential_image_generation_options":{"max_images":3},"image":["https://h/1.png"],"size":"1280x720","output_format":"png","model":"doubao-seedream-5-0-260128"`)
	if got := items(a); len(got) != 3 || got[2]["size"] != "1280x720" || !strings.Contains(got[2]["url"].(string), ".png?") {
		t.Errorf("three: %s", a.body)
	}
	a = call("x [[bad=1]]", `,"sequential_image_generation":"auto","sequential_image_generation_options":{"max_images":2}`)
	if got := items(a); len(got) != 2 || got[0]["error"].(map[string]any)["code"] != "OutputImageSensitiveContentDetected" || got[1]["url"] == nil || a.json["usage"].(map[string]any)["generated_images"] != 1.0 {
		t.Errorf("one of two: %s", a.body)
	}
	a = call("x [[fail=InternalServiceError]]", "")
	if got := items(a); a.status != 200 || len(got) != 1 || got[0]["url"] != nil {
		t.Errorf("none: %d %s", a.status, a.body)
	}
	a = call("x", `,"response_format":"b64_json","size":"1K"`)
	if got := items(a); len(got) != 1 {
		t.Errorf("inline: %s", a.body)
	} else if content, err := base64.StdEncoding.DecodeString(got[0]["b64_json"].(string)); err != nil || len(content) == 0 {
		t.Errorf("inline: %v", err)
	}
	if _, err := w.try("POST", imagesRoute, `{"model":"doubao-seedream-4-0-250828","prompt":"x [[drop=after]]"}`); err == nil {
		t.Error("a dropped call was answered")
	}
	if n := len(w.s.Stats().Images); n != 5 {
		t.Errorf("%d calls were carried out", n)
	}
	for name, c := range map[string]struct {
		more, code string
		status     int
	}{
		"size":          {`,"size":"8K"`, "InvalidParameter", 400},
		"pixels":        {`,"size":"9000x9000"`, "InvalidParameter", 400},
		"max_images":    {`,"sequential_image_generation":"auto","sequential_image_generation_options":{"max_images":16}`, "InvalidParameter", 400},
		"sources":       {`,"image":["https://h/` + strings.Repeat(`1","https://h/`, 10) + `1"]`, "InvalidParameter", 400},
		"together":      {`,"image":["https://h/1"],"sequential_image_generation":"auto","sequential_image_generation_options":{"max_images":15}`, "InvalidParameter", 400},
		"a file":        {`,"image":"file:///etc/passwd"`, "InvalidParameter", 400},
		"format":        {`,"output_format":"mp4"`, "InvalidParameter", 400},
		"an old format": {`,"output_format":"png"`, "InvalidParameter", 400},
		"seed":          {`,"seed":7`, "InvalidParameter", 400},
		"guidance":      {`,"guidance_scale":2.5`, "InvalidParameter", 400},
		"another model": {`,"model":"doubao-seedance-1-5-pro-251215"`, "InvalidEndpointOrModel.NotFound", 404},
		"no prompt":     {`,"prompt":" "`, "MissingParameter", 400},
	} {
		if a := call("x", c.more); a.status != c.status || a.code() != c.code {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := call("x [[refuse=InputTextSensitiveContentDetected]]", ""); a.status != 400 || a.code() != "InputTextSensitiveContentDetected" {
		t.Errorf("moderation: %d %s", a.status, a.body)
	}
}
