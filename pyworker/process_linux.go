package pyworker

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize is what a FIFO should hold, so that a batch fits in.
const pipeSize = 1 << 20

// widen makes a FIFO larger where the system allows it.
func widen(f *os.File) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
}

// waitForExit waits until a child has ended, and leaves it to be reaped.
func waitForExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// maxRSS is a largest resident size in bytes.
func maxRSS(usage *syscall.Rusage) int64 { return usage.Maxrss << 10 }
