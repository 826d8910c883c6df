package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// OwnServer is a PostgreSQL server of a test's own, which it may stop and start.
type OwnServer struct {
	DSN string

	t    testing.TB
	bin  string
	dir  string
	port int
	cred *syscall.Credential
}

// Own starts a server from the installed binaries in a temporary folder.
func Own(t testing.TB) *OwnServer {
	t.Helper()
	s := &OwnServer{t: t, bin: binaries(t)}
	dir, err := os.MkdirTemp("", "kinora-pg-")
	if err != nil {
		t.Fatal(err)
	}
	s.dir = dir
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		// PostgreSQL refuses to run as root.
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatalf("running as root, PostgreSQL needs the user postgres: %v", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		s.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	s.port = ownPort(t)
	s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "--no-sync")
	s.DSN = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// ownPort finds a port that nobody listens at. It is not among those that kernels give to outgoing
// connections, which could take it while the server is stopped.
func ownPort(t testing.TB) int {
	t.Helper()
	var last error
	for range 20 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)))
		if err == nil {
			_ = l.Close()
			return l.Addr().(*net.TCPAddr).Port
		}
		last = err
	}
	t.Fatal(last)
	return 0
}

func (s *OwnServer) data() string { return filepath.Join(s.dir, "data") }

// Start starts the server and waits until it takes connections.
func (s *OwnServer) Start() {
	s.t.Helper()
	s.command("pg_ctl", "-D", s.data(), "-w", "-l", filepath.Join(s.dir, "log"),
		"-o", fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s -c max_connections=100", s.port, s.dir), "start")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.DSN)
		if err == nil {
			_ = c.Close(ctx)
			return
		}
		if ctx.Err() != nil {
			s.t.Fatalf("PostgreSQL did not start: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Stop ends the server as a crash would: no goodbye to anybody. A stopped server stays so.
func (s *OwnServer) Stop() {
	cmd := s.cmd("pg_ctl", "-D", s.data(), "-m", "immediate", "stop")
	_ = cmd.Run()
}

func (s *OwnServer) cmd(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	return cmd
}

func (s *OwnServer) command(name string, args ...string) {
	s.t.Helper()
	// Output to a file: the server inherits it, and a pipe would keep this process waiting.
	log, err := os.Create(filepath.Join(s.dir, name+".out"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := s.cmd(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
		s.t.Fatalf("%s: %v\n%s", name, err, text)
	}
}

// binaries finds the newest installed server.
func binaries(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		sort.Strings(found)
		return filepath.Dir(found[len(found)-1])
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		t.Fatal("this test needs PostgreSQL's server binaries (initdb); on Debian: apt-get install postgresql")
	}
	return filepath.Dir(path)
}
