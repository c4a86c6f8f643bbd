package pyworker

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testReaper is how the test binary plays the reaper.
func testReaper(folder string) ReaperProgram {
	return ReaperProgram{Env: []string{roleVariable + "=reaper"}, Folder: folder}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// playReaped is a program with a reaper and a child in a group of its own, which has a
// child too. It says their numbers, and the reaper's whenever it is asked.
func playReaped() {
	if err := HideMemory(); err != nil { // as the program does
		fmt.Println(err)
		os.Exit(1)
	}
	r, err := StartReaper(testReaper(os.Getenv("FOLDER")), slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	child := exec.Command("sh", "-c", "sleep 600 & sleep 600")
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	r.Add(child.Process.Pid)
	fmt.Println(child.Process.Pid)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		r.mu.Lock()
		fmt.Println(r.process.Pid)
		r.mu.Unlock()
	}
	os.Exit(0) // without Close
}

// reaped is a program that plays playReaped.
type reaped struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	group int
}

func startReaped(t *testing.T, folder string) *reaped {
	t.Helper()
	p := &reaped{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0])}
	p.cmd.Env = append(os.Environ(), roleVariable+"=reaped", "FOLDER="+folder)
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.group = p.number()
	t.Cleanup(func() { _ = killGroup(p.group) })
	if !groupAlive(p.group) {
		t.Fatal("the child's group is not alive to begin with")
	}
	return p
}

// number reads a number that the program says.
func (p *reaped) number() int {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	n, convErr := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || convErr != nil {
		p.t.Fatalf("the program said %q, %v", line, err)
	}
	return n
}

// reaper asks for the reaper's process.
func (p *reaped) reaper() int {
	p.t.Helper()
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		p.t.Fatal(err)
	}
	return p.number()
}

// kill kills the program, and checks that nothing of its child's group is left in time.
func (p *reaped) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	killed := time.Now()
	_ = p.cmd.Wait()
	eventually(p.t, 2*time.Second-time.Since(killed), "the group is gone", func() bool { return !groupAlive(p.group) })
}

func TestKilledProgramLeavesNothing(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "cpr-batch-1")
	if err := os.MkdirAll(filepath.Join(folder, "model"), 0o700); err != nil {
		t.Fatal(err)
	}
	startReaped(t, folder).kill()
	eventually(t, 5*time.Second, "the folder is removed", func() bool {
		_, err := os.Lstat(folder)
		return os.IsNotExist(err)
	})
}

func TestProgramThatExitsLeavesNothing(t *testing.T) {
	t.Parallel()
	p := startReaped(t, "")
	if err := p.in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second, "the group is gone", func() bool { return !groupAlive(p.group) })
}

func TestKilledReaperIsReplaced(t *testing.T) {
	t.Parallel()
	p := startReaped(t, "")
	first := p.reaper()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "another reaper", func() bool { return p.reaper() != first })
	if !groupAlive(p.group) {
		t.Fatal("the reaper's death killed the group")
	}
	p.kill()
}

func TestReaperEndsWithItsProgramOnly(t *testing.T) {
	t.Parallel()
	p := startReaped(t, "")
	reaper := p.reaper()
	signals := []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM}
	eventually(t, 5*time.Second, "the reaper ignores signals", func() bool { return ignoresSignals(t, reaper, signals) })
	for _, s := range signals {
		if err := syscall.Kill(reaper, s); err != nil {
			t.Fatal(err)
		}
	}
	if own, err := syscall.Getpgid(reaper); err != nil || own != reaper {
		t.Errorf("the reaper is in group %d, %v: what a terminal sends reaches it", own, err)
	}
	if now := p.reaper(); now != reaper {
		t.Errorf("the reaper did not survive: %d took its place", now)
	}
	p.kill()
}

func TestReaperThatReadsNothingIsReplaced(t *testing.T) {
	t.Parallel()
	r, err := StartReaper(testReaper(""), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.mu.Lock()
	first := r.process.Pid
	r.mu.Unlock()
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "another reaper", func() bool {
		for range 1000 {
			r.Remove(99999999)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.process.Pid != first
	})
}

func TestClosedReaperKillsWhatIsLeft(t *testing.T) {
	t.Parallel()
	start := func() (*exec.Cmd, int) {
		child := exec.CommandContext(t.Context(), "sleep", "600")
		child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		return child, child.Process.Pid
	}
	r, err := StartReaper(testReaper(""), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	left, leftGroup := start()
	removed, removedGroup := start()
	r.Add(leftGroup)
	r.Add(removedGroup)
	r.Remove(removedGroup)
	r.Close()
	r.Close()
	if err := left.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the group that was left: %v", err)
	}
	if !groupAlive(removedGroup) {
		t.Error("the group that was removed was killed")
	}
	if err := killGroup(removedGroup); err != nil {
		t.Error(err)
	}
	_ = removed.Wait()
}

func TestGroupsThatAreNotOurs(t *testing.T) {
	t.Parallel()
	for _, pgid := range []int{-1, 0, 1} {
		if err := killGroup(pgid); err == nil {
			t.Errorf("killGroup(%d) has no error", pgid)
		}
	}
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
