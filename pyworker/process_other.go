//go:build !linux

package pyworker

import (
	"os"
	"syscall"
)

// widen leaves a FIFO as large as the system makes it.
func widen(*os.File) {}

// waitForExit does nothing: here a child's end is learnt only by reaping it.
func waitForExit(int) {}

// maxRSS is a largest resident size in bytes.
func maxRSS(usage *syscall.Rusage) int64 { return usage.Maxrss }
