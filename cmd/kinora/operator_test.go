package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store/storetest"
)

// The org and key commands do the same on the database and through a running server's admin API.
func TestOrganisationsAndKeys(t *testing.T) {
	for _, way := range []struct {
		name  string
		setUp func(t *testing.T)
	}{
		{"on the database", func(t *testing.T) { serverEnvironment(t) }},
		{"on PostgreSQL", func(t *testing.T) {
			serverEnvironment(t)
			t.Setenv("KINORA_DATABASE", storetest.PostgresDSN(t))
			t.Setenv("KINORA_MASTER_KEY", seal.NewKey().Text())
		}},
		{"through the configured server", func(t *testing.T) { startServer(t) }},
		{"through a named server", func(t *testing.T) {
			folder, url := startServer(t)
			token, err := os.ReadFile(app.AdminTokenFile(folder))
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("KINORA_DATA_DIR", t.TempDir()) // not the server's
			t.Setenv("KINORA_SERVER", url)
			t.Setenv("KINORA_ADMIN_TOKEN", strings.TrimSpace(string(token)))
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			way.setUp(t)
			tryOrganisations(t)
			tryKeys(t)
			tryEndpoints(t)
			tryPeople(t)
		})
	}
}

// startServer runs a server whose address is in the configuration, as an operator's is.
func startServer(t *testing.T) (folder, url string) {
	t.Helper()
	folder = serverEnvironment(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	t.Setenv("KINORA_LISTEN", address)
	p := background(t, t.Context(), "serve", "--json")
	doc := p.document(t)
	return folder, doc["url"].(string)
}

const orgKeys = "allowance created_at default_webhook disabled id name operator_hook webhook_hosts"

func tryOrganisations(t *testing.T) {
	created := invoke(t, "", "org", "create", "Acme", "--webhook-hosts", "hooks.example.com,*.example.org", "--default-webhook", "https://hooks.example.com/k", "--json")
	if created.exit != exitOK {
		t.Fatalf("create: exit %d\n%s", created.exit, created.errOut)
	}
	org := document(t, created.out)
	secret, _ := org["webhook_secret"].(map[string]any)
	if keysOf(org) != orgKeys+" webhook_secret" || keysOf(secret) != "created_at expires_at id secret" || !strings.HasPrefix(secret["secret"].(string), "whsec_") {
		t.Errorf("created: %v", org)
	}
	id := org["id"].(string)

	shown := document(t, invoke(t, "", "org", "show", "Acme", "--json").out)
	if keysOf(shown) != orgKeys || shown["id"] != id || shown["default_webhook"] != "https://hooks.example.com/k" {
		t.Errorf("shown: %v", shown)
	}
	changed := invoke(t, "", "org", "update", id, "--name", "Acme Ltd", "--default-webhook", "", "--any-webhook-host", "--disable", "--json")
	doc := document(t, changed.out)
	hosts, _ := doc["webhook_hosts"].([]any)
	if doc["name"] != "Acme Ltd" || doc["default_webhook"] != "" || doc["disabled"] != true || len(hosts) != 0 {
		t.Errorf("updated: %v\n%s", doc, changed.errOut)
	}
	tryAllowance(t, id)
	if text := invoke(t, "", "org", "list"); !strings.Contains(text.out, id) || !strings.Contains(text.out, "disabled") {
		t.Errorf("list: %s%s", text.out, text.errOut)
	}
	if list := document(t, invoke(t, "", "org", "list", "--json").out); keysOf(list) != "organisations truncated" || list["truncated"] != false {
		t.Errorf("list: %v", list)
	}
	rotated := document(t, invoke(t, "", "org", "rotate-secret", id, "--overlap", "1h", "--json").out)
	if keysOf(rotated) != "created_at expires_at id organisation_id secret" || rotated["secret"] == secret["secret"] {
		t.Errorf("rotated: %v", rotated)
	}
	secrets := invoke(t, "", "org", "secrets", id, "--json")
	signing, _ := document(t, secrets.out)["webhook_secrets"].([]any)
	if len(signing) != 2 || keysOf(signing[0]) != "created_at expires_at id" || signing[0].(map[string]any)["id"] != rotated["id"] || signing[0].(map[string]any)["expires_at"] != nil ||
		signing[1].(map[string]any)["expires_at"] == nil || strings.Contains(secrets.out, "whsec_") {
		t.Errorf("secrets: %s%s", secrets.out, secrets.errOut)
	}
	if text := invoke(t, "", "org", "secrets", id); !strings.Contains(text.out, "current") || !strings.Contains(text.out, "until ") || strings.Contains(text.out, "whsec_") {
		t.Errorf("secrets: %s%s", text.out, text.errOut)
	}
	imported := invoke(t, "an-imported-webhook-secret\n", "org", "rotate-secret", id, "--import")
	if imported.exit != exitOK || strings.Contains(imported.out+imported.errOut, "an-imported-webhook-secret") {
		t.Errorf("imported: exit %d\n%s%s", imported.exit, imported.out, imported.errOut)
	}

	for _, test := range []struct {
		args []string
		exit int
		says string
	}{
		{[]string{"org", "show", "org_01HF8Z3KQX2A6Y4N3R8M5W7V9P"}, exitNotFound, "organisation not found"},
		{[]string{"org", "show", "Nobody"}, exitNotFound, "organisation not found"},
		{[]string{"org", "update", id}, exitUsage, "nothing to change"},
		{[]string{"org", "update", id, "--enable", "--disable"}, exitUsage, "can't be used together"},
		{[]string{"org", "create", " "}, exitUsage, "name is required"},
		{[]string{"org", "update", id, "--default-webhook", "http://127.0.0.1/x"}, exitUsage, "default_webhook"},
		{[]string{"org", "rotate-secret", id, "--overlap", "9000h"}, exitUsage, "overlap"},
	} {
		if got := invoke(t, "", test.args...); got.exit != test.exit || !strings.Contains(got.errOut, test.says) {
			t.Errorf("%v: exit %d, want %d with %q\n%s", test.args, got.exit, test.exit, test.says, got.errOut)
		}
	}
}

func tryKeys(t *testing.T) {
	const keyKeys = "created_at expires_at id last_used_at name organisation_id replaced_by revoked_at start"
	created := invoke(t, "", "key", "create", "shop", "--org", "Acme Ltd", "--kind", "kat_live", "--json")
	key := document(t, created.out)
	text, _ := key["key"].(string)
	if keysOf(key) != sorted(append(strings.Fields(keyKeys), "key")) || !strings.HasPrefix(text, "kat_live_") {
		t.Fatalf("created: exit %d, %v\n%s", created.exit, key, created.errOut)
	}
	id := key["id"].(string)
	people := invoke(t, "", "key", "create", "laptop", "--org", "Acme Ltd")
	if people.exit != exitOK || !strings.Contains(people.out, "sk-") || !strings.Contains(people.out, "this once") {
		t.Errorf("create for people: exit %d\n%s%s", people.exit, people.out, people.errOut)
	}

	const own = "sk-imported-0123456789abcdefghij"
	imported := invoke(t, own+"\n", "key", "import", "old", "--org", "Acme Ltd", "--json")
	if doc := document(t, imported.out); imported.exit != exitOK || keysOf(doc) != keyKeys || strings.Contains(imported.out, own) {
		t.Errorf("imported: exit %d\n%s%s", imported.exit, imported.out, imported.errOut)
	}
	if again := invoke(t, own, "key", "import", "old", "--org", "Acme Ltd"); again.exit != exitConflict || strings.Contains(again.errOut, own) {
		t.Errorf("imported twice: exit %d\n%s", again.exit, again.errOut)
	}
	if bad := invoke(t, "hunter2", "key", "import", "bad", "--org", "Acme Ltd"); bad.exit != exitUsage || strings.Contains(bad.errOut, "hunter2") {
		t.Errorf("no key at all: exit %d\n%s", bad.exit, bad.errOut)
	}

	if got := invoke(t, "", "key", "revoke", id, "--org", "Acme Ltd"); got.exit != exitOK || !strings.Contains(got.out, "revoked") {
		t.Errorf("revoke: exit %d\n%s", got.exit, got.errOut)
	}
	if got := invoke(t, "", "key", "revoke", "key_01HF8Z3KQX2A6Y4N3R8M5W7V9P", "--org", "Acme Ltd"); got.exit != exitNotFound {
		t.Errorf("revoke what is not there: exit %d\n%s", got.exit, got.errOut)
	}
	listed := document(t, invoke(t, "", "key", "list", "--org", "Acme Ltd", "--json").out)
	list, _ := listed["keys"].([]any)
	if len(list) != 3 || keysOf(list[0]) != keyKeys {
		t.Fatalf("listed: %v", listed)
	}
	for _, entry := range list {
		k := entry.(map[string]any)
		if revoked := k["revoked_at"] != nil; revoked != (k["id"] == id) {
			t.Errorf("listed: %v", k)
		}
	}
	tryRotation(t)
	if text := invoke(t, "", "key", "list", "--org", "Acme Ltd"); strings.Count(text.out, "\n") != 6 || strings.Count(text.out, "rotated, ends") != 1 || strings.Count(text.out, "live until") != 1 || strings.Contains(text.out, own) {
		t.Errorf("list for people:\n%s", text.out)
	}
	if enabled := invoke(t, "", "org", "update", "Acme Ltd", "--enable"); enabled.exit != exitOK {
		t.Errorf("enable: %s", enabled.errOut)
	}
}

func tryRotation(t *testing.T) {
	t.Helper()
	made := document(t, invoke(t, "", "key", "create", "ci", "--org", "Acme Ltd", "--expires", "90d", "--json").out)
	if made["expires_at"] == nil || made["replaced_by"] != "" {
		t.Errorf("made to end: %v", made)
	}
	old := made["id"].(string)
	rotated := invoke(t, "", "key", "rotate", old, "--overlap", "2d", "--org", "Acme Ltd")
	if rotated.exit != exitOK || !strings.Contains(rotated.out, "sk-") || !strings.Contains(rotated.out, old+" goes on for 2d at most.") {
		t.Errorf("rotate: exit %d\n%s%s", rotated.exit, rotated.out, rotated.errOut)
	}
	for _, test := range []struct {
		args []string
		exit int
		says string
	}{
		{[]string{"rotate", old}, exitConflict, "rotated already"},
		{[]string{"rotate", "key_01HF8Z3KQX2A6Y4N3R8M5W7V9P"}, exitNotFound, "key not found"},
		{[]string{"rotate", old, "--overlap", "31d"}, exitUsage, "overlap"},
		{[]string{"create", "x", "--expires", "2001-01-01T00:00:00Z"}, exitUsage, "future"},
		{[]string{"create", "x", "--expires", "soon"}, exitUsage, "neither a length of time"},
	} {
		if got := invoke(t, "", append(append([]string{"key"}, test.args...), "--org", "Acme Ltd")...); got.exit != test.exit || !strings.Contains(got.errOut, test.says) {
			t.Errorf("%v: exit %d, want %d with %q\n%s", test.args, got.exit, test.exit, test.says, got.errOut)
		}
	}
}

func TestSharedDatabaseNeedsItsMasterKey(t *testing.T) {
	folder := serverEnvironment(t)
	t.Setenv("KINORA_DATABASE", storetest.PostgresDSN(t))
	if got := invoke(t, "", "org", "create", "Acme"); got.exit != exitUsage || !strings.Contains(got.errOut, "master key") {
		t.Errorf("exit %d\n%s", got.exit, got.errOut)
	}
	if _, err := os.Stat(filepath.Join(folder, "master.key")); err == nil {
		t.Error("a master key was made that no server has")
	}
}

func TestOneOrganisationNeedsNoName(t *testing.T) {
	serverEnvironment(t)
	if got := invoke(t, "", "key", "create", "first"); got.exit != exitNotFound {
		t.Errorf("no organisation at all: exit %d\n%s", got.exit, got.errOut)
	}
	invoke(t, "", "org", "create", "only")
	if got := invoke(t, "", "key", "create", "first"); got.exit != exitOK {
		t.Errorf("one: exit %d\n%s", got.exit, got.errOut)
	}
	invoke(t, "", "org", "create", "only")
	if got := invoke(t, "", "key", "create", "second"); got.exit != exitUsage || !strings.Contains(got.errOut, "several organisations") {
		t.Errorf("two: exit %d\n%s", got.exit, got.errOut)
	}
	if got := invoke(t, "", "key", "list", "--org", "only"); got.exit != exitUsage || !strings.Contains(got.errOut, "2 organisations") {
		t.Errorf("two of one name: exit %d\n%s", got.exit, got.errOut)
	}
}

func TestNamedServerFailures(t *testing.T) {
	serverEnvironment(t)
	foreign := httptest.NewServer(http.NotFoundHandler())
	defer foreign.Close()
	silent := httptest.NewServer(http.NotFoundHandler())
	silent.Close()
	elsewhere := httptest.NewServer(http.RedirectHandler(foreign.URL, http.StatusFound))
	defer elsewhere.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 401, `{"error":{"code":"unauthorized","message":"missing or wrong admin token"}}`)
	}))
	defer refusing.Close()
	const token = "kadm-0123456789abcdef0123456789abcdef"
	for _, test := range []struct {
		name, server, token string
		exit                int
		says                string
	}{
		{"no token", foreign.URL, "", exitUsage, "no admin token"},
		{"not a URL", "localhost:8080", token, exitUsage, "http://"},
		{"another program", foreign.URL, token, exitNotFound, "Kinora server?"},
		{"nobody", silent.URL, token, exitUnavailable, "is it running"},
		{"redirect", elsewhere.URL, token, exitFailure, "302"},
		{"wrong token", refusing.URL, token, exitUnauthorised, "KINORA_ADMIN_TOKEN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("KINORA_ADMIN_TOKEN", test.token)
			got := invoke(t, "", "org", "list", "--server", test.server)
			if got.exit != test.exit || !strings.Contains(got.errOut, test.says) {
				t.Errorf("exit %d, want %d with %q\n%s", got.exit, test.exit, test.says, got.errOut)
			}
			if strings.Contains(got.errOut, token) {
				t.Error("the token is shown")
			}
		})
	}
}

