//go:build !linux

package rig

import (
	"os"
	"os/exec"
)

func dieWithParent(*exec.Cmd) {}

func interrupt(cmd *exec.Cmd) error { return cmd.Process.Signal(os.Interrupt) }
