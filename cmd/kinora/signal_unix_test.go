//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startProcess runs `kinora serve --json` as a process of its own, and reads what it says once it is ready.
func startProcess(t *testing.T) (cmd *exec.Cmd, doc map[string]any) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], "serve", "--json")
	cmd.Env = append(os.Environ(), "KINORA_TEST_AS_PROGRAM=1") // see TestMain
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(out).Decode(&doc); err != nil {
		t.Fatalf("no document: %v", err)
	}
	return cmd, doc
}

func TestServeStopsOnSIGTERM(t *testing.T) {
	serverEnvironment(t)
	cmd, _ := startProcess(t)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("a graceful stop ended with %v", err)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	serverEnvironment(t)
	t.Setenv("KINORA_SHUTDOWN_GRACE", "10m")
	cmd, doc := startProcess(t)
	made := doc["made"].(map[string]any)
	// A request that never ends keeps the graceful stop waiting.
	conn, err := net.Dial("tcp", doc["address"].(string))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/generate/submit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n", made["key"])
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the request is not being read: %q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	end := time.Now().Add(time.Minute)
	for answers(doc["url"].(string)) { // until the first signal has been acted on
		if time.Now().After(end) {
			t.Fatal("it goes on after a signal")
		}
		time.Sleep(10 * time.Millisecond)
	}
	// Repeated, for the default action may come back a moment later than the listener closes.
	for waiting := true; waiting; {
		if time.Now().After(end) {
			t.Fatal("it goes on after several signals")
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			waiting = false
		case <-time.After(20 * time.Millisecond):
		}
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v", cmd.ProcessState)
	}
}

func answers(url string) bool {
	transport := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequest(http.MethodGet, url+"/healthz", nil)
	if err != nil {
		return false
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}