// A server that cannot be used, because its token is not ours, is named when its database is locked.
func TestDatabaseInUse(t *testing.T) {
	folder, url := startServer(t)
	if err := os.Remove(app.AdminTokenFile(folder)); err != nil {
		t.Fatal(err)
	}
	got := invoke(t, "", "org", "list", "--admin-token", "kadm-wrong-0123456789abcdef01234567")
	if got.exit != exitUnavailable || !strings.Contains(got.errOut, url) {
		t.Errorf("exit %d\n%s", got.exit, got.errOut)
	}
}

func TestAttempts(t *testing.T) {
	folder, url := startServer(t)
	key := document(t, invoke(t, "", "key", "create", "k", "--json").out)["key"].(string)
	task := invoke(t, "", "submit", "--server", url, "--key", key, "--model", "sandbox-image", "--prompt", "a kite", "--size", "64x64",
		"--webhook", "https://hooks.example.com/x?token=hidden", "--out", t.TempDir(), "--json")
	if task.exit != exitOK {
		t.Fatalf("submit: exit %d\n%s", task.exit, task.errOut)
	}
	id := document(t, task.out)["task_id"].(string)

	got := invoke(t, "", "attempts", id, "--json")
	doc := document(t, got.out)
	if got.exit != exitOK || keysOf(doc) != "deliveries generation" {
		t.Fatalf("exit %d: %v\n%s", got.exit, doc, got.errOut)
	}
	generation, _ := doc["generation"].(map[string]any)
	attempts, _ := generation["attempts"].([]any)
	deliveries, _ := doc["deliveries"].([]any)
	if generation["id"] != id || len(attempts) != 1 || len(deliveries) != 1 {
		t.Errorf("document: %v", doc)
	}
	people := invoke(t, "", "attempts", id)
	for _, want := range []string{id, "Attempt 1", "Delivery", "https://hooks.example.com/x", "evt_", "cost          $0.0, ledger entry bev_"} {
		if !strings.Contains(people.out, want) {
			t.Errorf("no %q in:\n%s%s", want, people.out, people.errOut)
		}
	}
	if strings.Contains(people.out+got.out, "hidden") {
		t.Error("the query of a caller's URL is shown")
	}
	if got := invoke(t, "", "attempts", "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P"); got.exit != exitNotFound {
		t.Errorf("unknown id: exit %d\n%s", got.exit, got.errOut)
	}
	t.Setenv("KINORA_DATA_DIR", filepath.Join(folder, "none"))
	if got := invoke(t, "", "attempts", id); got.exit != exitUnavailable || !strings.Contains(got.errOut, "--server") {
		t.Errorf("no server: exit %d\n%s", got.exit, got.errOut)
	}
}

