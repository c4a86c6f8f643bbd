package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	chaosSeed  = flag.Uint64("chaos.seed", 5, "where the chances of the chaos tests begin")
	chaosTimes = flag.Int("chaos.times", 1, "how many times as long the chaos tests are")
)

// stage is a job on which programs are started, and stopped.
type stage struct {
	dir     string
	job     string // the file's text
	output  chaosOutput
	environ []string // beside what all programs get
	pace    time.Duration
	chance  *rand.Rand

	stood   []standing // by program: what the output held when it started
	reapers map[int]bool
}

// newStage writes a job whose Predictor is chaosPredictor.
func newStage(t *testing.T, s stage) *stage {
	t.Helper()
	s.dir = t.TempDir()
	seed := *chaosSeed
	t.Logf("-chaos.seed=%d", seed)
	s.chance = rand.New(rand.NewPCG(seed, uint64(len(t.Name()))))
	s.reapers = map[int]bool{}
	if s.output == nil {
		s.output = outputFolder(filepath.Join(s.dir, "out"))
	}
	writeAll(t, s.dir, map[string]string{
		"home/none": "", "tmp/none": "", "calls": "", "job.yaml": s.job, "code/predictor.py": chaosPredictor,
	})
	t.Cleanup(func() {
		if !eventually(2*time.Second, func() bool { return len(s.living()) == 0 }) {
			t.Errorf("the programs have left processes: %s", strings.Join(s.living(), "; "))
		}
	})
	return &s
}

// living describes the processes that programs of the stage have started and that are
// alive: those that have its folder in their environment, and the reapers that were met.
func (s *stage) living() []string {
	left := processesOf(s.dir)
	for pid := range s.reapers {
		if p, ok := readProcess(pid); ok && p.isReaper {
			left = append(left, fmt.Sprintf("%d (a reaper)", pid))
		}
	}
	return left
}

// started is a program that runs, or has run.
type started struct {
	*exec.Cmd
	stage  *stage
	number int
	began  time.Time
	stderr string        // a file: a pipe might outlive the program
	ended  chan struct{} // closed when it has been waited for
	err    error
}

// start starts the program in a process group of its own, and notes what the output holds
// before. It is killed when ctx ends.
func (s *stage) start(ctx context.Context, t *testing.T, args ...string) *started {
	t.Helper()
	s.stood = append(s.stood, standingOf(t, s.output))
	args = append([]string{"cpr-batch", "run", "--config", filepath.Join(s.dir, "job.yaml"), "--progress", "none"}, args...)
	return s.launch(ctx, t, args, func(cmd *exec.Cmd) error { return cmd.Start() })
}

// launch starts a command line whose output has been noted.
func (s *stage) launch(ctx context.Context, t *testing.T, args []string, start func(*exec.Cmd) error) *started {
	t.Helper()
	p := &started{stage: s, number: len(s.stood) - 1, ended: make(chan struct{}), began: time.Now()}
	p.stderr = filepath.Join(s.dir, fmt.Sprintf("stderr-%d", p.number))
	stderr, err := os.Create(p.stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p.Cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	p.Env = append(environment(t, s.dir), fmt.Sprintf("START=%d", p.number), fmt.Sprintf("PACE=%g", s.pace.Seconds()))
	p.Env = append(p.Env, s.environ...)
	p.Stderr = stderr
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := start(p.Cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.ended
	})
	return p
}

// words are what the program has written to standard error.
func (p *started) words(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.stderr)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wait waits for the program's end, and demands one of the statuses; minus a signal's
// number is an end by that signal.
func (p *started) wait(t *testing.T, wanted ...int) int {
	t.Helper()
	<-p.ended
	status := p.ProcessState.ExitCode()
	if w, ok := p.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		status = -int(w.Signal())
	}
	if !slices.Contains(wanted, status) {
		t.Errorf("program %d ended with status %d, want one of %d\n%s", p.number, status, wanted, p.words(t))
	}
	return status
}

// hasEnded says whether the program has ended.
func (p *started) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// until waits until done, or the program's end, and says whether it was not the end.
func (p *started) until(done func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			return false
		case <-tick.C:
			if done() {
				return true
			}
		}
	}
}

// after waits for a time, or the program's end.
func (p *started) after(d time.Duration) bool {
	end := time.Now().Add(d)
	return p.until(func() bool { return time.Now().After(end) })
}

// logged waits until the log of calls has so many bytes more, or the program's end. Work
// and not time is waited for, so that a slow machine is disturbed as often as a fast one.
func (p *started) logged(more int64) bool {
	size := func() int64 {
		info, err := os.Stat(filepath.Join(p.stage.dir, "calls"))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	wanted := size() + more
	return p.until(func() bool { return size() >= wanted })
}

// signal sends a signal to the program, which may have ended.
func (p *started) signal(s syscall.Signal) { _ = p.Process.Signal(s) }

// killAll kills the program, its reaper and its workers, in this order or the other.
func (p *started) killAll(reapersFirst bool) {
	reapers := p.reapers()
	workers := p.workers()
	if !reapersFirst {
		p.signal(syscall.SIGKILL)
	}
	for _, pid := range slices.Concat(reapers, workers) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	p.signal(syscall.SIGKILL)
}

// reapers are the program's reapers that are alive: one, or none.
func (p *started) reapers() []int {
	var found []int
	for _, pid := range children(p.Process.Pid) {
		if c, ok := readProcess(pid); ok && c.isReaper {
			p.stage.reapers[pid] = true
			found = append(found, pid)
		}
	}
	return found
}

// workers are the program's workers that are alive.
func (p *started) workers() []int {
	var found []int
	for _, pid := range children(p.Process.Pid) {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && bytes.Contains(environ, []byte("CPR_BATCH_WORKER=")) {
			found = append(found, pid)
		}
	}
	return found
}

// process is what the kernel tells of one.
type process struct {
	parent   int
	isReaper bool
}

func readProcess(pid int) (process, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
		return process{}, false
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return process{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return process{parent: parent, isReaper: bytes.HasSuffix(command, []byte("\x00"+reaperName+"\x00"))}, err == nil
}

// children are the processes that a process has started itself.
func children(parent int) []int {
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, name := range found {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok && p.parent == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// undisturbed runs the stage's job to its end in a folder of its own, as fast as it goes,
// and returns that output.
func (s *stage) undisturbed(ctx context.Context, t *testing.T, settings ...string) chaosOutput {
	t.Helper()
	folder := filepath.Join(s.dir, "undisturbed")
	calm := *s
	calm.pace, calm.output, calm.stood = 0, outputFolder(folder), nil
	args := []string{"--set", "sink.jsonl.uri=" + folder + "/", "--report", "json"}
	for _, setting := range settings {
		args = append(args, "--set", setting)
	}
	calm.start(ctx, t, args...).wait(t, 0)
	if err := os.Truncate(filepath.Join(s.dir, "calls"), 0); err != nil {
		t.Fatal(err)
	}
	wantFinished(t, calm.output)
	return calm.output
}
