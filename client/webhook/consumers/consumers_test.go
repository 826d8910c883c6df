package consumers_test

import (
	"bufio"
	"bytes"
	"context"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/npmtest"
)

// receiver is a consumer of the page while it runs.
type receiver struct {
	url   string
	says  *transcript
	ended <-chan struct{} // closed when it has ended by itself
	fault func() string   // what it had to complain about
}

// Every consumer of the page verifies, drops repeats, works on what GET says, and recovers what it missed.
func TestConsumers(t *testing.T) {
	w := newWorld(t)
	for name, start := range map[string]func(t *testing.T, dir string, env, jobs []string) receiver{
		"Go":                               startGo,
		"TypeScript":                       startTypeScript,
		"TypeScript with standardwebhooks": startTypeScriptWithPackage,
		"Python":                           startPython,
		"bash":                             startBash,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			missed := w.finished(t)
			dir := t.TempDir()
			env := []string{
				// As while a rotation lasts; the organisation's own is the second one.
				"KINORA_WEBHOOK_SECRET=whsec_b3RoZXJzZWNyZXRvdGhlcnNlY3JldG90aGVyc2VjMzI= " + w.secret(),
				"KINORA_SERVER=" + w.LocalURL(), "KINORA_KEY=" + w.Bootstrapped().KeyText, "PORT=0", "KINORA_INBOX=" + filepath.Join(dir, "inbox"),
			}
			w.exercise(t, dir, start(t, dir, env, []string{missed}), missed)
		})
	}
}

// exercise plays everything that a receiver meets.
func (w *world) exercise(t *testing.T, dir string, r receiver, missed string) {
	handled := func(job, rest string) string {
		t.Helper()
		line, came := r.says.await("handled "+job+" ", r.ended)
		if want := "handled " + job + " " + rest; !came || line != want {
			t.Fatalf("got %q, want %q; it says:\n%s", line, want, r.fault())
		}
		return line
	}
	want := []string{handled(missed, "generation.completed succeeded")} // by GET

	direct := w.submit(t, r.url, "")
	want = append(want, handled(direct, "generation.completed succeeded"))
	w.redeliver(t, direct)
	want = append(want, handled(w.submit(t, r.url, "generation"), "generation.failed failed"))

	genuine := w.record(t)
	for name, forged := range forgeries(t, genuine, w.secret()) {
		if status := w.post(t, r.url, forged); status < 400 || status > 499 {
			t.Errorf("%s is answered %d", name, status)
		}
	}
	if status := w.post(t, r.url, genuine); status != 200 {
		t.Errorf("the genuine one is answered %d; it says:\n%s", status, r.fault())
	}
	again := genuine.with(webhook.HeaderSignature, "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= "+genuine.header.Get(webhook.HeaderSignature))
	if status := w.post(t, r.url, again); status != 200 {
		t.Errorf("its repeat, with a signature of somebody else's in front, is answered %d", status)
	}
	want = append(want, handled(genuine.jobID, "generation.completed succeeded"))

	// Whatever was recorded before this one is handled with it or before it.
	want = append(want, handled(w.submit(t, r.url, ""), "generation.completed succeeded"))
	got, _ := r.says.all("handled ")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("handled:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*injected*")); err != nil || len(files) > 0 {
		t.Errorf("a header was run as a program: %v %v", files, err)
	}
}

// forgeries are what must be refused, made from a genuine delivery.
func forgeries(t *testing.T, d delivery, secret string) map[string]delivery {
	t.Helper()
	now := time.Now()
	other := bytes.Replace(d.body, []byte("order-17"), []byte("order-18"), 1)
	if bytes.Equal(other, d.body) {
		t.Fatal("the delivery does not hold what is to be changed")
	}
	return map[string]delivery{
		"a changed body":                           d.saying(string(other)),
		"a body with a line end behind":            d.saying(string(d.body) + "\n"),
		"a body that was cut":                      d.saying(string(d.body[:len(d.body)-1])),
		"a changed id":                             d.with(webhook.HeaderID, "evt_01JXEVT0000000000000000001"),
		"no id":                                    d.with(webhook.HeaderID, ""),
		"a changed time":                           d.signedAt(t, now, secret).with(webhook.HeaderTimestamp, "1790000000"),
		"a genuine one of ten minutes ago":         d.signedAt(t, now.Add(-10*time.Minute), secret),
		"a genuine one of ten minutes from now":    d.signedAt(t, now.Add(10*time.Minute), secret),
		"no time":                                  d.with(webhook.HeaderTimestamp, ""),
		"a time that is no number":                 d.with(webhook.HeaderTimestamp, "soon"),
		"a time that a shell might run":            d.with(webhook.HeaderTimestamp, "a[$(touch injected)]"),
		"another secret":                           d.signedAt(t, now, "whsec_Zm9yZ2VkZm9yZ2VkZm9yZ2VkZm9yZ2VkZm9yZ2VkMzI="),
		"no signature":                             d.with(webhook.HeaderSignature, ""),
		"a signature without content":              d.with(webhook.HeaderSignature, "v1,"),
		"a signature of another version":           d.with(webhook.HeaderSignature, "v2"+strings.TrimPrefix(d.header.Get(webhook.HeaderSignature), "v1")),
		"the hexadecimal signature and no other":   d.with(webhook.HeaderID, "").with(webhook.HeaderTimestamp, "").with(webhook.HeaderSignature, ""),
		"the hexadecimal one in the other's place": d.with(webhook.HeaderSignature, "v1,"+d.header.Get(webhook.HeaderHexSignature)),
	}
}

