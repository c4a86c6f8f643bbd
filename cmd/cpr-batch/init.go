package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/cpr-batch/cpr-batch/pyworker"
)

// runAsInit is what the program does as process 1, the first of a container: it starts
// itself again as a child, passes all signals on to it, and waits for every process that
// is left to it, so that none stays a zombie. It returns the child's exit status, 128 and
// the signal's number where one ended it.
func runAsInit() int {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	defer signal.Stop(signals)
	_ = pyworker.HideMemory() // its environment is the program's
	child, err := startAgain()
	if err != nil {
		fmt.Fprintf(os.Stderr, "cpr-batch: start the program below process 1: %v\n", err)
		return 1
	}
	ended := make(chan syscall.WaitStatus)
	go reapUntil(child, ended)
	for {
		select {
		case s := <-signals:
			if number, ok := s.(syscall.Signal); ok && isForChild(number) {
				_ = syscall.Kill(child, number)
			}
		case status := <-ended:
			if status.Signaled() {
				return 128 + int(status.Signal())
			}
			return status.ExitStatus()
		}
	}
}

// startAgain starts this program with the same arguments, in a process group of its own:
// the terminal's signals then reach it once, not twice.
func startAgain() (int, error) {
	path, err := os.Executable()
	if err != nil {
		return 0, err
	}
	attr := &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setpgid: true}}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		attr.Sys.Foreground = true // so that it may read from the terminal
	}
	child, err := os.StartProcess(path, os.Args, attr)
	if err != nil && attr.Sys.Foreground { // the terminal is another session's
		attr.Sys.Foreground = false
		child, err = os.StartProcess(path, os.Args, attr)
	}
	if err != nil {
		return 0, err
	}
	pid := child.Pid
	return pid, child.Release() // reapUntil waits for it
}

// reapUntil waits for every child, those that the system leaves to process 1 included,
// until one has ended, and then for those that ended meanwhile.
func reapUntil(child int, ended chan<- syscall.WaitStatus) {
	var last syscall.WaitStatus
	options := 0
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, options, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil, pid == 0:
			ended <- last
			return
		case pid == child:
			last, options = status, syscall.WNOHANG
		}
	}
}

// isForChild tells whether a signal that process 1 was sent means the program: those
// about its own children, its terminal and its runtime do not.
func isForChild(s syscall.Signal) bool {
	switch s {
	case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE, syscall.SIGTTIN, syscall.SIGTTOU:
		return false
	}
	return true
}
