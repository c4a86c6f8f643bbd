//go:build slurm && linux

package examples_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	arrayTasks = 4 // of job.sh
	splits     = 40
	perSplit   = 25
	perBatch   = 5 // of testdata/slurm/job.yaml
	instances  = splits * perSplit
)

// TestSlurmArrayIsOneRun runs four tasks as a Slurm array, one of which is killed and one
// queued again in the middle, and holds what they have written against the output of a
// single task that nothing befell.
func TestSlurmArrayIsOneRun(t *testing.T) {
	t.Parallel()
	p := newSlurmPlace(t)
	alone := p.runAlone(t)

	c := startCluster(t)
	array := p.submit(t, c)
	p.waitForCalls(t, "1", 0, perSplit/perBatch+2) // one split is done, the next is not
	kill(t, c.program(t, array, 1))
	p.waitForCalls(t, "2", 0, perSplit/perBatch+2)
	p.requeue(t, c, array, 2)
	until(t, "the array is over", 90*time.Second, func() bool {
		return c.command(t, "squeue", "-h", "-j", array) == ""
	})

	if diff := cmp.Diff(map[int]jobState{
		0: {State: "COMPLETED", Exit: "0:0", Restarts: "0"},
		1: {State: "FAILED", Exit: "0:9", Restarts: "0"},
		2: {State: "COMPLETED", Exit: "0:0", Restarts: "1"},
		3: {State: "COMPLETED", Exit: "0:0", Restarts: "0"},
	}, c.states(t, array)); diff != "" {
		t.Errorf("the tasks (-want +got):\n%s", diff)
	}
	shared := filepath.Join(p.dir, "2026-out")
	if diff := cmp.Diff(outcomes(t, alone), outcomes(t, shared)); diff != "" {
		t.Errorf("output (-of one task +of the array):\n%s", diff)
	}
	p.endedOnce(t, shared)
	p.predictedOnce(t, shared)
}

// slurmPlace is a folder with a job, as sbatch is called in it.
type slurmPlace struct {
	dir, program string
}

func newSlurmPlace(t *testing.T) *slurmPlace {
	t.Helper()
	p := &slurmPlace{dir: t.TempDir(), program: build(t)}
	if err := os.CopyFS(p.dir, os.DirFS("testdata/slurm")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(p.dir, os.DirFS("slurm")); err != nil {
		t.Fatal(err)
	}
	var input bytes.Buffer
	for i := range instances {
		fmt.Fprintf(&input, "%-79s\n", fmt.Sprintf(`{"id": %d}`, i)) // 25 of them are the job's split_size
	}
	if err := os.WriteFile(filepath.Join(p.dir, "instances.jsonl"), input.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *slurmPlace) calls() string { return filepath.Join(p.dir, "calls.jsonl") }

// runAlone runs the job as one task, and returns its output folder.
func (p *slurmPlace) runAlone(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(p.program, "run", "--config", "job.yaml", "--date", "2001-01-01", "--progress", "none")
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "CALL_LOG=/dev/null", "CALL_SECONDS=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("run alone: %v\n%s", err, out)
	}
	return filepath.Join(p.dir, "2001-out")
}

// submit hands the array to Slurm, as the head of job.sh says, and returns its number.
func (p *slurmPlace) submit(t *testing.T, c *cluster) string {
	t.Helper()
	cmd := exec.Command("sbatch", "--parsable", "job.sh", "job.yaml")
	cmd.Dir = p.dir
	cmd.Env = append(c.env, "CPR_BATCH_DATE=2026-11-22", "CALL_LOG="+p.calls(), "CALL_SECONDS=0.2",
		"PATH="+filepath.Dir(p.program)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sbatch: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		for _, name := range glob(t, p.dir, "cpr-batch-*.log") {
			t.Logf("%s:\n%s", filepath.Base(name), readText(t, name))
		}
	})
	return strings.TrimSpace(string(out))
}

// call is a line that slow.py has written.
type call struct {
	Time     float64
	Task     string
	Restarts int
	IDs      []int
}

// process is one start of a task.
func (c call) process() string { return fmt.Sprintf("task %s, restart %d", c.Task, c.Restarts) }

func (p *slurmPlace) readCalls(t *testing.T) []call {
	t.Helper()
	text, err := os.ReadFile(p.calls())
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var all []call
	for line := range bytes.Lines(text) {
		var c call
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, c)
	}
	return all
}