func TestDoctor(t *testing.T) {
	folder := serverEnvironment(t)
	got := invoke(t, "", "doctor", "--json")
	doc := document(t, got.out)
	checks, _ := doc["checks"].([]any)
	if got.exit != exitOK || doc["ok"] != true || keysOf(doc) != "checks ok" || len(checks) < 5 {
		t.Fatalf("exit %d: %v\n%s", got.exit, doc, got.errOut)
	}
	if people := invoke(t, "", "doctor"); people.exit != exitOK || !strings.Contains(people.out, "All is well") || strings.Contains(people.out, "✗") {
		t.Errorf("exit %d\n%s", people.exit, people.out)
	}

	t.Setenv("KINORA_STORAGE_FOLDER", filepath.Join(folder, "kinora.db")) // a file
	sick := invoke(t, "", "doctor")
	if sick.exit != exitFailure || !strings.Contains(sick.out, "✗ storage") || !strings.Contains(sick.out, "checks failed") || sick.errOut != "" {
		t.Errorf("exit %d\n%s%s", sick.exit, sick.out, sick.errOut)
	}
	t.Setenv("KINORA_LOG_LEVEL", "loud")
	wrong := invoke(t, "", "doctor", "--json")
	if doc := document(t, wrong.out); wrong.exit != exitFailure || doc["ok"] != false || !strings.Contains(wrong.out, "log.level") {
		t.Errorf("exit %d: %v", wrong.exit, doc)
	}
}

