package crash_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/npmtest"
	"github.com/kinora/kinora/internal/rig"
	"github.com/kinora/kinora/internal/simulator/sandbox"
)

// smallDisk mounts a file system of its own. Only root may; elsewhere the test says so.
type smallDisk struct{ dir string }

func newSmallDisk(t *testing.T, size string) *smallDisk {
	t.Helper()
	d := &smallDisk{dir: t.TempDir()}
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, "size="+size); err != nil {
		npmtest.Lacks(t, fmt.Sprintf("a file system of a chosen size can only be mounted by root: %v", err))
	}
	t.Cleanup(func() { _ = syscall.Unmount(d.dir, syscall.MNT_DETACH) })
	return d
}

func (d *smallDisk) remount(t *testing.T, flags uintptr, options string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", syscall.MS_REMOUNT|flags, options); err != nil {
		t.Fatal(err)
	}
}

// A full disk under the database: submits are refused clearly, nothing acknowledged is
// lost, and with room again everything goes on without a restart.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	bin := program(t)
	disk := newSmallDisk(t, "12m")
	w := worldOn(t, bin, disk.dir, "")
	p := w.start(t)
	l := newLoad()
	refused := 0
	long := strings.Repeat("a very long prompt ", 400)
	for i := 0; refused < 5; i++ {
		if i > 3000 {
			t.Fatal("the disk does not fill")
		}
		status, body, task := w.submitPrompt(t, fmt.Sprint(i, " ", long))
		switch {
		case status == http.StatusOK:
			l.acks[task] = true
		case status == http.StatusServiceUnavailable && strings.Contains(body, `"code":503`):
			refused++
		default:
			t.Fatalf("a full disk is answered %d %s", status, body)
		}
	}
	for id := range l.acks {
		if status := w.statusOf(t, id); status == "" {
			t.Fatalf("%s cannot be read while the disk is full", id)
		}
		break
	}
	disk.remount(t, 0, "size=300m")
	end := time.Now().Add(30 * time.Second)
	for {
		status, _, task := w.submitPrompt(t, "with room again")
		if status == http.StatusOK {
			l.acks[task] = true
			break
		}
		if time.Now().After(end) {
			t.Fatalf("still refuses with room again\n%s", p.Logs())
		}
		time.Sleep(50 * time.Millisecond)
	}
	acknowledged := l.acknowledged()
	w.awaitEnds(t, acknowledged)
	w.awaitDeliveries(t, acknowledged)
	stop(t, p)
	w.check(t, "", acknowledged)
}

// A read-only storage folder: outputs wait upstream and are fetched when it can be
// written again; uploads are refused; nothing is half-written.
func TestReadOnlyStorage(t *testing.T) {
	t.Parallel()
	bin := program(t)
	disk := newSmallDisk(t, "64m")
	w := worldOn(t, bin, t.TempDir(), "storage: {folder: "+disk.dir+"}")
	p := w.start(t)
	disk.remount(t, syscall.MS_RDONLY, "")
	_, _, task := w.submitPrompt(t, "into a folder that cannot be written")
	if task == "" {
		t.Fatal("not accepted: accepting needs no output storage")
	}
	for end := time.Now().Add(time.Minute); w.statusOf(t, task) != "running"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never runs")
		}
	}
	time.Sleep(3 * time.Second) // longer than the upstream takes: what it made waits for the storage
	if status := w.statusOf(t, task); status != "running" {
		t.Errorf("status %q while the storage is read-only, want running", status)
	}
	if status, body := w.upload(t); status/100 != 5 || !strings.Contains(body, "detail") {
		t.Errorf("an upload is answered %d %s", status, body)
	}
	if res, err := http.Get(w.URL + "/readyz"); err != nil || res.StatusCode == http.StatusOK {
		t.Errorf("ready with a storage that cannot be written: %v", err)
	} else {
		_ = res.Body.Close()
	}
	if files, _ := filepath.Glob(filepath.Join(disk.dir, "outputs", "*")); len(files) > 0 {
		t.Errorf("written to a read-only folder: %v", files)
	}
	disk.remount(t, 0, "")
	w.awaitEnds(t, []string{task})
	if status := w.statusOf(t, task); status != "finished" {
		t.Errorf("ended as %q with the storage back", status)
	}
	stop(t, p)
	if _, err := os.Stat(filepath.Join(disk.dir, "outputs")); err != nil {
		t.Error(err)
	}
}

func worldOn(t *testing.T, bin, dir, config string) *world {
	t.Helper()
	w := &world{dir: dir, events: map[string]map[string]bool{}, counts: map[string]int{}}
	w.listen(t)
	var err error
	w.Rig, err = rig.New(rig.Options{Binary: bin, Dir: dir, Upstream: sandbox.Config{KeepFinished: 1_000_000, URLLife: 24 * time.Hour},
		Config: quickWebhooks + "\n" + config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func (w *world) submitPrompt(t *testing.T, prompt string) (status int, body, task string) {
	t.Helper()
	text := fmt.Sprintf(`{"model":"sandbox-image","input":{"prompt":%q,"size":"64x64"},"webhook":{"url":%q}}`, prompt, w.receiver.URL)
	status, body = w.post(t, "/api/generate/submit", "application/json", strings.NewReader(text))
	return status, body, taskOf(body)
}

func (w *world) upload(t *testing.T) (int, string) {
	t.Helper()
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	part, err := m.CreateFormFile("file", "dot.gif")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(part, "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")
	_ = m.Close()
	return w.post(t, "/api/common/upload/stream", m.FormDataContentType(), &form)
}

func (w *world) post(t *testing.T, path, contentType string, body io.Reader) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+path, body)
	req.Header.Set("Authorization", "Bearer "+w.Key)
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("the program does not answer: %v", err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}
