package examples_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// task is one of the processes that a manifest starts.
type task struct {
	args, env []string
}

// shareARun starts the tasks of a manifest on the job file given, all at once. Only what is
// in the bucket is replaced, by what is on this disk: the quickstart's model and instances.
// All of them have to end with status 0, and together they have to have done the whole run.
func shareARun(t *testing.T, job string, tasks []task) {
	t.Helper()
	program, dir := build(t), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("quickstart")); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "churn.yaml")
	if err := os.WriteFile(config, []byte(job), 0o666); err != nil {
		t.Fatal(err)
	}
	processes := make([]*exec.Cmd, len(tasks))
	outputs := make([]bytes.Buffer, len(tasks))
	for i, task := range tasks {
		cmd := exec.Command(program, locally(task.args, config)...)
		cmd.Env = append(os.Environ(), task.env...)
		cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes[i] = cmd
	}
	for i, cmd := range processes {
		if err := cmd.Wait(); err != nil {
			t.Errorf("task %d: %v\n%s", i, err, &outputs[i])
		}
	}
	out := filepath.Join(dir, "out-2026-11-22")
	if _, err := os.Stat(filepath.Join(out, "_SUCCESS")); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, name := range glob(t, out, "predictions-*") {
		lines += strings.Count(readText(t, name), "\n")
	}
	if want := 298; lines != want { // of 300 two are bad on purpose
		t.Errorf("%d predictions, want %d", lines, want)
	}
}

// locally is the command line with a job file, model, input and output of this machine.
func locally(args []string, config string) []string {
	var local []string
	for _, arg := range args {
		if strings.HasPrefix(arg, "--config=") {
			arg = "--config=" + config
		}
		local = append(local, arg)
	}
	return append(local, "--set=workers.count=1", "--set=sink.jsonl.uri=out-${date}/",
		"--set=model={origin: model/, package_uris: [code/], prediction_class: predictor.TopicPredictor}",
		"--set=source.jsonl={uris: [instances.jsonl], split_size: 1KiB}")
}
