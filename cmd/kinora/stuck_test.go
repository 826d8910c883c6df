package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const stuckAttempt = `{"generation_id":"task_1","organisation_id":"org_1","model":"kling-v1","lane":"kling","watched":true,"troubles":["unsettled","deadline"],"age_seconds":95.2,"expected_seconds":74,
	"attempt":{"id":"task_1_0","state":"unsettled","provider":"kling","account":"main","error_class":"outcome_unknown","error_code":"502"}}`

// operatorServer is the part of an admin API that people on call need; it notes what it is asked.
func operatorServer(t *testing.T) *[]string {
	t.Helper()
	var asked []string
	answers := map[string]string{
		"GET /operator/attempts":                   `{"more":true,"attempts":[` + stuckAttempt + `]}`,
		"POST /operator/attempts/task_1_0/look":    stuckAttempt,
		"POST /operator/attempts/task_1_0/settle":  stuckAttempt,
		"POST /operator/attempts/task_1_0/give-up": stuckAttempt,
		"POST /operator/attempts/task_1_0/cancel":  `{"generation_id":"task_1","state":"cancelled"}`,
		"GET /operator/health": `{"node":"node_1","accounts":[{"name":"main","provider":"kling","state":"ready","until":null,"last_error":null}],
			"hour":{"attempts":3,"upstreams":[{"provider":"kling","account":"main","model":"kling-v1","succeeded":2,"failed":1,"errors":{"moderation":1},"submit_seconds":{"p50":0.8,"p95":2.1},"job_seconds":{"p50":null,"p95":null}}]},
			"day":{"attempts":9,"more":true,"from":"2026-01-01T00:00:00Z","upstreams":[]},
			"organisations_without_owner":[{"id":"org_1","name":"Acme"}]}`,
		"GET /persons":         `{"persons":[{"id":"per_1","email":"ada@example.com","name":"","operator":false,"has_password":true,"disabled":false,"created_at":"2026-01-01T00:00:00Z","last_sign_in_at":null}],"truncated":false}`,
		"PATCH /persons/per_1": `{"id":"per_1","organisations_without_owner":[{"id":"org_1","name":"Acme"}]}`,
		"GET /operator/queues": `{"counted_up_to":100,"lanes":[{"lane":"kling","state":"queued","due":100,"waiting":2,"oldest_due":"2026-01-01T00:00:00Z"},{"lane":"ark","state":"open","due":0,"waiting":7,"oldest_due":null}],
			"attempts_in_hand":4,"deliveries":{"due":1,"waiting":2,"in_hand":3,"held":5,"dead":6},"replays":0,"ingests":{"due":0,"waiting":0,"in_hand":0},"reviews":{"waiting":1,"oldest":"2026-01-01T00:00:00Z"},
			"upkeep":{"retryable":1},"nodes":[{"id":"node_1","started_at":"2026-01-01T00:00:00Z","beat_at":"2026-01-01T00:00:03Z","in_hand":4,"answers":true}]}`,
		"GET /operator/storage": `{"outputs":{"files":2,"bytes":2048,"more":false},"assets":{"files":0,"bytes":0,"more":false},"uploads":{"files":1,"bytes":7,"more":true},"folder":"files","bucket":"","free_bytes":1048576,"database":"sqlite","database_bytes":4096}`,
		"GET /operator/config": `{"settings":[{"key":"listen","value":"127.0.0.1:8080","secret":false,"origin":"default","variable":"KINORA_LISTEN"},
			{"key":"admin_token","value":"set","secret":true,"origin":"environment","variable":"KINORA_ADMIN_TOKEN"}]}`,
		"GET /operator/installation": `{"version":"v1.2.3","database":"sqlite","pending":1,"migrations":[{"version":1,"name":"00001_core.sql","applied":true},{"version":2,"name":"00002_more.sql","applied":false}]}`,
		"GET /operator/offer": `{"models":[{"id":"kling-v1","kind":"video","price_usd":0.35,"deadline_seconds":3600,"routes":[{"provider":"kling","upstream_model":"kling-v1","accounts":[]},{"provider":"other","upstream_model":"x","accounts":[]}]}],
			"workflows":[{"name":"staging","description":"Furnishes.","model":"sandbox-image","kind":"image","file":"built-in","review":true,"price_usd":null}]}`,
		"GET /organisations": `{"organisations":[{"id":"org_1","name":"Acme","created_at":"2026-01-01T00:00:00Z"}],"truncated":false}`,
		"GET /organisations/org_1/destinations": `{"more":false,"destinations":[{"destination":"https://a.example:443","endpoint_id":"","delivered":3,"pending":1,"dead":1,"backlog":2,"answer_ms":{"p50":12,"p95":40},"breaker":"open",
			"last_failure":{"at":"2026-01-01T00:00:00Z","status":500,"error":"status 500"}}]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		name := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/admin/v1")
		asked = append(asked, strings.TrimSpace(name+"?"+r.URL.RawQuery+" "+string(body)))
		answer, ok := answers[name]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"error":{"code":"not_found","message":"attempt not found"}}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	t.Setenv("KINORA_SERVER", server.URL)
	t.Setenv("KINORA_ADMIN_TOKEN", "tok-0123456789-0123456789-0123456789")
	return &asked
}

// What people on call are shown, and what the server is asked for.
func TestOnCall(t *testing.T) {
	serverEnvironment(t)
	asked := operatorServer(t)
	for _, tc := range []struct {
		line, asks string
		shows      []string
	}{
		{"attempts stuck", "GET /operator/attempts?", []string{"task_1_0", "unsettled, deadline", "1 m 35 s", "1 m 14 s", "kling/main", "org_1", "outcome_unknown 502"}},
		{"attempts stuck --trouble late --since 2026-01-01T00:00:00Z --limit 5", "GET /operator/attempts?limit=5&since=2026-01-01T00%3A00%3A00Z&trouble=late", nil},
		{"attempts look task_1_0", "POST /operator/attempts/task_1_0/look?", []string{"task_1_0  unsettled"}},
		{"attempts settle task_1_0 --upstream-id 8264", `POST /operator/attempts/task_1_0/settle? {"upstream_id":"8264"}`, []string{"it is watched"}},
		{"attempts give-up task_1_0 --reason lost", `POST /operator/attempts/task_1_0/give-up? {"reason":"lost"}`, []string{"given up"}},
		{"attempts cancel task_1_0", "POST /operator/attempts/task_1_0/cancel?", []string{"task_1  cancelled"}},
		{"health", "GET /operator/health?", []string{"ready", "3 attempts", "moderation 1", "800 ms / 2.1 s", "9 attempts", "newest 10,000", "Acme (org_1) has no owner who can sign in"}},
		{"person disable ada@example.com", `PATCH /persons/per_1? {"disabled":true}`, []string{"ada@example.com is disabled", "Acme (org_1) has no owner who can sign in"}},
		{"queues", "GET /operator/queues?", []string{"kling, queued", "100+", "ark, open", "4 attempts, 3 deliveries", "5 held", "6 dead", "1, the oldest since", "1 retryable", "node_1"}},
		{"storage", "GET /operator/storage?", []string{"2 files, 2.0 KiB", "1 files, 7 B or more", "files, 1.0 MiB free", "sqlite, 4.0 KiB"}},
		{"settings", "GET /operator/config?", []string{"listen", "127.0.0.1:8080", "admin_token", "set", "KINORA_ADMIN_TOKEN"}},
		{"installation", "GET /operator/installation?", []string{"v1.2.3", "sqlite", "1 of 2 changes applied", "waiting: 00002_more.sql"}},
		{"offer", "GET /operator/offer?", []string{"kling, other", "0.35 USD", "staging", "built-in", "yes", "the model's"}},
		{"endpoint health --hours 48", "GET /organisations/org_1/destinations?hours=48", []string{"https://a.example:443", "12 ms / 40 ms", "open", "status 500"}},
	} {
		got := invoke(t, "", strings.Fields(tc.line)...)
		if last := (*asked)[len(*asked)-1]; got.exit != exitOK || last != tc.asks {
			t.Errorf("%s: exit %d, asked %q\n%s", tc.line, got.exit, last, got.errOut)
		}
		for _, want := range tc.shows {
			if !strings.Contains(got.out, want) {
				t.Errorf("%s lacks %q:\n%s", tc.line, want, got.out)
			}
		}
		if doc := document(t, invoke(t, "", append(strings.Fields(tc.line), "--json")...).out); len(doc) == 0 {
			t.Errorf("%s: no document", tc.line)
		}
	}
	if got := invoke(t, "", "settings", "--changed"); strings.Contains(got.out, "listen") || !strings.Contains(got.out, "admin_token") {
		t.Errorf("changed settings:\n%s", got.out)
	}
	if got := invoke(t, "", "attempts", "look", "task_2_0"); got.exit != exitNotFound {
		t.Errorf("an unknown attempt: exit %d", got.exit)
	}
	if got := invoke(t, "", "attempts", "stuck", "--trouble", "sad"); got.exit != exitUsage {
		t.Errorf("an unknown trouble: exit %d", got.exit)
	}
}
