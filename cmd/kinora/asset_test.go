package main

import (
	"bytes"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

// sendSource brings an image of that size and returns its ingest's id.
func sendSource(t *testing.T, server, key, once string, side int) string {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "p.png")
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(file, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	_ = form.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server+"/api/v1/source-assets", &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Idempotency-Key", once)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("answered %d %s", resp.StatusCode, text)
	}
	return document(t, string(text))["ingest_id"].(string)
}

func TestAssetCommand(t *testing.T) {
	_, server := startServer(t)
	key := document(t, invoke(t, "", "key", "create", "k", "--json").out)["key"].(string)
	one, two := sendSource(t, server, key, "one", 600), sendSource(t, server, key, "two", 700)
	for {
		got := document(t, invoke(t, "", "asset", "list", "--state", "ready", "--json").out)
		if len(got["source_assets"].([]any)) == 2 {
			break
		}
	}
	shown := document(t, invoke(t, "", "asset", "show", one, "--json").out)
	if shown["ingest_id"] != one || shown["state"] != "ready" || shown["width"] != 600.0 {
		t.Fatalf("%v", shown)
	}
	asset := shown["id"].(string)
	list := invoke(t, "", "asset", "list")
	if list.exit != exitOK || !strings.Contains(list.out, asset) || !strings.Contains(list.out, "600×600") || !strings.Contains(list.out, "image/png") || !strings.Contains(list.out, "sent") {
		t.Errorf("exit %d\n%s%s", list.exit, list.out, list.errOut)
	}
	if short := invoke(t, "", "asset", "list", "--limit", "1"); strings.Contains(short.out, asset) || !strings.Contains(short.out, "There are more") {
		t.Errorf("%s%s", short.out, short.errOut)
	}
	if got := invoke(t, "", "asset", "show", asset); got.exit != exitOK || !strings.Contains(got.out, "600 × 600 pixels") || !strings.Contains(got.out, one) || !strings.Contains(got.out, "assets/") {
		t.Errorf("exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	if got := invoke(t, "", "asset", "delete", asset); got.exit != exitOK || !strings.Contains(got.out, "is removed") {
		t.Errorf("exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	if got := document(t, invoke(t, "", "asset", "delete", two, "--json").out); got["removed"] != true {
		t.Errorf("%v", got)
	}
	for _, test := range []struct {
		args []string
		exit int
		says string
	}{
		{[]string{"show", asset}, exitNotFound, "source asset not found"},
		{[]string{"delete", one}, exitNotFound, "source asset not found"},
		{[]string{"show", "x"}, exitNotFound, "source asset not found"},
		{[]string{"list", "--org", "Nobody"}, exitNotFound, "organisation not found"},
		{[]string{"list", "--limit", "0"}, exitUsage, "--limit"},
	} {
		if got := invoke(t, "", append([]string{"asset"}, test.args...)...); got.exit != test.exit || !strings.Contains(got.errOut, test.says) {
			t.Errorf("%v: exit %d, want %d with %q\n%s", test.args, got.exit, test.exit, test.says, got.errOut)
		}
	}
}
