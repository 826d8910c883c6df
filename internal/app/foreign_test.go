package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/kinora/kinora/api"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/store/storetest"
)

// What one organisation has, another one meets as an id that nobody has: on every route of the document that takes an id,
// before the real store, with ids of everything that there is. What was asked for in vain is untouched afterwards.
func TestAnotherOrganisationsIDs(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		c := newConformant(t, dsn, app.Options{}, func(cfg *config.Config) { cfg.Network.AllowPrefixes = []string{"127.0.0.0/8"} })
		image := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(photo(t, 800, 600)) }))
		defer image.Close()

		done, running := c.create(c.of("pro_capture")), c.create(c.of("endless"))
		c.ended(done)
		ingest := c.want(202, "", "POST", "/api/v1/source-assets", `{"source_url":"`+image.URL+`"}`).body.IngestID
		task := func(model, more string) string {
			var made struct {
				Data struct {
					ID string `json:"task_id"`
				} `json:"data"`
			}
			c.call("POST", "/api/generate/submit", `{"model":"sandbox-`+model+`","input":{"prompt":"a kite"`+more+`}}`, c.key, 200, &made)
			return made.Data.ID
		}
		picture, clip, busy := task("image", ""), task("video", `,"size":"160x128"`), task("video", `,"metadata":{"sandbox":{"delay":"1h"}}`)
		c.ended(picture)
		c.ended(clip)
		ids := map[string][][2]string{
			"ingest_id": {{ingest, "ing_00000000000000000000000000"}},
			"video_id":  {{clip, "task_00000000000000000000000000"}, {busy, "task_00000000000000000000000000"}, {picture, "task_00000000000000000000000000"}, {done, "job_00000000000000000000000000"}},
		}
		ids["image_id"] = ids["video_id"]
		ids["task_id"] = ids["video_id"]
		ids["job_id"] = append(ids["video_id"], [2]string{running, "job_00000000000000000000000000"})

		second := c.secondOrganisation()
		tested := 0
		for _, rt := range documented(t) {
			from, rest, _ := strings.Cut(rt.path, "{")
			name, to, _ := strings.Cut(rest, "}")
			if name == "model" || name == "workflow" { // everybody's
				continue
			}
			if ids[name] == nil {
				t.Errorf("%s %s: this test has no ids for it", rt.method, rt.path)
			}
			for _, id := range ids[name] {
				tested++
				c.sameAnswer(rt.method, from+id[0]+to, from+id[1]+to, "{}", second)
			}
		}
		if tested < 20 {
			t.Errorf("%d ids were tried", tested)
		}
		asset := `{"source_asset_id":"src_00000000000000000000000000","workflow":"pro_capture","capture_type":"photo"}`
		c.sameAnswer("POST", generationsPath, generationsPath, "", second, c.of("pro_capture"), asset)

		if r := c.want(200, "", "GET", generationsPath+"/"+running, ""); r.body.Status == "cancelled" || len(c.ended(done).body.Outputs) == 0 {
			t.Errorf("%s was ended by another organisation, or the files of %s were removed", running, done)
		}
		for id, status := range map[string]string{clip: "completed", busy: "in_progress"} {
			var video struct{ Status string }
			if c.call("GET", "/v1/videos/"+id, "", c.key, 200, &video); video.Status != status && video.Status != "queued" {
				t.Errorf("%s is %s after another organisation asked for it", id, video.Status)
			}
		}
		if status, _, content := c.raw("GET", "/v1/videos/"+clip+"/content", "", c.key); status != 200 || len(content) < 100 {
			t.Errorf("the video of %s: %d, %d bytes", clip, status, len(content))
		}
		c.want(200, "", "POST", generationsPath+"/"+running+"/cancel", "")
		c.want(200, "", "POST", generationsPath+"/"+busy+"/cancel", "")
	})
}

type documentedRoute struct{ method, path string }

// documented are the routes of the document that take an id of an organisation's.
func documented(t *testing.T) (list []documentedRoute) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	if err := yaml.Unmarshal([]byte(api.Document()), &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		if !strings.Contains(path, "{") || !strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/v1/") {
			continue
		}
		for method := range methods {
			if method != "parameters" {
				list = append(list, documentedRoute{strings.ToUpper(method), path})
			}
		}
	}
	return list
}

// sameAnswer asks for what is another's and for what nobody has, by path or by body, and wants one 404 of both.
func (c *conformant) sameAnswer(method, foreign, unknown, body, key string, bodies ...string) {
	c.Helper()
	if len(bodies) == 0 {
		bodies = []string{body, body}
	}
	status, header, content := c.raw(method, foreign, bodies[0], key)
	status2, header2, content2 := c.raw(method, unknown, bodies[1], key)
	for _, h := range []http.Header{header, header2} {
		for _, name := range []string{"Date", "Ratelimit-Remaining", "Ratelimit-Reset"} {
			h.Del(name)
		}
	}
	if status != 404 || status != status2 || content != content2 || !reflect.DeepEqual(header, header2) {
		c.Errorf("%s %s: another's %d %s %v, nobody's %d %s %v", method, foreign, status, content, header, status2, content2, header2)
	}
}

// raw is a request in any dialect.
func (c *conformant) raw(method, path, body, key string) (status int, header http.Header, content string) {
	c.Helper()
	req, err := http.NewRequestWithContext(c.Context(), method, c.app.LocalURL()+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-Id", "r")
	if method == http.MethodPost && strings.HasPrefix(path, "/api/v1/") {
		c.made++
		req.Header.Set("Idempotency-Key", fmt.Sprint("raw ", c.made))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

// call is raw for an answer of that status, read into to.
func (c *conformant) call(method, path, body, key string, want int, to any) {
	c.Helper()
	status, _, content := c.raw(method, path, body, key)
	if status != want || json.Unmarshal([]byte(content), to) != nil {
		c.Fatalf("%s %s: %d %s", method, path, status, content)
	}
}
