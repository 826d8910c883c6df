package blob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/npmtest"
)

// TestFolderOnRealDisk fills a real file system of one megabyte and makes it read-only. Mounting it takes a user and mount
// namespace of its own, which not every machine grants.
func TestFolderOnRealDisk(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable)
	cmd.Env = append(os.Environ(), roleVariable+"=disk", "KINORA_BLOB_TEST_DIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || errors.As(err, &exit) && exit.ExitCode() == exitNoMount {
		npmtest.Lacks(t, fmt.Sprintf("this machine grants no mount namespace: %v %s", err, out))
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

const exitNoMount = 77

func runOnSmallDisk() int {
	dir := os.Getenv("KINORA_BLOB_TEST_DIR")
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		fmt.Println(err)
		return exitNoMount
	}
	if err := onSmallDisk(dir); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func onSmallDisk(dir string) error {
	ctx := context.Background()
	s, err := blob.OpenFolder(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Put(ctx, "out/small.png", strings.NewReader("small"), blob.PutOptions{}); err != nil {
		return err
	}
	_, err = s.Put(ctx, "out/big.mp4", io.LimitReader(zeros{}, 8<<20), blob.PutOptions{})
	if !errors.Is(err, blob.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("Put on a full disk: %w", err)
	}
	if _, err := s.Stat(ctx, "out/big.mp4"); !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("the object that did not fit: %w", err)
	}
	if n, err := s.Sweep(ctx, time.Now().Add(time.Hour)); n != 0 || err != nil {
		return fmt.Errorf("%d leftovers, %w", n, err)
	}
	if _, err := s.Put(ctx, "out/next.png", io.LimitReader(zeros{}, 500<<10), blob.PutOptions{}); err != nil {
		return fmt.Errorf("the room was not given back: %w", err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		return err
	}
	_, err = s.Put(ctx, "out/new.png", strings.NewReader("x"), blob.PutOptions{})
	for op, err := range map[string]error{"Put": err, "Delete": s.Delete(ctx, "out/small.png"), "Check": s.Check(ctx)} {
		if !errors.Is(err, blob.ErrDenied) || !strings.Contains(err.Error(), "read-only") {
			return fmt.Errorf("%s on a read-only disk: %w", op, err)
		}
	}
	if _, err := s.Stat(ctx, "out/small.png"); err != nil {
		return fmt.Errorf("reading from a read-only disk: %w", err)
	}
	return nil
}
