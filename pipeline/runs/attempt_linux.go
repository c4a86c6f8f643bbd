package runs

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// self names this process. The kernel's boot ID and the PID namespace make its PID unique,
// also on a disk that several machines share.
func self() process {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return process{PID: os.Getpid()}
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return process{PID: os.Getpid()}
	}
	return process{Space: strings.TrimSpace(string(boot)) + " " + namespace, PID: os.Getpid()}
}

// gone says whether there is no process of this PID. One that was given the PID of a dead
// one passes for it: then what that left stays until the run is finished.
func gone(pid int) bool {
	return pid > 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
