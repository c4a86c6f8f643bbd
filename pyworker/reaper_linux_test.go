package pyworker

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

var ignoredMask = regexp.MustCompile(`(?m)^SigIgn:\s+([0-9a-f]+)$`)

// ignoresSignals tells whether a process ignores all of signals.
func ignoresSignals(t *testing.T, pid int, signals []syscall.Signal) bool {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := ignoredMask.FindSubmatch(status)
	if found == nil {
		t.Fatalf("no mask in %s", status)
	}
	mask, err := strconv.ParseUint(string(found[1]), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range signals {
		if mask&(1<<(s-1)) == 0 {
			return false
		}
	}
	return true
}

func TestZombiesAreNotAlive(t *testing.T) {
	t.Parallel()
	child := exec.CommandContext(t.Context(), "true")
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "a zombie is not alive", func() bool { return !groupAlive(child.Process.Pid) })
	if err := syscall.Kill(-child.Process.Pid, 0); err != nil {
		t.Errorf("it was no zombie: %v", err)
	}
	_ = child.Wait()
}
