package vidu

import (
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

func TestValidation(t *testing.T) {
	w := newWorld(t, nil)
	eight := `["https://a.example/1","https://a.example/2","https://a.example/3","https://a.example/4","https://a.example/5","https://a.example/6","https://a.example/7","https://a.example/8"]`
	for _, c := range []struct{ route, body, reason, message string }{
		{"text2video", `{`, "BadRequest", "bad request"},
		{"text2video", `[]`, "BadRequest", "bad request"},
		{"text2video", `{"prompt":"x"}`, "FieldLacking", "field is missing or empty: model"},
		{"text2video", `{"model":"viduq3-turbo"}`, "FieldLacking", "field is missing or empty: prompt"},
		{"text2video", `{"model":"viduq3-turbo","prompt":1}`, "FieldInvalid", "invalid field: prompt"},
		{"text2video", `{"model":"vidu9","prompt":"x"}`, "ModelUnavailable", ""},
		{"text2video", `{"model":"viduq2-pro","prompt":"x"}`, "ModelUnavailable", ""},
		{"text2video", `{"model":"viduq3-turbo","prompt":"` + strings.Repeat("x", 5001) + `"}`, "FieldInvalid", "invalid field: prompt"},
		{"text2video", `{"model":"viduq3-turbo","prompt":"x","duration":17}`, "FieldInvalid", "invalid field: duration"},
		{"text2video", `{"model":"viduq2","prompt":"x","duration":11}`, "FieldInvalid", "invalid field: duration"},
		{"text2video", `{"model":"viduq1","prompt":"x","duration":4}`, "FieldInvalid", "invalid field: duration"},
		{"text2video", `{"model":"viduq1","prompt":"x","aspect_ratio":"4:3"}`, "FieldInvalid", "invalid field: aspect_ratio"},
		{"text2video", `{"model":"viduq1","prompt":"x","resolution":"720p"}`, "FieldInvalid", "invalid field: resolution"},
		{"text2video", `{"model":"viduq2","prompt":"x","aspect_ratio":"21:9"}`, "FieldInvalid", "invalid field: aspect_ratio"},
		{"text2video", `{"model":"viduq2","prompt":"x","resolution":"4K"}`, "FieldInvalid", "invalid field: resolution"},
		{"text2video", `{"model":"viduq2","prompt":"x","movement_amplitude":"huge"}`, "FieldInvalid", "invalid field: movement_amplitude"},
		{"text2video", `{"model":"viduq1","prompt":"x","style":"noir"}`, "FieldInvalid", "invalid field: style"},
		{"text2video", `{"model":"viduq2","prompt":"x","style":"anime"}`, "FieldUnwanted", "field is unwanted: style"},
		{"text2video", `{"model":"viduq3-pro","prompt":"x","bgm":true}`, "FieldUnwanted", "field is unwanted: bgm"},
		{"reference2video", `{"model":"vidu2.0","prompt":"x","images":["https://a.example/1"],"aspect_ratio":"3:4"}`, "FieldInvalid", "invalid field: aspect_ratio"},
		{"img2video", `{"model":"vidu2.0","images":["https://a.example/1"],"resolution":"2K"}`, "FieldInvalid", "invalid field: resolution"},
		{"text2video", `{"model":"viduq2","prompt":"x","wm_position":5}`, "FieldInvalid", "invalid field: wm_position"},
		{"text2video", `{"model":"viduq2","prompt":"x","off_peak":"yes"}`, "FieldInvalid", "invalid field: off_peak"},
		{"text2video", `{"model":"viduq2","prompt":"x","callback_url":"gw.example/cb"}`, "FieldInvalid", "invalid field: callback_url"},
		{"text2video", `{"model":"viduq2","prompt":"x","payload":"` + strings.Repeat("x", 1<<20+1) + `"}`, "FieldInvalid", "invalid field: payload"},
		{"img2video", `{"model":"viduq2-pro"}`, "FieldLacking", "field is missing or empty: images"},
		{"img2video", `{"model":"viduq2-pro","images":["https://a.example/1","https://a.example/2"]}`, "FieldItemCountOutOfRange", "field item count out of range: images"},
		{"img2video", `{"model":"viduq2-pro","images":["a.png"]}`, "ImageDownloadFailure", ""},
		{"img2video", `{"model":"viduq2-pro","images":["data:image/gif;base64,AAAA"]}`, "ImageFormatInvalid", ""},
		{"start-end2video", `{"model":"viduq2-pro","images":["https://a.example/1"]}`, "FieldItemCountOutOfRange", ""},
		{"reference2video", `{"model":"viduq2","prompt":"x","images":` + eight + `}`, "FieldItemCountOutOfRange", ""},
		{"reference2video", `{"model":"viduq2","prompt":"x"}`, "FieldLacking", ""},
		{"reference2image", `{"model":"viduq1","prompt":"x"}`, "FieldLacking", ""},
		{"reference2image", `{"model":"viduq2","prompt":"` + strings.Repeat("x", 2001) + `"}`, "FieldInvalid", ""},
		{"template", `{"images":["https://a.example/1"]}`, "FieldLacking", "field is missing or empty: template"},
		{"template-story", `{"images":["https://a.example/1"]}`, "FieldLacking", "field is missing or empty: story"},
		{"template-story", `{"story":"love_story"}`, "FieldLacking", "field is missing or empty: images"},
		{"multiframe", `{"model":"viduq2-pro"}`, "FieldLacking", "field is missing or empty: start_image"},
		{"multiframe", `{"model":"viduq2-pro","start_image":"x"}`, "FieldLacking", "field is missing or empty: image_settings"},
		{"multiframe", `{"model":"viduq2-pro","start_image":"x","image_settings":[{},{},{},{},{},{},{},{},{},{}]}`, "FieldItemCountOutOfRange", ""},
		{"multiframe", `{"model":"viduq2-pro","start_image":"x","image_settings":[{"key_image":"y"},{}]}`, "FieldLacking", "field is missing or empty: key_image"},
		{"multiframe", `{"model":"viduq2-pro","start_image":"x","image_settings":[{"key_image":"y"},{"key_image":"y","duration":8}]}`, "FieldInvalid", "invalid field: duration"},
		{"text2video", `{"model":"viduq2","prompt":"x [[nonsense]]"}`, "BadRequest", ""},
		{"text2video", `{"model":"viduq2","prompt":"x [[fail=Nonsense]]"}`, "BadRequest", ""},
		{"text2video", `{"model":"viduq2","prompt":"x [[drop=it]]"}`, "BadRequest", ""},
		{"text2video", `{"model":"viduq2","prompt":"x [[callback=never]]"}`, "BadRequest", ""},
	} {
		status, answer := w.call(t, "POST", c.route, c.body)
		if status != 400 || answer["reason"] != c.reason || c.message != "" && answer["message"] != c.message {
			t.Errorf("%s %.90s: status %d, %v; want %s %q", c.route, c.body, status, answer, c.reason, c.message)
		}
	}
	if made := w.Accepted(); len(made) != 0 {
		t.Errorf("made %v", made)
	}
}

// Every documented word can be had, with its status, and creates nothing.
func TestEveryRefusalCanBeOrdered(t *testing.T) {
	w := newWorld(t, nil)
	for reason, want := range statuses {
		status, answer := w.call(t, "POST", "text2video", `{"model":"viduq2","prompt":"x [[fail=`+reason+`]]","payload":"`+reason+`"}`)
		if status != want || answer["reason"] != reason || answer["code"] != float64(want) {
			t.Errorf("%s: status %d, %v", reason, status, answer)
		}
	}
	if made := w.Accepted(); len(made) != 0 {
		t.Errorf("made %v", made)
	}
	for try := range 4 {
		want := 429
		if try >= 2 {
			want = 200
		}
		if status, _ := w.call(t, "POST", "text2video", `{"model":"viduq2","prompt":"x","payload":"r7"}`, "X-Simulate", "fail=QuotaExceeded times=2"); status != want {
			t.Errorf("try %d: status %d, want %d", try+1, status, want)
		}
	}
	if made := w.Accepted(); made["r7"] != 2 {
		t.Errorf("made %v", made)
	}
}

func TestLostAnswers(t *testing.T) {
	for order, want := range map[string]struct{ status, made int }{"before": {0, 0}, "after": {0, 1}, "error": {500, 1}} {
		w := newWorld(t, nil)
		status, _ := w.call(t, "POST", "text2video", `{"model":"viduq2","prompt":"x","payload":"r"}`, "X-Simulate", "drop="+order)
		if made := w.Accepted()["r"]; status != want.status || made != want.made {
			t.Errorf("%s: status %d, %d made; want %+v", order, status, made, want)
		}
	}
}

// Faults of everybody alike go before the operation, and those that cut the answer let it
// take effect.
func TestFaults(t *testing.T) {
	w := newWorld(t, nil)
	id := w.text(t, "x")
	for op, call := range map[string]func() int{
		"submit": func() int {
			status, _ := w.call(t, "POST", "text2video", `{"model":"viduq2","prompt":"x"}`)
			return status
		},
		"poll":   func() int { status, _ := w.call(t, "GET", "tasks/"+id+"/creations", ""); return status },
		"list":   func() int { status, _ := w.call(t, "GET", "tasks", ""); return status },
		"cancel": func() int { status, _ := w.call(t, "POST", "tasks/"+id+"/cancel", `{"id":"`+id+`"}`); return status },
	} {
		w.Faults().Inject(simulator.Fault{Op: op, Times: 1, Status: 503})
		if first, second := call(), call(); first != 503 || second != 200 {
			t.Errorf("%s: status %d, then %d", op, first, second)
		}
	}
	before := len(w.Stats().Tasks)
	w.Faults().Inject(simulator.Fault{Op: "submit", Times: 1, Cut: simulator.CutAfter})
	if status, _ := w.call(t, "POST", "text2video", `{"model":"viduq2","prompt":"x"}`); status != 0 || len(w.Stats().Tasks) != before+1 {
		t.Errorf("an answer that is cut: status %d, %d tasks more", status, len(w.Stats().Tasks)-before)
	}
}

func TestOrdersOfATask(t *testing.T) {
	w := newWorld(t, nil)
	id := w.text(t, "x [[end=CreationPolicyViolation time=5s word=warming_up]]")
	w.clock.Advance(2 * time.Second)
	if got := w.state(t, id); got != "warming_up" {
		t.Errorf("runs as %s", got)
	}
	w.clock.Advance(3 * time.Second)
	if shown := w.look(t, id); shown["state"] != "failed" || shown["err_code"] != "CreationPolicyViolation" || shown["credits"] != 0.0 {
		t.Errorf("shows %v", shown)
	}

	id = w.text(t, "x [[faults=2 broken=1]]")
	for i, want := range []int{500, 500, 200, 200} {
		status, answer := w.call(t, "GET", "tasks/"+id+"/creations", "")
		if status != want || i == 2 && answer != nil || i == 3 && answer["state"] == nil {
			t.Errorf("look %d: status %d, %v", i+1, status, answer)
		}
	}

	id = w.text(t, "x [[gone]]")
	w.clock.Advance(time.Minute)
	if status, _ := w.call(t, "GET", "tasks/"+id+"/creations", ""); status != 404 {
		t.Errorf("a record that is gone: status %d", status)
	}

	id = w.submit(t, "reference2image", `{"model":"viduq2","prompt":"x [[forbid=1]]"}`)
	w.clock.Advance(time.Minute)
	file := w.look(t, id)["creations"].([]any)[0].(map[string]any)["url"].(string)
	for i, want := range []int{403, 200} {
		res, err := w.http.Get(file)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("download %d: status %d, want %d", i+1, res.StatusCode, want)
		}
	}
	stats := w.Stats()
	last := stats.Tasks[len(stats.Tasks)-1]
	if last.ID != id || last.Downloads != 2 || last.Route != "reference2image" || last.State != "success" || stats.Submits != 4 || stats.Polls < 8 {
		t.Errorf("statistics %+v", stats)
	}
}
