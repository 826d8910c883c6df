package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// pictureFile writes a picture that has something in it, as gates want.
func pictureFile(t *testing.T) string {
	t.Helper()
	picture := image.NewRGBA(image.Rect(0, 0, 800, 600))
	for y := range 600 {
		for x := range 800 {
			picture.Set(x, y, color.RGBA{uint8(x / 4), uint8(y / 3), uint8((x/80 + y/60) % 2 * 160), 255})
		}
	}
	name := filepath.Join(t.TempDir(), "room.png")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := png.Encode(file, picture); err != nil {
		t.Fatal(err)
	}
	return name
}

// What people make in the dashboard is made by command, with an organisation's key or by an operator for it.
func TestGenerationsOfWorkflows(t *testing.T) {
	_, server := startServer(t)
	key := document(t, invoke(t, "", "key", "create", "k", "--json").out)["key"].(string)
	picture, dir := pictureFile(t), t.TempDir()
	asCaller := []string{"--server", server, "--key", key, "--json"}
	asOperator := []string{"--org", "default", "--json"}
	run := func(exit int, as []string, args ...string) map[string]any {
		t.Helper()
		var out, errOut bytes.Buffer // with a real clock: a hasty one would use up the limits of reads
		if got := newConsole(strings.NewReader(""), &out, &errOut).run(t.Context(), append(args, as...)); got != exit {
			t.Fatalf("%v: exit %d, want %d\n%s%s", args, got, exit, out.String(), errOut.String())
		}
		return document(t, out.String())
	}

	made := run(exitOK, asCaller, "create", "pro_capture", "--source", picture, "--capture-type", "photo", "--room", "Kitchen", "--reference", "order-17",
		"--metadata", `{"row":7}`, "--out", dir, "--idempotency-key", "once")
	if keysOf(made) != "capture_type completed_at created_at failure files job_id metadata mode model parent_job_id progress reference room_types source_asset_id status style_preset workflow" ||
		made["status"] != "succeeded" || made["reference"] != "order-17" {
		t.Fatalf("made %v", made)
	}
	id := made["job_id"].(string)
	file := made["files"].([]any)[0].(map[string]any)["file"].(map[string]any)
	if _, err := os.Stat(file["path"].(string)); err != nil || filepath.Dir(file["path"].(string)) != dir || !strings.HasPrefix(filepath.Base(file["path"].(string)), id) {
		t.Errorf("file %v, %v", file, err)
	}
	again := run(exitOK, asCaller, "create", "pro_capture", "--source", picture, "--capture-type", "photo", "--room", "Kitchen", "--reference", "order-17",
		"--metadata", `{"row":7}`, "--out", dir, "--idempotency-key", "once", "--no-wait")
	if again["job_id"] != id {
		t.Errorf("the same command made %v, and %s before", again["job_id"], id)
	}

	anew := run(exitOK, asOperator, "regenerate", id, "--room", "Bathroom", "--no-wait")
	if anew["parent_job_id"] != id || anew["job_id"] == id || anew["room_types"].([]any)[0] != "Bathroom" || anew["reference"] != "order-17" {
		t.Errorf("made anew: %v", anew)
	}
	ended := run(exitOK, asOperator, "status", anew["job_id"].(string), "--wait", "--out", dir)
	if ended["status"] != "succeeded" || len(ended["files"].([]any)) == 0 {
		t.Errorf("it ended as %v", ended)
	}

	asset := made["source_asset_id"].(string)
	other := run(exitOK, asOperator, "create", "staging", "--source", asset, "--capture-type", "photo", "--mode", "clean", "--set", "style_preset=Modern", "--no-wait")
	run(exitOK, asOperator, "cancel", other["job_id"].(string))
	if got := run(exitGeneration, asOperator, "status", other["job_id"].(string)); got["failure"].(map[string]any)["code"] != "cancelled" {
		t.Errorf("cancelled: %v", got)
	}

	list := run(exitOK, asOperator, "list", "--limit", "2")
	if all := list["generations"].([]any); len(all) != 2 || list["truncated"] != true || all[0].(map[string]any)["job_id"] != other["job_id"] {
		t.Errorf("listed %v", list)
	}
	if few := run(exitOK, asCaller, "list", "--workflow", "staging", "--status", "cancelled", "--since", "1h"); len(few["generations"].([]any)) != 1 || few["truncated"] != false {
		t.Errorf("listed %v", few)
	}
	if text := invoke(t, "", "list", "--org", "default", "--reference", "order-17"); text.exit != exitOK || !strings.Contains(text.out, id) || strings.Contains(text.out, other["job_id"].(string)) {
		t.Errorf("exit %d\n%s%s", text.exit, text.out, text.errOut)
	}

	// In the audit log it is the operator's; what keys do is not in it.
	log := invoke(t, "", "audit", "--action", "generation")
	for _, want := range []string{"generation.regenerate", "generation.create", "generation.cancel", anew["job_id"].(string)} {
		if !strings.Contains(log.out, want) {
			t.Errorf("the audit log lacks %s:\n%s", want, log.out)
		}
	}
	if strings.Contains(log.out, id+" ") {
		t.Errorf("what a key made is in the audit log:\n%s", log.out)
	}

	if text := invoke(t, "", "attempts", anew["job_id"].(string)); !strings.Contains(text.out, "submitted by  operator") {
		t.Errorf("who made it anew is not told:\n%s%s", text.out, text.errOut)
	}

	added := run(exitOK, []string{"--json"}, "asset", "add", picture)
	if keysOf(added) != "failure ingest_id source_asset_id status" || added["status"] != "ready" {
		t.Errorf("added %v", added)
	}
	invoke(t, "", "org", "create", "Acme")
	for _, test := range []struct {
		args []string
		exit int
		says string
	}{
		{[]string{"create", "pro_capture", "--source", "/does/not/exist", "--org", "default"}, exitUsage, "--source"},
		{[]string{"create", "nothing", "--source", asset, "--org", "default"}, exitUsage, "workflow"},
		{[]string{"create", "pro_capture", "--source", asset, "--org", "default", "--metadata", "{"}, exitUsage, "--metadata"},
		{[]string{"create", "pro_capture", "--source", asset, "--org", "default", "--set", "a"}, exitUsage, "KEY=VALUE"},
		{[]string{"create", "pro_capture", "--source", asset, "--org", "default", "--set", "a=[1]"}, exitUsage, "list of texts"},
		{[]string{"create", "pro_capture", "--source", asset, "--org", "default", "--set", "a=1", "--set", "a=2"}, exitUsage, "twice"},
		{[]string{"regenerate", id, "--org", "Acme"}, exitNotFound, "not found"},
		{[]string{"status", id, "--org", "Acme"}, exitNotFound, "not found"},
		{[]string{"list", "--org", "Nobody"}, exitNotFound, "organisation not found"},
		{[]string{"list", "--limit", "0", "--org", "default"}, exitUsage, "--limit"},
		{[]string{"list"}, exitUsage, "--org"},
		{[]string{"asset", "add", "/does/not/exist", "--org", "default"}, exitUsage, "exist"},
	} {
		if got := invoke(t, "", test.args...); got.exit != test.exit || !strings.Contains(got.errOut, test.says) {
			t.Errorf("%v: exit %d, want %d with %q\n%s", test.args, got.exit, test.exit, test.says, got.errOut)
		}
	}
	if got := run(exitOK, asOperator, "submit", "--model", "sandbox-image", "--prompt", "a kite", "--out", dir); got["status"] != "finished" {
		t.Errorf("submitted %v", got)
	}
}

// A field of a workflow's own is a list where its value is one in JSON, and text where it only looks like one.
func TestOwnFields(t *testing.T) {
	got, err := ownFields([]string{"note=[draft] loft", "open=[", "style=Modern", "empty=", "sum=a=b", `rooms=["Living Room","Hall"]`, `none= []`})
	want := map[string]any{"note": "[draft] loft", "open": "[", "style": "Modern", "empty": "", "sum": "a=b", "rooms": []string{"Living Room", "Hall"}, "none": []string{}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, wrong := range []string{"[1]", `["a",2]`, "[[]]"} {
		if got, err := ownFields([]string{"a=" + wrong}); err == nil {
			t.Errorf("%s is taken as %v", wrong, got)
		}
	}
}