func TestDoctorBesideAServer(t *testing.T) {
	_, url := startServer(t)
	got := invoke(t, "", "doctor")
	if got.exit != exitOK || !strings.Contains(got.out, "runs at "+url+" and is ready") || !strings.Contains(got.out, "in use by the server") {
		t.Errorf("exit %d\n%s", got.exit, got.out)
	}
}

func TestCommandsEndWithTheirContext(t *testing.T) {
	serverEnvironment(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"org", "list"}, {"migrate"}, {"serve"}} {
		if got := invokeContext(t, ended, "", args...); got.exit == exitOK || strings.Contains(got.out, "sk-") {
			t.Errorf("%v: exit %d\n%s%s", args, got.exit, got.out, got.errOut)
		}
	}
}

// Durations have days on the command line as they have in the configuration.
func TestDurationsInDays(t *testing.T) {
	serverEnvironment(t)
	if got := invoke(t, "", "org", "create", "Acme"); got.exit != exitOK {
		t.Fatalf("exit %d\n%s", got.exit, got.errOut)
	}
	for overlap, want := range map[string]struct {
		exit int
		says string
	}{
		"30d": {exitOK, "the one before it goes on for 30d"}, "1d12h": {exitOK, "goes on for 1d12h"}, "90s": {exitOK, "goes on for 1m30s"},
		"0": {exitOK, "all older secrets have ended"}, "31d": {exitUsage, "between 0 and 30 days"},
		"soon": {exitUsage, `"soon" is not a duration such as 90s, 2h or 30d`}, "-1h": {exitUsage, "is not a duration"},
	} {
		got := invoke(t, "", "org", "rotate-secret", "Acme", "--overlap="+overlap)
		if got.exit != want.exit || !strings.Contains(got.out+got.errOut, want.says) {
			t.Errorf("%s: exit %d\n%s%s", overlap, got.exit, got.out, got.errOut)
		}
	}
}
