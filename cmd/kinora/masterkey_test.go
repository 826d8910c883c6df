package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/tenancy"
)

// The command does the same on the database and through a running server, which goes on with the new key at once.
func TestMasterKey(t *testing.T) {
	for _, way := range []struct {
		name  string
		setUp func(t *testing.T) (folder string)
	}{
		{"on the database", func(t *testing.T) string {
			folder := serverEnvironment(t)
			invoke(t, "", "org", "create", "default")
			return folder
		}},
		{"through the server", func(t *testing.T) string {
			folder, _ := startServer(t)
			return folder
		}},
		{"on PostgreSQL", func(t *testing.T) string {
			folder := serverEnvironment(t)
			t.Setenv("KINORA_DATABASE", storetest.PostgresDSN(t))
			if _, _, err := seal.LoadOrCreate(app.MasterKeyFile(folder)); err != nil {
				t.Fatal(err)
			}
			invoke(t, "", "org", "create", "default")
			return folder
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			tryMasterKey(t, way.setUp(t))
		})
	}
}

func tryMasterKey(t *testing.T, folder string) {
	file := app.MasterKeyFile(folder)
	status := document(t, invoke(t, "", "master-key", "status", "--json").out)
	before := status["current"].(string)
	if keysOf(status) != "current file keys nodes" || status["file"] != true {
		t.Fatalf("status: %v", status)
	}
	got := invoke(t, "", "master-key", "rotate", "--json")
	change := document(t, got.out)
	if keysOf(change) != "current forgotten made older resealed" || change["made"] != true || change["resealed"] != 1.0 || change["current"] == before {
		t.Fatalf("rotated: exit %d, %v\n%s", got.exit, change, got.errOut)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info, err)
	}
	// A secret made now is sealed with the new key, by whoever makes it.
	if made := invoke(t, "", "org", "create", "second", "--json"); made.exit != exitOK {
		t.Errorf("create: %s", made.errOut)
	}
	table := invoke(t, "", "master-key", "status")
	if !strings.Contains(table.out, change["current"].(string)+"  2       current") || !strings.Contains(table.out, before+"  0       still accepted") {
		t.Errorf("status:\n%s%s", table.out, table.errOut)
	}
	if early := invoke(t, "", "master-key", "forget-old"); early.exit != exitConflict || !strings.Contains(early.errOut, "file URLs") {
		t.Errorf("forget-old: exit %d\n%s%s", early.exit, early.out, early.errOut)
	}
	if forgot := invoke(t, "", "master-key", "forget-old", "--early"); forgot.exit != exitOK || !strings.Contains(forgot.out, before) {
		t.Errorf("forget-old --early: exit %d\n%s%s", forgot.exit, forgot.out, forgot.errOut)
	}
	keys, err := seal.LoadFile(file)
	if err != nil || len(keys) != 1 || keys[0].ID() != change["current"] {
		t.Errorf("the key file: %v", err)
	}
	text := strings.TrimSpace(invoke(t, "", "master-key", "new").out)
	if _, err := seal.ParseKey(text); err != nil || text == keys[0].Text() {
		t.Errorf("new: %v", err)
	}
}

// A file URL that was signed before works on, in the server that ran and in the next one, until it is ended.
func TestMasterKeyAndFileURLs(t *testing.T) {
	_, url := startServer(t)
	org := document(t, invoke(t, "", "key", "create", "x", "--json").out)
	run := document(t, invoke(t, "", "submit", "--server", url, "--key", org["key"].(string), "--model", "sandbox-image", "--prompt", "p", "--out", t.TempDir(), "--json").out)
	file := run["files"].([]any)[0].(map[string]any)["url"].(string)
	for _, step := range []struct {
		args   []string
		status int
	}{
		{[]string{"status"}, http.StatusOK},
		{[]string{"rotate"}, http.StatusOK},
		{[]string{"rotate"}, http.StatusOK},
		{[]string{"forget-old", "--early"}, http.StatusForbidden},
	} {
		if got := invoke(t, "", append([]string{"master-key"}, step.args...)...); got.exit != exitOK {
			t.Fatalf("%v: exit %d\n%s", step.args, got.exit, got.errOut)
		}
		if status := get(t, file); status != step.status {
			t.Errorf("after %v the URL answers %d, want %d", step.args, status, step.status)
		}
	}
}

// Killed at any moment, the command has lost nothing, and the next run finishes what it began.
func TestMasterKeyRotationIsKilled(t *testing.T) {
	folder := serverEnvironment(t)
	file := app.MasterKeyFile(folder)
	invoke(t, "", "org", "create", "first")
	texts := fill(t, folder, file, 1500)
	killed := 0
	for i := 0; ; i++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "master-key", "rotate", "--json")
		cmd.Env = append(os.Environ(), "KINORA_TEST_AS_PROGRAM=1") // see TestMain
		var errOut strings.Builder
		cmd.Stderr = &errOut
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(i*i)*3*time.Millisecond, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if err == nil {
			break
		}
		killed++
		if code := cmd.ProcessState.ExitCode(); code != -1 {
			t.Fatalf("exit %d: %s", code, errOut.String())
		}
		if keys, err := seal.LoadFile(file); err != nil {
			t.Fatalf("the key file after %d kills: %d keys, %v", killed, len(keys), err)
		}
	}
	if killed == 0 {
		t.Fatal("never killed")
	}
	t.Logf("killed %d times", killed)
	keys, err := seal.LoadFile(file)
	if err != nil || len(keys) < 2 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	openSecrets(t, folder, keys[:1], func(s *tenancy.Service) {
		for org, text := range texts {
			if got, err := s.WebhookSecrets(t.Context(), org); err != nil || len(got) != 1 || got[0].Text != text {
				t.Fatalf("%s: %v, %v", org, got, err)
			}
		}
	})
}

// fill makes organisations and returns their secrets.
func fill(t *testing.T, folder, file string, n int) map[string]string {
	t.Helper()
	keys, err := seal.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	openSecrets(t, folder, keys, func(s *tenancy.Service) {
		for i := range n {
			name := fmt.Sprint("org ", i)
			org, secret, err := s.CreateOrganisation(t.Context(), tenancy.OrganisationChange{Name: &name})
			if err != nil {
				t.Fatal(err)
			}
			texts[org.ID] = secret.Text
		}
	})
	return texts
}

func openSecrets(t *testing.T, folder string, keys []seal.Key, do func(*tenancy.Service)) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{DSN: folder + "/kinora.db"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ring, err := seal.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	do(tenancy.New(db, ring, tenancy.Options{}))
}
