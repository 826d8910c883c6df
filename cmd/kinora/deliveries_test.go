package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// localReceiver is a receiver that a server of this test's may deliver to.
func localReceiver(t *testing.T, status *atomic.Int32) *httptest.Server {
	t.Helper()
	rcv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "session=hidden")
		w.WriteHeader(int(status.Load()))
		_, _ = w.Write([]byte("said the receiver"))
	}))
	t.Cleanup(rcv.Close)
	t.Setenv("KINORA_NETWORK_ALLOW_PREFIXES", "127.0.0.0/8")
	t.Setenv("KINORA_WEBHOOKS_ALLOW_HTTP", "true")
	return rcv
}

// generate has an image made whose event goes to address, and returns its id.
func generate(t *testing.T, server, key, address string) string {
	t.Helper()
	task := invoke(t, "", "submit", "--server", server, "--key", key, "--model", "sandbox-image", "--prompt", "a kite", "--size", "64x64",
		"--webhook", address, "--out", t.TempDir(), "--json")
	if task.exit != exitOK {
		t.Fatalf("submit: exit %d\n%s", task.exit, task.errOut)
	}
	return document(t, task.out)["task_id"].(string)
}

// awaitDelivery waits until the search finds a delivery, and returns it.
func awaitDelivery(t *testing.T, args ...string) map[string]any {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		got := invoke(t, "", append([]string{"deliveries", "list", "--json"}, args...)...)
		if got.exit != exitOK {
			t.Fatalf("exit %d\n%s", got.exit, got.errOut)
		}
		if list := document(t, got.out)["deliveries"].([]any); len(list) > 0 {
			return list[0].(map[string]any)
		}
	}
	t.Fatalf("no delivery for %q", args)
	return nil
}

func TestDeliveries(t *testing.T) {
	var status atomic.Int32
	status.Store(410)
	rcv := localReceiver(t, &status)
	_, server := startServer(t)
	key := document(t, invoke(t, "", "key", "create", "k", "--json").out)["key"].(string)
	task := generate(t, server, key, rcv.URL+"/hook?token=hidden")

	dead := awaitDelivery(t, "--state", "dead", "--generation", task, "--status", "4xx", "--since", "1h", "--event", "generation.completed")
	id := dead["id"].(string)
	for _, args := range [][]string{{"--state", "delivered"}, {"--until", "1h"}, {"--event", "generation.failed"}, {"--status", "none"}} {
		if got := invoke(t, "", append([]string{"deliveries", "list", "--json"}, args...)...); len(document(t, got.out)["deliveries"].([]any)) != 0 {
			t.Errorf("%v: %s", args, got.out)
		}
	}
	people := invoke(t, "", "deliveries", "list", "--destination", rcv.URL, "--org", dead["organisation_id"].(string))
	if people.exit != exitOK || !strings.Contains(people.out, id) || !strings.Contains(people.out, "dead") || !strings.Contains(people.out, "410") {
		t.Errorf("exit %d\n%s%s", people.exit, people.out, people.errOut)
	}

	shown := invoke(t, "", "deliveries", "show", id)
	for _, want := range []string{id, "dead", "Attempt 1", "410", "webhook-id: evt_", "x-katalo-signature: [hidden]", `"job_id":"` + task, "set-cookie: [hidden]", "said the receiver", "127.0.0.1:"} {
		if !strings.Contains(shown.out, want) {
			t.Errorf("no %q in:\n%s%s", want, shown.out, shown.errOut)
		}
	}
	log := invoke(t, "", "deliveries", "show", id, "--json")
	if doc := document(t, log.out); doc["id"] != id || doc["attempts"] == nil {
		t.Errorf("document: %v", doc)
	}
	if strings.Contains(shown.out+log.out+people.out, "=hidden") {
		t.Error("a secret is shown")
	}

	if got := invoke(t, "", "deliveries", "revive", id, "--json"); got.exit != exitOK || len(document(t, got.out)["deliveries"].([]any)) != 1 {
		t.Errorf("revive: exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	awaitDelivery(t, "--state", "dead")
	status.Store(200)
	if got := invoke(t, "", "deliveries", "redeliver", id); got.exit != exitOK || !strings.Contains(got.errOut, "is due") {
		t.Errorf("redeliver: exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	awaitDelivery(t, "--state", "delivered")

	for _, test := range []struct {
		args []string
		exit int
		says string
	}{
		{[]string{"revive", id}, exitConflict, "is not dead"},
		{[]string{"redeliver", "dlv_01HF8Z3KQX2A6Y4N3R8M5W7V9P"}, exitNotFound, "there is no delivery"},
		{[]string{"show", "x"}, exitNotFound, "delivery not found"},
		{[]string{"list", "--destination", rcv.URL}, exitUsage, "organisation_id"},
		{[]string{"list", "--since", "yesterday"}, exitUsage, "neither a length of time"},
		{[]string{"list", "--state", "lost"}, exitUsage, "--state"},
		{[]string{"list", "--limit", "0"}, exitUsage, "--limit"},
		{[]string{"list", "--org", "Nobody"}, exitNotFound, "organisation not found"},
	} {
		if got := invoke(t, "", append([]string{"deliveries"}, test.args...)...); got.exit != test.exit || !strings.Contains(got.errOut, test.says) {
			t.Errorf("%v: exit %d, want %d with %q\n%s", test.args, got.exit, test.exit, test.says, got.errOut)
		}
	}
}

// The list follows pages until it has what it was asked for.
func TestDeliveriesListFollowsPages(t *testing.T) {
	var status atomic.Int32
	status.Store(200)
	rcv := localReceiver(t, &status)
	_, server := startServer(t)
	key := document(t, invoke(t, "", "key", "create", "k", "--json").out)["key"].(string)
	for range 3 {
		generate(t, server, key, rcv.URL)
	}
	for limit, want := range map[string]struct {
		n    int
		more bool
	}{"2": {2, true}, "3": {3, false}, "1000": {3, false}} {
		doc := document(t, invoke(t, "", "deliveries", "list", "--limit", limit, "--json").out)
		if list := doc["deliveries"].([]any); len(list) != want.n || doc["truncated"] != want.more {
			t.Errorf("limit %s: %d, truncated %v", limit, len(list), doc["truncated"])
		}
	}
}