func (p *slurmPlace) waitForCalls(t *testing.T, task string, restarts, n int) {
	t.Helper()
	until(t, fmt.Sprintf("task %s predicts for the time number %d, after %d restarts", task, n, restarts), time.Minute, func() bool {
		got := 0
		for _, c := range p.readCalls(t) {
			if c.Task == task && c.Restarts == restarts {
				got++
			}
		}
		return got >= n
	})
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// requeue has a task stopped and started again, and waits until it predicts again.
func (p *slurmPlace) requeue(t *testing.T, c *cluster, array string, task int) {
	t.Helper()
	id := array + "_" + strconv.Itoa(task)
	c.command(t, "scontrol", "requeue", id)
	until(t, "the task is queued again", 40*time.Second, func() bool {
		return c.states(t, array)[task].State == "PENDING"
	})
	// Else it would start when its old credential is out of date.
	c.command(t, "scontrol", "update", "JobId="+id, "StartTime=now")
	p.waitForCalls(t, strconv.Itoa(task), 1, 1)
}

// outcomes are the texts of the files with predictions and failures.
func outcomes(t *testing.T, out string) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, pattern := range []string{"predictions-*", "errors-*"} {
		for _, name := range glob(t, out, pattern) {
			texts[filepath.Base(name)] = readText(t, name)
		}
	}
	last := fmt.Sprintf("predictions-%05d-of-%05d.jsonl", splits-1, splits)
	if texts[last] == "" {
		t.Fatalf("%s is empty or missing among %d files", last, len(texts))
	}
	return texts
}

// endedOnce checks that the output has one mark of its end, and no file that is not of it.
func (p *slurmPlace) endedOnce(t *testing.T, out string) {
	t.Helper()
	var others []string
	for _, name := range glob(t, out, "*") {
		name = filepath.Base(name)
		if !strings.HasPrefix(name, "predictions-") && !strings.HasPrefix(name, "errors-") {
			others = append(others, name)
		}
	}
	if diff := cmp.Diff([]string{"_SUCCESS", "_cpr-batch", "report.json"}, others); diff != "" {
		t.Errorf("%s beside the outcomes (-want +got):\n%s", out, diff)
	}
	var report struct {
		Status    string
		Instances struct{ Read, Predicted, Failed int }
	}
	if err := json.Unmarshal([]byte(readText(t, filepath.Join(out, "report.json"))), &report); err != nil {
		t.Fatal(err)
	}
	if n := report.Instances; report.Status != "done" || n.Read != instances || n.Predicted+n.Failed != instances {
		t.Errorf("report: %+v, want %d instances done", report, instances)
	}
}

// predictedOnce checks by the calls that nobody has begun with a split that was committed,
// and that hardly more was predicted twice than what was under way in the task that was
// killed.
func (p *slurmPlace) predictedOnce(t *testing.T, out string) {
	t.Helper()
	commits := glob(t, out, "_cpr-batch/commits/*")
	if len(commits) != splits {
		t.Fatalf("%d commit records, want %d", len(commits), splits)
	}
	began := make(map[int]map[string]time.Time) // of a split, when which process first predicted of it
	by := make(map[int]map[string]bool)         // who predicted an instance
	for _, c := range p.readCalls(t) {
		at := time.UnixMicro(int64(c.Time * 1e6))
		for _, id := range c.IDs {
			split := id / perSplit
			if began[split] == nil {
				began[split] = make(map[string]time.Time)
			}
			if _, ok := began[split][c.process()]; !ok {
				began[split][c.process()] = at
			}
			if by[id] == nil {
				by[id] = make(map[string]bool)
			}
			by[id][c.process()] = true
		}
	}
	// A process may have opened a split just before it was committed, and predict of it just after.
	const moment = time.Second
	for _, name := range commits {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		split := p.splitOf(t, name)
		for process, at := range began[split] {
			if at.After(info.ModTime().Add(moment)) {
				t.Errorf("split %d: %s began %s after it was committed", split, process, at.Sub(info.ModTime()))
			}
		}
	}
	twice := 0
	for _, processes := range by {
		twice += len(processes) - 1
	}
	// Each task has one split under way, and may begin another that somebody else begins at
	// the same moment, when there is little left.
	if len(by) != instances || twice > 2*perSplit {
		t.Errorf("%d instances were predicted, %d of them by another process too; want %d, and at most %d", len(by), twice, instances, 2*perSplit)
	}
	t.Logf("%d of %d instances were predicted by a second process", twice, instances)
}

// splitOf is the number of the split of a commit record.
func (p *slurmPlace) splitOf(t *testing.T, record string) int {
	t.Helper()
	var r struct{ Files []struct{ Name string } }
	if err := json.Unmarshal([]byte(readText(t, record)), &r); err != nil || len(r.Files) == 0 {
		t.Fatalf("%s names no file: %v", record, err)
	}
	var split int
	if _, err := fmt.Sscanf(r.Files[0].Name, "predictions-%d-of-", &split); err != nil {
		t.Fatalf("%s: %q: %v", record, r.Files[0].Name, err)
	}
	return split
}
