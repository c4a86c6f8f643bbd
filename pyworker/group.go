package pyworker

import (
	"errors"
	"fmt"
	"syscall"
)

// killGroup kills every process of a process group. A group that is gone is no error.
func killGroup(pgid int) error {
	if pgid <= 1 {
		return fmt.Errorf("kill process group %d: not a group of ours", pgid)
	}
	if err := syscall.Kill(-pgid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill process group %d: %w", pgid, err)
	}
	return nil
}
