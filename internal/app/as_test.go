package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime/multipart"
	"net/http"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/store/storetest"
)

// desk is a person who works for an organisation without a key.
type desk struct {
	*testing.T
	a            *app.App
	organisation string
}

func (d desk) ask(method, path, key, contentType string, body []byte) (map[string]any, error) {
	d.Helper()
	r, err := http.NewRequestWithContext(d.Context(), method, path, bytes.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	r.Header.Set("Content-Type", contentType)
	text, err := d.a.Call(r, kinora.Actor{Kind: kinora.ActorPerson, ID: "per_1", Address: "192.0.2.1"}, d.organisation)
	if err != nil {
		return nil, err
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		d.Fatalf("%s %s answered %s", method, path, text)
	}
	return answer, nil
}

func (d desk) must(answer map[string]any, err error) map[string]any {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
	return answer
}

func (d desk) submit(prompt, key string) (map[string]any, error) {
	body, _ := json.Marshal(map[string]any{"model": "sandbox-image", "input": map[string]any{"prompt": prompt}})
	answer, err := d.ask("POST", "/api/generate/submit", key, "application/json", body)
	if err != nil {
		return nil, err
	}
	return answer["data"].(map[string]any), nil
}

// A person submits, makes anew and cancels by the same rules as keys do, on both databases: validation, idempotency, prices and
// budget, rates and isolation.
func TestPeopleWorkByTheSameRules(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, func(c *config.Config) {
			c.Prices.Models = map[string]config.USD{"sandbox-image": 1_000_000}
		})
		organisation := a.Bootstrapped().Organisation.ID
		d := desk{t, a, organisation}
		c := clientOf(t, a, a.Bootstrapped().KeyText)

		made := d.must(d.submit("a lamp", "form-1"))
		if again := d.must(d.submit("a lamp", "form-1")); again["task_id"] != made["task_id"] {
			t.Errorf("a form sent twice made %v and %v", made, again)
		}
		if _, err := d.submit("another lamp", "form-1"); kinora.CodeOf(err) != kinora.ErrConflict {
			t.Errorf("its key with another prompt: %v", err)
		}
		var refused *kinora.Error
		if _, err := d.submit("", ""); !errors.As(err, &refused) || len(refused.Details) != 1 || refused.Details[0].Field != "input.prompt" {
			t.Errorf("no prompt: %+v", err)
		}
		if got, err := c.Wait(t.Context(), made["task_id"].(string), client.WaitOptions{}); err != nil || len(got.Files) != 1 {
			t.Fatalf("a key of the organisation sees %+v, %v", got, err)
		}

		// The first one cost a dollar; the budget has room for no other.
		budget := kinora.Money(1_500_000)
		if err := a.Allow(t.Context(), organisation, kinora.AllowanceChange{Budget: &budget}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.submit("too dear", ""); kinora.CodeOf(err) != kinora.ErrBudget {
			t.Errorf("beyond the budget: %v", err)
		}
		allow := kinora.AllowanceChange{NoBudget: true, Limits: map[string]int{"generations_create": 1}}
		if err := a.Allow(t.Context(), organisation, allow); err != nil {
			t.Fatal(err)
		}

		var form bytes.Buffer
		parts := multipart.NewWriter(&form)
		file, _ := parts.CreateFormFile("file", "room.png")
		_, _ = file.Write(photo(t, 1024, 768))
		for name, value := range map[string]string{"workflow": "staging", "capture_type": "photo", "mode": "clean"} {
			_ = parts.WriteField(name, value)
		}
		_ = parts.Close()
		job := d.must(d.ask("POST", "/api/v1/generations", "form-2", parts.FormDataContentType(), form.Bytes()))
		path := "/api/v1/generations/" + job["job_id"].(string)
		if _, err := d.ask("POST", "/api/v1/generations", "form-3", parts.FormDataContentType(), form.Bytes()); kinora.CodeOf(err) != kinora.ErrRateLimited {
			t.Errorf("beyond the organisation's limit: %v", err)
		}
		if _, err := c.WaitGeneration(t.Context(), job["job_id"].(string), client.GenerationWaitOptions{}); err != nil {
			t.Error(err)
		}
		again := d.must(d.ask("POST", path+"/regenerate", "form-4", "application/json", []byte(`{}`)))
		if again["parent_job_id"] != job["job_id"] {
			t.Errorf("made anew: %v", again)
		}
		cancelled, err := d.ask("POST", "/api/v1/generations/"+again["job_id"].(string)+"/cancel", "", "application/json", nil)
		if err != nil && kinora.CodeOf(err) != kinora.ErrConflict { // it may have ended first
			t.Errorf("cancelled: %v, %v", cancelled, err)
		}

		// Whoever works for another organisation finds nothing of this one.
		stranger, err := a.NewOrganisation(t.Context(), "second")
		if err != nil {
			t.Fatal(err)
		}
		other := desk{t, a, stranger}
		for _, tc := range [][2]string{{"GET", path}, {"POST", path + "/cancel"}, {"POST", path + "/regenerate"}, {"GET", "/api/generate/status/" + made["task_id"].(string)}} {
			if _, err := other.ask(tc[0], tc[1], "form-5", "application/json", []byte(`{}`)); kinora.CodeOf(err) != kinora.ErrNotFound {
				t.Errorf("%s %s of another organisation: %v", tc[0], tc[1], err)
			}
		}
	})
}