func startGo(t *testing.T, dir string, env, jobs []string) receiver {
	npmtest.Needs(t, "go")
	source, program := write(t, dir, "consumer.go", snippet(t, "consumer.go")), filepath.Join(dir, "consumer")
	// From within this module, so that its imports are this very client.
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return startProgram(t, dir, env, append([]string{program}, jobs...)...)
}

func startTypeScript(t *testing.T, dir string, env, jobs []string) receiver {
	npmtest.Needs(t, "node")
	return startNode(t, dir, dir, snippet(t, "consumer.ts"), env, jobs)
}

func startTypeScriptWithPackage(t *testing.T, dir string, env, jobs []string) receiver {
	source, err := os.MkdirTemp(npm.Folder(t), "consumer-") // below node_modules' folder, where imports are looked for
	if err != nil {
		t.Fatal(err)
	}
	return startNode(t, dir, source, withPackage(t), env, jobs)
}

// startNode runs TypeScript as it is where Node can do that, else without its types.
func startNode(t *testing.T, dir, source, text string, env, jobs []string) receiver {
	t.Helper()
	able, err := exec.CommandContext(t.Context(), "node", "-p", "process.features.typescript === 'strip'").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, source, "consumer.ts", text)
	if strings.TrimSpace(string(able)) != "true" {
		file = write(t, source, "consumer.mjs", withoutTypes(text))
	}
	return startProgram(t, dir, env, append([]string{"node", file}, jobs...)...)
}

func startPython(t *testing.T, dir string, env, jobs []string) receiver {
	npmtest.Needs(t, "python3")
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import sys; sys.exit(sys.version_info < (3, 9))").Run(); err != nil {
		npmtest.Lacks(t, "python3 is not 3.9 or later: "+err.Error())
	}
	return startProgram(t, dir, env, append([]string{"python3", write(t, dir, "consumer.py", snippet(t, "consumer.py"))}, jobs...)...)
}

// startBash runs the page's CGI program behind net/http, and its second program over and over as cron would.
func startBash(t *testing.T, dir string, env, jobs []string) receiver {
	for _, program := range []string{"bash", "openssl", "curl"} {
		npmtest.Needs(t, program)
	}
	if err := os.Mkdir(filepath.Join(dir, "inbox"), 0o700); err != nil {
		t.Fatal(err)
	}
	var faults faultLog
	server := httptest.NewServer(&cgi.Handler{Path: write(t, dir, "webhook.cgi", snippet(t, "webhook.cgi")), Dir: dir,
		Env: append([]string{"PATH=" + os.Getenv("PATH")}, env...), Stderr: &faults})
	t.Cleanup(server.Close)

	says, stop, stopped := newTranscript(), make(chan struct{}), make(chan struct{})
	process := write(t, dir, "process.sh", snippet(t, "process.sh"))
	go func() {
		defer close(stopped)
		for ; ; jobs = nil {
			cmd := exec.Command("bash", append([]string{process}, jobs...)...)
			cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), env...), &faults
			out, err := cmd.Output()
			for line := range strings.Lines(string(out)) {
				says.add(strings.TrimSpace(line))
			}
			if err != nil {
				says.add("process.sh: " + err.Error())
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
	return receiver{url: server.URL + "/", says: says, ended: stopped, fault: faults.String}
}

// startProgram runs a consumer that says where it listens.
func startProgram(t *testing.T, dir string, env []string, args ...string) receiver {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var faults faultLog
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.WaitDelay = dir, append(os.Environ(), env...), &faults, 5*time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	says, ended := newTranscript(), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			says.add(lines.Text())
		}
		_ = cmd.Wait() // it is killed in the end
	}()
	t.Cleanup(func() { cancel(); <-ended })
	line, came := says.await("listening on ", ended)
	if !came {
		t.Fatalf("it does not listen; it says:\n%s", faults.String())
	}
	return receiver{url: strings.TrimPrefix(line, "listening on "), says: says, ended: ended, fault: faults.String}
}
