package examples_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	run "google.golang.org/api/run/v1"
	"sigs.k8s.io/yaml"
)

const cloudRunJob = "cloud-run/run-job.yaml"

// unquoted matches the number that Google takes for timeoutSeconds, but its client library
// takes only as a string.
var unquoted = regexp.MustCompile(`"timeoutSeconds":([0-9]+)`)

// decodeCloudRun reads a Cloud Run job strictly, and returns what it says of each task.
func decodeCloudRun(text []byte) (*run.ExecutionSpec, error) {
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(unquoted.ReplaceAll(data, []byte(`"timeoutSeconds":"$1"`))))
	decoder.DisallowUnknownFields()
	job := new(run.Job)
	if err := decoder.Decode(job); err != nil {
		return nil, err
	}
	if job.ApiVersion != "run.googleapis.com/v1" || job.Kind != "Job" {
		return nil, fmt.Errorf("a %s of %s is no Cloud Run job", job.Kind, job.ApiVersion)
	}
	if job.Spec == nil || job.Spec.Template == nil || job.Spec.Template.Spec == nil {
		return nil, errors.New("no execution is described")
	}
	spec := job.Spec.Template.Spec
	if spec.Template == nil || spec.Template.Spec == nil || len(spec.Template.Spec.Containers) != 1 {
		return nil, errors.New("want tasks of one container")
	}
	return spec, nil
}

func TestCloudRunJobIsDecodedStrictly(t *testing.T) {
	t.Parallel()
	text := []byte(readText(t, cloudRunJob))
	for name, c := range map[string]struct{ old, replacement, want string }{
		"an unknown field":    {"taskCount: 4", "tasksCount: 4", `unknown field "tasksCount"`},
		"a doubled key":       {"      taskCount: 4\n", "      taskCount: 4\n      taskCount: 5\n", `key "taskCount" already set`},
		"a text for a number": {"taskCount: 4", "taskCount: four", "cannot unmarshal string"},
		"another kind":        {"kind: Job", "kind: Service", "no Cloud Run job"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := bytes.Replace(text, []byte(c.old), []byte(c.replacement), 1)
			if bytes.Equal(broken, text) {
				t.Fatalf("%s has no %q", cloudRunJob, c.old)
			}
			if _, err := decodeCloudRun(broken); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestTasksOfTheCloudRunJobShareARun(t *testing.T) {
	t.Parallel()
	spec, err := decodeCloudRun([]byte(readText(t, cloudRunJob)))
	if err != nil {
		t.Fatalf("decode %s: %v", cloudRunJob, err)
	}
	if spec.TaskCount < 2 || spec.Parallelism != spec.TaskCount {
		t.Errorf("%d tasks, %d at once: want several, all at once", spec.TaskCount, spec.Parallelism)
	}
	tasks := make([]task, spec.TaskCount)
	for i := range tasks {
		tasks[i] = task{args: spec.Template.Spec.Containers[0].Args, env: []string{
			"CLOUD_RUN_JOB=churn", "CLOUD_RUN_TASK_INDEX=" + strconv.Itoa(i), "CLOUD_RUN_TASK_ATTEMPT=0",
			"CLOUD_RUN_TASK_COUNT=" + strconv.Itoa(len(tasks)), "CPR_BATCH_DATE=2026-11-22",
		}}
	}
	shareARun(t, readManifest(t).config.Data["job.yaml"], tasks)
}

func TestDeadlineIsBeforeCloudRunsTimeout(t *testing.T) {
	t.Parallel()
	spec, err := decodeCloudRun([]byte(readText(t, cloudRunJob)))
	if err != nil {
		t.Fatal(err)
	}
	timeout := time.Duration(spec.Template.Spec.TimeoutSeconds) * time.Second
	for _, arg := range spec.Template.Spec.Containers[0].Args {
		text, ok := strings.CutPrefix(arg, "--deadline=")
		if !ok {
			continue
		}
		// It counts from the program's start, which is after the container's.
		if deadline, err := time.ParseDuration(text); err != nil || deadline+time.Minute > timeout {
			t.Errorf("--deadline=%s (%v) is not well before the timeout of %s", text, err, timeout)
		}
		return
	}
	t.Error("no --deadline: a task is killed when its time is over")
}
