package blob_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/kinora/kinora/internal/blob/blobtest"
)

// roleVariable makes this test binary play another part when a test starts it again.
const roleVariable = "KINORA_BLOB_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
	case "s3":
		serveS3()
		return
	case "put":
		os.Exit(runPutter())
	case "disk":
		os.Exit(runOnSmallDisk())
	case "denied":
		if err := checkDenied(os.Getenv("KINORA_BLOB_TEST_DIR")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	default:
		fmt.Fprintf(os.Stderr, "unknown role %q\n", role)
		os.Exit(2)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		s3Process.stop()
		os.Exit(code)
	}))
}

const testBucket = "kinora-test"

// serveS3 serves until standard input ends, which it does at the latest when the parent dies.
func serveS3() {
	handler, err := blobtest.S3Handler(testBucket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server := httptest.NewServer(handler)
	fmt.Println(server.URL)
	io.Copy(io.Discard, os.Stdin)
	server.Close()
}

// s3Process is an S3 service in a process of its own: it keeps the objects in memory, and the suite measures the memory of
// the process that it runs in.
var s3Process serviceProcess

type serviceProcess struct {
	once     sync.Once
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	endpoint string
	err      error
}

func (p *serviceProcess) start(t *testing.T) (endpoint string) {
	t.Helper()
	p.once.Do(func() { p.err = p.run() })
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.endpoint
}

func (p *serviceProcess) run() error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	p.cmd = exec.Command(executable)
	p.cmd.Env = append(os.Environ(), roleVariable+"=s3")
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	p.endpoint = strings.TrimSpace(line)
	return err
}

func (p *serviceProcess) stop() {
	if p.stdin != nil {
		p.stdin.Close()
		p.cmd.Wait()
	}
}
