package runs

import (
	"bytes"
	"errors"
	"os"
	"strconv"
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
	pid := os.Getpid()
	return process{Space: strings.TrimSpace(string(boot)) + " " + namespace, PID: pid, Start: started(pid)}
}

// gone says whether a process of this machine does not run any more; its PID may have been
// given to another one since.
func gone(p process) bool {
	if p.PID <= 0 {
		return false
	}
	if errors.Is(syscall.Kill(p.PID, 0), syscall.ESRCH) {
		return true
	}
	start := started(p.PID)
	return p.Start != "" && start != "" && start != p.Start
}

// started tells when a process was started, in ticks since the machine was; "" where that
// can not be known.
func started(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The name, in parentheses, may hold anything: what is counted comes behind it.
	name := bytes.LastIndexByte(stat, ')')
	const starttime = 22 - 3 // proc_pid_stat(5) counts from 1, and the name is number 2
	if fields := bytes.Fields(stat[name+1:]); len(fields) > starttime {
		return string(fields[starttime])
	}
	return ""
}
