package kling

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// long is a JSON string of so many characters.
func long(n int) string { return `"` + strings.Repeat("ü", n) + `"` }

func repeated(item string, n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
}

// Everything that the documents say of values, on both sides of its limits. A body is
// that of a good submit with one more field, which replaces one of the same name.
func TestValues(t *testing.T) {
	w := newWorld(t, nil)
	bodies := map[string]string{
		t2v:                               `{"prompt":"x",%s}`,
		i2v:                               `{"prompt":"x","image":"https://cdn.example/a.png",%s}`,
		"/v1/videos/multi-image2video":    `{"prompt":"x","image_list":[{"image":"https://cdn.example/a.png"}],%s}`,
		"/v1/videos/motion-control":       `{"image_url":"https://cdn.example/a.png","video_url":"https://cdn.example/v.mp4","character_orientation":"image",%s}`,
		"/v1/videos/omni-video":           `{"prompt":"x",%s}`,
		gen:                               `{"prompt":"x",%s}`,
		"/v1/images/omni-image":           `{"prompt":"x",%s}`,
		"/v1/images/multi-image2image":    `{"prompt":"x","subject_image_list":[{"subject_image":"https://cdn.example/a.png"}],%s}`,
		"/text-to-video/kling-3.0":        `{"prompt":"x",%s}`,
		"/text-to-video/kling-2.6":        `{"prompt":"x",%s}`,
		"/image-to-video/kling-3.0":       `{"contents":[{"type":"prompt","text":"x"},{"type":"first_frame","url":"https://cdn.example/a.png"}],%s}`,
		"/image-to-video/kling-3.0-turbo": `{"contents":[{"type":"prompt","text":"x"},{"type":"first_frame","url":"https://cdn.example/a.png"}],%s}`,
		"/image-to-video/kling-2.6":       `{"contents":[{"type":"prompt","text":"x"},{"type":"first_frame","url":"https://cdn.example/a.png"}],%s}`,
		"/motion-control/kling-2.6":       `{"contents":[{"type":"image","url":"https://cdn.example/a.png"},{"type":"video","url":"https://cdn.example/v.mp4"}],"settings":{"character_orientation":"video"},%s}`,
		"/omni-video/kling-3.0-omni":      `{"contents":[{"type":"prompt","text":"x"}],"settings":{"aspect_ratio":"1:1"},%s}`,
		"/omni-video/kling-o1":            `{"contents":[{"type":"prompt","text":"x"}],"settings":{"aspect_ratio":"1:1"},%s}`,
	}
	frames := func(types ...string) string {
		var items []string
		for _, kind := range types {
			items = append(items, fmt.Sprintf(`{"type":%q,"url":"https://cdn.example/a.png"}`, kind))
		}
		return `"contents":[{"type":"prompt","text":"x"},` + strings.Join(items, ",") + `]`
	}
	for _, c := range []struct {
		path, field string
		code        int
	}{
		{t2v, `"seed":1`, 0},
		{t2v, `"prompt":""`, 1200}, {t2v, `"prompt":7`, 1201}, {t2v, `"prompt":` + long(2500), 0}, {t2v, `"prompt":` + long(2501), 1201},
		{t2v, `"negative_prompt":` + long(2501), 1201},
		{t2v, `"model_name":"kling-v9"`, 1203}, {t2v, `"model":"kling-v9"`, 0}, {t2v, `"model_name":"kling-3.0"`, 1203},
		{t2v, `"duration":5`, 1201}, {t2v, `"duration":"10"`, 0}, {t2v, `"duration":"7"`, 1201}, {t2v, `"model_name":"kling-v3","duration":"7"`, 0}, {t2v, `"model_name":"kling-v3","duration":"16"`, 1201},
		{t2v, `"aspect_ratio":"4:3"`, 1201}, {t2v, `"aspect_ratio":"9:16"`, 0},
		{t2v, `"mode":"4k"`, 1201}, {t2v, `"model_name":"kling-v3","mode":"4k"`, 0}, {t2v, `"mode":"best"`, 1201},
		{t2v, `"sound":"off"`, 1201}, {t2v, `"model_name":"kling-v2-6","sound":"on"`, 1201}, {t2v, `"model_name":"kling-v2-6","sound":"on","mode":"pro"`, 0},
		{t2v, `"cfg_scale":1`, 0}, {t2v, `"cfg_scale":1.1`, 1201}, {t2v, `"model_name":"kling-v2-master","cfg_scale":0.5`, 1201},
		{t2v, `"camera_control":{"type":"simple","config":{"zoom":10}}`, 0}, {t2v, `"camera_control":{"type":"simple","config":{"zoom":11}}`, 1201},
		{t2v, `"camera_control":{"type":"simple","config":{"zoom":1,"pan":1}}`, 1201}, {t2v, `"camera_control":{"type":"down_back"}`, 0}, {t2v, `"camera_control":{"type":"spin"}`, 1201},
		{t2v, `"multi_shot":true`, 1201},
		{t2v, `"model_name":"kling-v3","multi_shot":true,"shot_type":"customize","multi_prompt":[{"index":1,"prompt":"a","duration":"2"},{"index":2,"prompt":"b","duration":"3"}]`, 0},
		{t2v, `"model_name":"kling-v3","multi_shot":true,"shot_type":"customize","multi_prompt":[{"index":1,"prompt":"a","duration":"2"}]`, 1201},
		{t2v, `"model_name":"kling-v3","multi_shot":true,"shot_type":"customize"`, 1200},
		{t2v, `"model_name":"kling-v3","duration":"7","multi_shot":true,"shot_type":"customize","multi_prompt":` + repeated(`{"prompt":"a","duration":"1"}`, 7), 1201},
		{t2v, `"model_name":"kling-v3","voice_list":[{"voice_id":"1"}],"element_list":[{"element_id":1}]`, 1201},
		{t2v, `"model_name":"kling-v3","voice_list":[{"voice_id":"1"}]`, 0}, {t2v, `"model_name":"kling-v2-6","voice_list":[{"voice_id":"1"}]`, 1201},
		{t2v, `"model_name":"kling-v2-6","multi_prompt":[{"index":1,"prompt":"a","duration":"5"}]`, 1201}, {t2v, `"shot_type":"customize"`, 1201},
		{t2v, `"model_name":"kling-v3","sound":"on"`, 1201}, {t2v, `"model_name":"kling-v3","sound":"on","mode":"pro"`, 0},
		{t2v, `"callback_url":"ftp://x"`, 1201}, {t2v, `"callback_url":7`, 1201}, {t2v, `"external_task_id":7`, 1201}, {t2v, `"watermark_info":true`, 1201},

		{i2v, `"image":""`, 1200}, {i2v, `"image":"","image_tail":"https://cdn.example/b.png"`, 0},
		{i2v, `"image":"iVBORw0KGgo="`, 0}, {i2v, `"image":"data:image/png;base64,iVBORw0KGgo="`, 1201},
		{i2v, `"image_tail":"https://cdn.example/b.png","static_mask":"https://cdn.example/m.png"`, 1201},
		{i2v, `"image_tail":"https://cdn.example/b.png","camera_control":{"type":"down_back"}`, 1201},
		{i2v, `"dynamic_masks":[{"mask":"m","trajectories":[{"x":1,"y":1},{"x":2,"y":2}]}]`, 0}, {i2v, `"dynamic_masks":[{"mask":"m","trajectories":[{"x":1,"y":1}]}]`, 1201},
		{i2v, `"dynamic_masks":` + repeated(`{"trajectories":[{},{}]}`, 7), 1201},
		{i2v, `"model_name":"kling-v3","element_list":` + repeated(`{"element_id":1}`, 3), 0}, {i2v, `"model_name":"kling-v3","element_list":` + repeated(`{"element_id":1}`, 4), 1201},
		{i2v, `"element_list":[{"element_id":1}]`, 1201},

		{"/v1/videos/multi-image2video", `"image_list":[]`, 1200}, {"/v1/videos/multi-image2video", `"image_list":` + repeated(`{"image":"a"}`, 5), 1201}, {"/v1/videos/multi-image2video", `"image_list":` + repeated(`{"image":"a"}`, 4), 0},
		{"/v1/videos/multi-image2video", `"model_name":"kling-v2-6"`, 1203},
		{"/v1/videos/motion-control", `"mode":"pro"`, 0}, {"/v1/videos/motion-control", `"video_url":""`, 1200}, {"/v1/videos/motion-control", `"character_orientation":"up"`, 1201},
		{"/v1/videos/omni-video", `"duration":"10"`, 0}, {"/v1/videos/omni-video", `"duration":"11"`, 1201}, {"/v1/videos/omni-video", `"model_name":"kling-v3-omni","duration":"11"`, 0},
		{"/v1/videos/omni-video", `"image_list":[{"image_url":"https://cdn.example/a.png","type":"first_frame"}]`, 0}, {"/v1/videos/omni-video", `"image_list":[{"image_url":"a","type":"middle"}]`, 1201},

		{gen, `"n":9`, 0}, {gen, `"n":10`, 1201}, {gen, `"n":"2"`, 1201}, {gen, `"resolution":"2k"`, 0}, {gen, `"resolution":"4k"`, 1201},
		{gen, `"aspect_ratio":"21:9"`, 0}, {gen, `"aspect_ratio":"5:4"`, 1201}, {gen, `"image":"https://cdn.example/a.png","negative_prompt":"blur"`, 1201},
		{gen, `"image_reference":"face"`, 1200}, {gen, `"image":"https://cdn.example/a.png","image_reference":"face","image_fidelity":0.7`, 0}, {gen, `"image_fidelity":2`, 1201},
		{"/v1/images/omni-image", `"resolution":"4k"`, 0}, {"/v1/images/omni-image", `"aspect_ratio":"auto"`, 0}, {"/v1/images/omni-image", `"image_list":` + repeated(`{"image":"a"}`, 11), 1201},
		{"/v1/images/multi-image2image", `"subject_image_list":[]`, 1200}, {"/v1/images/multi-image2image", `"style_image":"https://cdn.example/s.png"`, 0},

		{"/text-to-video/kling-9", `"a":1`, 1203}, {"/text-to-video/kling-v2-6", `"a":1`, 1203},
		{"/text-to-video/kling-3.0", `"prompt":` + long(3072), 0}, {"/text-to-video/kling-3.0", `"prompt":` + long(3073), 1201}, {"/text-to-video/kling-2.6", `"prompt":` + long(2501), 1201},
		{"/text-to-video/kling-3.0", `"settings":{"duration":"5"}`, 1201}, {"/text-to-video/kling-3.0", `"settings":{"duration":3,"resolution":"4k","audio":"native","aspect_ratio":"1:1","multi_shot":false}`, 0},
		{"/text-to-video/kling-3.0", `"settings":{"duration":16}`, 1201}, {"/text-to-video/kling-2.6", `"settings":{"duration":6}`, 1201}, {"/text-to-video/kling-2.6", `"settings":{"resolution":"4k"}`, 1201},
		{"/text-to-video/kling-2.6", `"settings":{"audio":"native"}`, 1201}, {"/text-to-video/kling-2.6", `"settings":{"audio":"native","resolution":"1080p"}`, 0},
		{"/text-to-video/kling-3.0", `"options":{"callback_url":"nowhere"}`, 1201}, {"/text-to-video/kling-3.0", `"options":[]`, 1201},
		{"/image-to-video/kling-3.0", frames("first_frame", "last_frame"), 0}, {"/image-to-video/kling-3.0-turbo", frames("first_frame", "last_frame"), 1201},
		{"/image-to-video/kling-3.0", frames("last_frame"), 1201}, {"/image-to-video/kling-3.0", frames("refer_image"), 1201}, {"/image-to-video/kling-3.0", `"contents":[]`, 1200},
		{"/image-to-video/kling-2.6", frames("first_frame", "last_frame"), 1201}, {"/image-to-video/kling-2.6", frames("first_frame", "last_frame") + `,"settings":{"resolution":"1080p"}`, 0},
		{"/motion-control/kling-2.6", `"a":1`, 0}, {"/motion-control/kling-2.6", `"settings":{}`, 1200}, {"/motion-control/kling-2.6", frames("image"), 1201},
		{"/omni-video/kling-3.0-omni", frames("refer_image", "refer_image"), 0}, {"/omni-video/kling-3.0-omni", `"settings":{}`, 1200},
		{"/omni-video/kling-3.0-omni", frames("first_frame") + `,"settings":{}`, 0}, {"/omni-video/kling-o1", `"settings":{"aspect_ratio":"1:1","duration":11}`, 1201},
	} {
		body := bodies[c.path]
		if body == "" {
			body = bodies["/text-to-video/kling-3.0"]
		}
		body = fmt.Sprintf(body, c.field)
		r := w.post(c.path, body)
		if r.err != nil || r.Code != c.code || c.code != 0 && r.status != statuses[c.code] {
			t.Errorf("%s with %.120s: %d %.200s %v, want code %d", c.path, c.field, r.status, r.body, r.err, c.code)
		}
	}
	w.refused(t2v, `{"prompt":`, 1200)
	w.refused(t2v, `[]`, 1200)
	if r := w.call(http.MethodGet, "/text-to-video/kling-3.0", "Bearer "+testKey, ""); r.Code != 1202 {
		t.Errorf("GET: %s", r.body)
	}
}

