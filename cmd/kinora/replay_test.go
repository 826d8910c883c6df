package main

import (
	"strings"
	"sync/atomic"
	"testing"
)

func TestReplayCommand(t *testing.T) {
	var status atomic.Int32
	status.Store(410)
	rcv := localReceiver(t, &status)
	_, server := startServer(t)
	key := document(t, invoke(t, "", "key", "create", "k", "--json").out)["key"].(string)
	generate(t, server, key, rcv.URL)
	generate(t, server, key, rcv.URL)
	for {
		got := document(t, invoke(t, "", "deliveries", "list", "--state", "dead", "--json").out)
		if len(got["deliveries"].([]any)) == 2 {
			break
		}
	}
	status.Store(200)
	none := invoke(t, "", "replay", "start", "--since", "1h", "--destination", "https://elsewhere.example", "--json")
	if doc := document(t, none.out); none.exit != exitOK || doc["state"] != "finished" || doc["total"] != 0.0 {
		t.Errorf("exit %d\n%s%s", none.exit, none.out, none.errOut)
	}
	got := invoke(t, "", "replay", "start", "--since", "1h", "--rate", "100")
	if got.exit != exitOK || !strings.Contains(got.out, "finished, 100 %") || !strings.Contains(got.out, "2 of 2") || !strings.Contains(got.errOut, "kinora replay status") {
		t.Fatalf("exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	awaitDelivery(t, "--state", "delivered")
	id := strings.Fields(got.out)[0]
	shown := document(t, invoke(t, "", "replay", "status", id, "--json").out)
	if shown["id"] != id || shown["revived"] != 2.0 || shown["outcomes"] == nil {
		t.Errorf("%v", shown)
	}
	if people := invoke(t, "", "replay", "list"); !strings.Contains(people.out, id) || !strings.Contains(people.out, "finished") {
		t.Errorf("list: %s%s", people.out, people.errOut)
	}
	if begun := invoke(t, "", "replay", "start", "--delivered", "--rate", "1", "--no-wait", "--json"); begun.exit != exitOK {
		t.Errorf("exit %d\n%s", begun.exit, begun.errOut)
	} else if got := invoke(t, "", "replay", "status", document(t, begun.out)["id"].(string), "--watch"); got.exit != exitOK || !strings.Contains(got.errOut, "100 %") {
		t.Errorf("watched: exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	for _, test := range []struct {
		args []string
		exit int
		says string
	}{
		{[]string{"cancel", id}, exitConflict, "ended already"},
		{[]string{"status", "rpl_01HF8Z3KQX2A6Y4N3R8M5W7V9P"}, exitNotFound, "there is no replay"},
		{[]string{"start", "--rate", "1001"}, exitUsage, "rate"},
		{[]string{"start", "--org", "Nobody"}, exitNotFound, "organisation not found"},
	} {
		if got := invoke(t, "", append([]string{"replay"}, test.args...)...); got.exit != test.exit || !strings.Contains(got.errOut, test.says) {
			t.Errorf("%v: exit %d, want %d with %q\n%s", test.args, got.exit, test.exit, test.says, got.errOut)
		}
	}
}

func TestWebhookTestCommand(t *testing.T) {
	var status atomic.Int32
	status.Store(200)
	rcv := localReceiver(t, &status)
	startServer(t)
	if got := invoke(t, "", "webhook", "test"); got.exit != exitUsage || !strings.Contains(got.errOut, "no default callback URL") {
		t.Errorf("exit %d\n%s", got.exit, got.errOut)
	}
	got := invoke(t, "", "webhook", "test", rcv.URL)
	for _, want := range []string{"✓ delivered", "task_TEST", "said the receiver", `"metadata":{"test":true}`, "first byte"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in:\n%s%s", want, got.out, got.errOut)
		}
	}
	status.Store(500)
	failed := invoke(t, "", "webhook", "test", rcv.URL, "--json")
	if doc := document(t, failed.out); failed.exit != exitFailure || failed.errOut != "" || doc["delivered"] != false {
		t.Errorf("exit %d: %v\n%s", failed.exit, doc, failed.errOut)
	}
	if list := document(t, invoke(t, "", "webhook", "test", "--list", "--json").out)["tests"].([]any); len(list) != 2 || list[0].(map[string]any)["delivered"] != false {
		t.Errorf("listed %v", list)
	}
	if text := invoke(t, "", "webhook", "test", "--list"); text.exit != exitOK || !strings.Contains(text.out, rcv.URL) || !strings.Contains(text.out, "yes") {
		t.Errorf("exit %d\n%s%s", text.exit, text.out, text.errOut)
	}
	if text := invoke(t, "", "webhook", "test", rcv.URL, "--list"); text.exit != exitUsage {
		t.Errorf("a list to somewhere: exit %d", text.exit)
	}
	if got := invoke(t, "", "webhook", "test", "http://10.0.0.1/"); got.exit != exitUsage {
		t.Errorf("a private address: exit %d\n%s", got.exit, got.errOut)
	}
	job := strings.Fields(got.out[strings.Index(got.out, "task_TEST"):])[0]
	if got := invoke(t, "", "attempts", job); got.exit != exitNotFound {
		t.Errorf("the generation that never was: exit %d\n%s", got.exit, got.errOut)
	}
}

// Wherever an endpoint can be named, its name does as well as its id, and what is none is refused.
func TestEndpointsByName(t *testing.T) {
	var status atomic.Int32
	status.Store(410)
	rcv := localReceiver(t, &status)
	_, server := startServer(t)
	key := document(t, invoke(t, "", "key", "create", "k", "--json").out)["key"].(string)
	endpoint := document(t, invoke(t, "", "endpoint", "add", "ledger", rcv.URL, "--json").out)
	id, org := endpoint["id"].(string), endpoint["organisation_id"].(string)
	generate(t, server, key, rcv.URL+"/own")
	for _, ref := range []string{"ledger", id} {
		if d := awaitDelivery(t, "--org", org, "--endpoint", ref, "--state", "dead"); d["endpoint_id"] != id {
			t.Errorf("%s: %v", ref, d)
		}
	}
	status.Store(200)
	enabled := invoke(t, "", "endpoint", "enable", "ledger") // the 410 has disabled it
	replay := invoke(t, "", "replay", "start", "--endpoint", "ledger", "--json")
	if doc := document(t, replay.out); enabled.exit != exitOK || replay.exit != exitOK || doc["endpoint_id"] != id || doc["total"] != 1.0 {
		t.Errorf("exit %d, %d\n%s%s", enabled.exit, replay.exit, replay.out, replay.errOut)
	}
	trial := invoke(t, "", "webhook", "test", "--endpoint", "ledger", "--json")
	if doc := document(t, trial.out); trial.exit != exitOK || doc["endpoint_id"] != id {
		t.Errorf("exit %d\n%s%s", trial.exit, trial.out, trial.errOut)
	}
	for _, args := range [][]string{{"deliveries", "list", "--org", org}, {"replay", "start"}, {"webhook", "test"}} {
		if got := invoke(t, "", append(args, "--endpoint", "legder")...); got.exit != exitNotFound || !strings.Contains(got.errOut, "endpoint not found") {
			t.Errorf("%v: exit %d\n%s%s", args, got.exit, got.out, got.errOut)
		}
	}
	if got := invoke(t, "", "endpoint", "remove", id); got.exit != exitOK {
		t.Fatalf("exit %d\n%s", got.exit, got.errOut)
	}
	if d := awaitDelivery(t, "--org", org, "--endpoint", id); d["endpoint_id"] != id {
		t.Errorf("removed: %v", d)
	}
	if got := invoke(t, "", "replay", "start", "--endpoint", id); got.exit != exitNotFound {
		t.Errorf("removed: exit %d\n%s", got.exit, got.errOut)
	}
}
