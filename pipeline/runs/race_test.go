package runs_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func TestOneOfManyAttemptsCommits(t *testing.T) {
	t.Parallel()
	const attempts = 16
	store, folder := objects.NewLocal(), t.TempDir()
	var mu sync.Mutex
	var won []string
	var wait sync.WaitGroup
	start := make(chan struct{})
	for range attempts {
		wait.Go(func() {
			<-start
			run, err := runs.Begin(t.Context(), plan(2).config(store, folder))
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = run.Close() }()
			record, err := prepare(t.Context(), store, run, 0, "one\n")
			if err != nil {
				t.Error(err)
				return
			}
			record, err = run.Commit(t.Context(), record)
			switch {
			case err == nil:
				mu.Lock()
				won = append(won, run.Attempt())
				mu.Unlock()
			case !errors.Is(err, pipeline.ErrCommitted):
				t.Error(err)
			}
			// Whoever lost publishes the winner's part too, at the same time.
			if err := run.Publish(t.Context(), record); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	wait.Wait()
	if len(won) != 1 {
		t.Fatalf("%d attempts won", len(won))
	}
	if record, err := inspect(t, store, folder).Record(t.Context(), "00000-of-00002"); err != nil || record.Attempt != won[0] {
		t.Errorf("%+v, %v", record, err)
	}
}

func TestOneOfManyProcessesCommits(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	var children []*process
	for range 4 {
		children = append(children, startProcess(t, folder))
	}
	ids := make(map[string]bool)
	for _, c := range children {
		ids[strings.TrimPrefix(c.line(t), "ready ")] = true
	}
	if len(ids) != 1 {
		t.Errorf("the processes are at %d runs", len(ids))
	}
	for _, c := range children {
		if _, err := io.WriteString(c.stdin, "\n"); err != nil {
			t.Fatal(err)
		}
	}
	var won []string
	for _, c := range children {
		word, attempt, _ := strings.Cut(c.line(t), " ")
		switch word {
		case "won":
			won = append(won, attempt)
		case "lost":
		default:
			t.Errorf("a process said %s %s", word, attempt)
		}
	}
	if len(won) != 1 {
		t.Fatalf("%d processes won", len(won))
	}

	// None of them has published. All are killed; the next one does it, and removes what
	// they have left, since they are gone.
	for _, c := range children {
		c.kill(t)
	}
	run := begin(t, store, folder, plan(2))
	if record, err := run.Record(t.Context(), "00000-of-00002"); err != nil || record.Attempt != won[0] || !run.Committed(0) || run.Committed(1) {
		t.Errorf("committed: %+v, %v", record, err)
	}
	for name := range tree(t, folder) {
		if strings.HasPrefix(name, "_cpr-batch/work/") && !strings.Contains(name, run.Attempt()) {
			t.Errorf("%s is left", name)
		}
	}
	if got := tree(t, folder)["predictions-00000-of-00002.jsonl"]; got != "one\n" {
		t.Errorf("published: %q", got)
	}
}

type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

func startProcess(t *testing.T, folder string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childFolder+"="+folder)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{cmd: cmd, stdin: stdin, stdout: bufio.NewReader(stdout)}
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = p.cmd.Wait()
}

func TestTheWorkOfALivingAttemptStays(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	other := startProcess(t, folder)
	other.line(t)
	begin(t, store, folder, plan(2))
	if _, err := io.WriteString(other.stdin, "\n"); err != nil {
		t.Fatal(err)
	}
	attempt, ok := strings.CutPrefix(other.line(t), "won ")
	if _, there := tree(t, folder)["_cpr-batch/work/"+attempt+"/predictions-00000-of-00002.jsonl"]; !ok || !there {
		t.Errorf("the work of attempt %q is gone: %v", attempt, tree(t, folder))
	}
	other.kill(t)
}