// Every documented code can be ordered, and comes with its status, or with another.
func TestOrderedCodes(t *testing.T) {
	w := newWorld(t, nil)
	for code, status := range statuses {
		w.refused(t2v, fmt.Sprintf(`{"prompt":"x [[fail=%d]]"}`, code), code)
		if r := w.post(t2v, fmt.Sprintf(`{"prompt":"x [[fail=%d status=200]]"}`, code)); r.status != 200 || r.Code != code {
			t.Errorf("code %d (%d) under 200: %d %s", code, status, r.status, r.body)
		}
	}
	body := `{"prompt":"x [[fail=1303 times=2]]","external_task_id":"a"}`
	w.refused(t2v, body, 1303)
	w.refused(t2v, body, 1303)
	w.taken(t2v, body)
	for _, orders := range []string{"fail=77", "fail", "end=well", "drop=now", "callback=home", "fial=1303"} {
		w.refused(t2v, `{"prompt":"x [[`+orders+`]]"}`, 1201)
	}
	if got := len(w.Stats().Tasks); got != 1 {
		t.Errorf("%d tasks were made", got)
	}
}

func TestOrdersAboutTheTask(t *testing.T) {
	w := newWorld(t, nil)
	if r := w.post(t2v, `{"prompt":"x [[drop=before]]"}`); r.err == nil || len(w.Accepted()) != 0 {
		t.Errorf("dropped before: %d, %v", r.status, w.Accepted())
	}
	if r := w.post(t2v, `{"prompt":"x [[drop=after]]","external_task_id":"lost"}`); r.err == nil || w.Accepted()["lost"] != 1 {
		t.Errorf("dropped after: %d, %v", r.status, w.Accepted())
	}
	hidden := w.taken(t2v, `{"prompt":"x [[hidden=1]]","external_task_id":"hidden"}`)
	if first, second := w.get(t2v+"/hidden"), w.get(t2v+"/hidden"); first.Code != 1203 || second.Code != 0 {
		t.Errorf("hidden: %s, %s", first.body, second.body)
	}
	if r := w.get(t2v + "/" + hidden); r.Code != 0 {
		t.Errorf("hidden by its id too: %s", r.body)
	}
	unwell := w.taken("/text-to-video/kling-3.0", `{"prompt":"x [[faults=1 broken=1 word=warming_up time=1h]]"}`)
	w.clock.Advance(3e9)
	query := "/tasks?task_ids=" + unwell
	if r := w.get(query); r.status != 500 || r.Code != 5000 {
		t.Errorf("a fault: %d %s", r.status, r.body)
	}
	if r := w.get(query); r.status != 200 || r.Data != nil || len(r.body) == 0 {
		t.Errorf("half an answer: %d %s", r.status, r.body)
	}
	if r := w.get(query); !strings.Contains(string(r.Data), `"warming_up"`) {
		t.Errorf("another word: %s", r.body)
	}
	gone := w.taken(t2v, `{"prompt":"x [[gone time=1s]]"}`)
	if r := w.get(t2v + "/" + gone); r.Code != 0 {
		t.Errorf("not gone yet: %s", r.body)
	}
	w.clock.Advance(1e9)
	if r := w.get(t2v + "/" + gone); r.Code != 1203 {
		t.Errorf("gone: %s", r.body)
	}
}
