package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/report"
)

// ordeal is a job over the numbers from 0 on, of which the culprits have a minus sign, with a
// class of testdata/predictors/adversaries.py: the real program on real Python.
type ordeal struct {
	class     string
	instances int
	culprit   func(i int) bool // nil: none
	batch     int              // instances a batch
	workers   int
	settings  []string // --set
	meanwhile func(ctx context.Context, dir string) error
}

// verdict is what came of an ordeal.
type verdict struct {
	dir    string
	status int
	stderr string
	report report.Report
	log    string // kept by the Predictor
	calls  int    // that reached the Predictor
	loads  int    // Predictors made
}

// undergo runs the program to its end, and looks for processes that it left.
func (o *ordeal) undergo(t *testing.T) *verdict {
	t.Helper()
	v := &verdict{dir: t.TempDir()}
	o.prepare(t, v.dir)
	args := []string{"run", "--config", filepath.Join(v.dir, "job.yaml"), "--progress", "none"}
	for _, setting := range o.settings {
		args = append(args, "--set", setting)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	program := exec.CommandContext(ctx, "cpr-batch", args...)
	program.Env = environment(t, v.dir)
	var stderr bytes.Buffer
	program.Stderr = &stderr
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	running, ended := context.WithCancel(ctx)
	meanwhile := make(chan error, 1)
	go func() {
		if o.meanwhile == nil {
			meanwhile <- nil
			return
		}
		meanwhile <- o.meanwhile(running, v.dir)
	}()
	err := program.Wait()
	ended()
	if err := <-meanwhile; err != nil {
		t.Error(err)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%v, %v\n%s", err, ctx.Err(), stderr.Bytes())
	}
	v.status, v.stderr = program.ProcessState.ExitCode(), stderr.String()
	if !eventually(2*time.Second, func() bool { return len(processesOf(v.dir)) == 0 }) {
		t.Errorf("the run has left processes: %s", strings.Join(processesOf(v.dir), "; "))
	}
	v.read(t)
	return v
}

func (o *ordeal) prepare(t *testing.T, dir string) {
	t.Helper()
	predictors, err := filepath.Abs(filepath.Join("..", "..", "pyworker", "testdata", "predictors"))
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	for i := range o.instances {
		fmt.Fprintln(&lines, o.number(i))
	}
	writeAll(t, dir, map[string]string{
		"in.jsonl": lines.String(), "home/none": "", "tmp/none": "", "calls": "",
		"job.yaml": fmt.Sprintf(`
model: {package_uris: [%q], prediction_class: adversaries.%s}
source: {jsonl: {uris: [in.jsonl], split_size: 256KiB}}
sink: {jsonl: {uri: out/}}
workers: {count: %d}
batch: {size: %d}
errors: {min_instances: 100000}
`, predictors, o.class, max(o.workers, 2), o.batch),
	})
}

func (o *ordeal) number(i int) int {
	if o.culprit != nil && o.culprit(i) {
		return -1 - i
	}
	return i
}

// environment is that of a program which writes below dir only, and is found by it.
func environment(t *testing.T, dir string) []string {
	t.Helper()
	return append(os.Environ(), "WORK="+dir, "CALLS="+filepath.Join(dir, "calls"), "HOME="+filepath.Join(dir, "home"),
		"TMPDIR="+filepath.Join(dir, "tmp"), "PATH="+pythonFolder(t)+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

func (v *verdict) read(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(v.dir, "out", "report.json"))
	if err != nil {
		t.Fatalf("%v\n%s", err, v.stderr)
	}
	if err := json.Unmarshal(text, &v.report); err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile(filepath.Join(v.dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	v.log = string(text)
	v.calls, v.loads = strings.Count(v.log, "call "), strings.Count(v.log, "load ")
}

// outcome is a line of the output.
type outcome struct {
	Instance   int
	Prediction *int
	Error      struct{ Phase, Type string }
	Source     struct{ Line int }
}

// lines are those of all parts, in the order of the plan.
func (v *verdict) lines(t *testing.T, kind string) []outcome {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(v.dir, "out", kind+"-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var all []outcome
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
			var o outcome
			if err := d.Decode(&o); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all = append(all, o)
		}
	}
	return all
}

// checkOutcomes demands that all but the culprits have their predictions, in order, and
// that the culprits stand in the errors files with the phase and type that are wanted.
func (o *ordeal) checkOutcomes(t *testing.T, v *verdict, failure string) {
	t.Helper()
	var wanted, got []string
	for i := range o.instances {
		if n := o.number(i); n < 0 {
			wanted = append(wanted, fmt.Sprintf("line %d: %s", i+1, failure))
		}
	}
	for _, line := range v.lines(t, "errors") {
		if line.Instance != -line.Source.Line {
			t.Errorf("line %d has instance %d", line.Source.Line, line.Instance)
		}
		got = append(got, fmt.Sprintf("line %d: %s %s", line.Source.Line, line.Error.Phase, line.Error.Type))
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	predictions := v.lines(t, "predictions")
	next := 0
	for i := range o.instances {
		n := o.number(i)
		if n < 0 {
			continue
		}
		if next == len(predictions) {
			t.Fatalf("instance %d and those behind it have no prediction", n)
		}
		if p := predictions[next]; p.Instance != n || p.Prediction == nil || *p.Prediction != n {
			t.Fatalf("prediction %d is of %d, want one of %d", next, p.Instance, n)
		}
		next++
	}
	if next != len(predictions) {
		t.Errorf("%d predictions, want %d", len(predictions), next)
	}
	failed := int64(len(wanted))
	if got, want := v.report.Instances, (report.Instances{Read: int64(o.instances), Predicted: int64(o.instances) - failed, Failed: failed}); got != want {
		t.Errorf("report says %+v, want %+v", got, want)
	}
}
