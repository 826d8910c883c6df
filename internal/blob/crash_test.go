package blob_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/blob"
)

// TestFolderSurvivesKill kills a process in the middle of its Puts. Whatever it reported as stored is there, whatever is
// there is whole, and what else it left is swept.
func TestFolderSurvivesKill(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, reports := range []int{1, 7, 40} {
		dir := t.TempDir()
		cmd := exec.Command(executable)
		cmd.Env = append(os.Environ(), roleVariable+"=put", "KINORA_BLOB_TEST_DIR="+dir)
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var stored []string
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if stored = append(stored, lines.Text()); len(stored) == reports {
				cmd.Process.Kill() // and read on: what it still reported counts too
			}
		}
		cmd.Wait()
		if len(stored) < reports {
			t.Fatalf("the process reported only %d objects", len(stored))
		}
		s := openFolderAt(t, dir)
		for _, key := range stored {
			if !bytes.Equal(readAll(t, s, key), crashContent(key)) {
				t.Errorf("%q was reported as stored and is not whole", key)
			}
		}
		for _, key := range listKeys(t, s, "") {
			if !bytes.Equal(readAll(t, s, key), crashContent(key)) {
				t.Errorf("%q is visible and not whole", key)
			}
		}
		n, err := s.Sweep(t.Context(), time.Now().Add(time.Hour))
		if err != nil || n > putters {
			t.Errorf("Sweep = %d, %v; at most one file for each of %d Puts was expected", n, err, putters)
		}
	}
}

const putters = 4

// crashContent makes objects of up to 180 KiB, so that most of the time is spent within a Put.
func crashContent(key string) []byte {
	return bytes.Repeat([]byte(key+"\n"), 1+len(key)*100+int(key[len(key)-1])*50)
}

// runPutter puts until it is killed, and reports each key after its Put has returned.
func runPutter() int {
	s, err := blob.OpenFolder(os.Getenv("KINORA_BLOB_TEST_DIR"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var group sync.WaitGroup
	for p := range putters {
		group.Go(func() {
			for i := 0; i < 1000; i++ { // bounded, should nobody kill it
				key := fmt.Sprintf("out/%d/%d/%d", p, i/5, i)
				if _, err := s.Put(context.Background(), key, bytes.NewReader(crashContent(key)), blob.PutOptions{}); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				fmt.Println(key)
			}
		})
	}
	group.Wait()
	return 0
}

func readAll(t *testing.T, s blob.Store, key string) []byte {
	t.Helper()
	object, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	content, err := io.ReadAll(object)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestFolderKeptByPath guards the layout on disk: an operator backs it up and restores it with ordinary tools.
func TestFolderKeptByPath(t *testing.T) {
	dir := t.TempDir()
	s := openFolderAt(t, dir)
	putText(t, s, "out/2026/11/22/a.png", "content")
	content, err := os.ReadFile(dir + "/out/2026/11/22/a.png")
	if err != nil || string(content) != "content" {
		t.Errorf("the file holds %q (%v)", content, err)
	}
}
