package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// initRole makes TestInitRole play process 1, and below it the program.
const initRole = "CPR_BATCH_TEST_INIT"

// TestInitRole is no test: it is what the tests of runAsInit start as process 1.
func TestInitRole(t *testing.T) {
	role := os.Getenv(initRole)
	if role == "" {
		return
	}
	if os.Getenv(initRole+"_BELOW") != "" {
		playBelowInit(role)
	}
	// Where process 1 can not be had, what is orphaned is left to this process all the same.
	if os.Getpid() != 1 {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(initRole+"_BELOW", "1")
	os.Exit(runAsInit())
}

// playBelowInit is the program that runs below process 1.
func playBelowInit(role string) {
	switch role {
	case "exits":
		os.Exit(7)
	case "is killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "is sent signals":
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
		fmt.Println("ready")
		fmt.Println(<-signals)
		fmt.Println(<-signals)
		os.Exit(143)
	case "leaves an orphan":
		// The shell ends at once, and its child a little later.
		output, err := exec.Command("sh", "-c", "sleep 0.2 >&- 2>&- & echo $!").Output()
		orphan, convErr := strconv.Atoi(strings.TrimSpace(string(output)))
		if err != nil || convErr != nil {
			fmt.Println(err, convErr)
			os.Exit(1)
		}
		tick := time.NewTicker(10 * time.Millisecond)
		for range 1000 {
			<-tick.C
			if errors.Is(syscall.Kill(orphan, 0), syscall.ESRCH) { // a zombie would still be there
				os.Exit(0)
			}
		}
		fmt.Println("the orphan was not waited for")
		os.Exit(1)
	}
	os.Exit(99)
}

// startInit starts the test binary as process 1, or where this user may not, as a process
// that orphans are left to.
func startInit(t *testing.T, role string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	start := func(sys *syscall.SysProcAttr) (*exec.Cmd, io.Reader, error) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInitRole$", "-test.v=false")
		cmd.Env = append(os.Environ(), initRole+"="+role)
		cmd.SysProcAttr = sys
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		return cmd, out, cmd.Start()
	}
	cmd, out, err := start(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID})
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC) {
		t.Logf("this user may not have a process 1 (%v): tried with a process that orphans are left to", err)
		cmd, out, err = start(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

func TestProcessOneHasTheStatusOfTheProgram(t *testing.T) {
	t.Parallel()
	for role, want := range map[string]int{"exits": 7, "is killed": 137, "leaves an orphan": 0} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			cmd, out := startInit(t, role)
			said, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != want {
				t.Errorf("%v, want status %d: %s", cmd.ProcessState, want, said)
			}
		})
	}
}

func TestProcessOnePassesSignalsOn(t *testing.T) {
	t.Parallel()
	cmd, out := startInit(t, "is sent signals")
	for _, step := range []struct {
		say  string
		send syscall.Signal
	}{{"ready", syscall.SIGTERM}, {"terminated", syscall.SIGUSR1}, {"user defined signal 1", 0}} {
		line, err := out.ReadString('\n')
		if err != nil || strings.TrimSpace(line) != step.say {
			t.Fatalf("it said %q, %v; want %q", line, err, step.say)
		}
		if step.send != 0 {
			if err := cmd.Process.Signal(step.send); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 143 {
		t.Errorf("%v, want status 143", cmd.ProcessState)
	}
}
