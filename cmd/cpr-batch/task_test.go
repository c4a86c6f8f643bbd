package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

func TestATaskFindsItsPlace(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args, environ string
		want          task
		wrong         string
	}{
		"nothing is known of others":                  {want: task{count: 1}},
		"flags":                                       {args: "--task-index 2 --task-count 8", want: task{index: 2, count: 8}},
		"flags win over the platform":                 {args: "--task-index 2 --task-count 8", environ: "CLOUD_RUN_TASK_INDEX=1 CLOUD_RUN_TASK_COUNT=3", want: task{index: 2, count: 8}},
		"a Cloud Run job":                             {environ: "CLOUD_RUN_TASK_INDEX=1 CLOUD_RUN_TASK_COUNT=3 CLOUD_RUN_TASK_ATTEMPT=0", want: task{index: 1, count: 3}},
		"another try on Cloud Run":                    {environ: "CLOUD_RUN_TASK_INDEX=1 CLOUD_RUN_TASK_COUNT=3 CLOUD_RUN_TASK_ATTEMPT=2", want: task{index: 1, count: 3, again: true}},
		"an indexed job of Kubernetes":                {args: "--task-count 4", environ: "JOB_COMPLETION_INDEX=3", want: task{index: 3, count: 4}},
		"Google Batch":                                {environ: "BATCH_TASK_INDEX=0 BATCH_TASK_COUNT=5 BATCH_TASK_RETRY_ATTEMPT=1", want: task{count: 5, again: true}},
		"a Slurm array that begins at 10":             {environ: "SLURM_ARRAY_TASK_ID=12 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_COUNT=4", want: task{index: 2, count: 4}},
		"a Slurm array of every second number":        {environ: "SLURM_ARRAY_TASK_ID=14 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_STEP=2 SLURM_ARRAY_TASK_COUNT=4", want: task{index: 2, count: 4}},
		"a Slurm array with a gap, requeued":          {environ: "SLURM_ARRAY_TASK_ID=17 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=4 SLURM_RESTART_COUNT=1", want: task{count: 4, again: true}},
		"an index without a count":                    {args: "--task-index 2", wrong: "without --task-count"},
		"a count without an index":                    {args: "--task-count 2", wrong: "without --task-index"},
		"Kubernetes without a count":                  {environ: "JOB_COMPLETION_INDEX=3", wrong: "add --task-count"},
		"an index that is not among the tasks":        {args: "--task-index 8 --task-count 8", wrong: "the numbers are 0 to 7"},
		"an index below 0":                            {args: "--task-index -1 --task-count 8", wrong: "the numbers are 0 to 7"},
		"no tasks":                                    {args: "--task-index 0 --task-count 0", wrong: "1 or more"},
		"a platform's index that is no number":        {environ: "BATCH_TASK_INDEX=x BATCH_TASK_COUNT=5", wrong: `BATCH_TASK_INDEX="x" is not a number`},
		"a platform's index without its count":        {environ: "BATCH_TASK_INDEX=1", wrong: `BATCH_TASK_COUNT="" is not a number`},
		"a way to wait that there is not":             {args: "--task-wait long", wrong: "done or none"},
		"a Slurm array whose number is below its own": {environ: "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_COUNT=4", wrong: "no such task"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f taskFlags
			cmd := &cobra.Command{Use: "run"}
			f.add(cmd)
			if err := cmd.ParseFlags(strings.Fields(tc.args)); err != nil {
				t.Fatal(err)
			}
			environ := map[string]string{}
			for _, pair := range strings.Fields(tc.environ) {
				name, value, _ := strings.Cut(pair, "=")
				environ[name] = value
			}
			got, err := f.find(cmd, func(name string) string { return environ[name] })
			if tc.wrong != "" {
				var e *pipeline.Error
				if !errors.As(err, &e) || e.Remedy != pipeline.FixConfig || !strings.Contains(e.Message, tc.wrong) {
					t.Fatalf("error %v, want %q", err, tc.wrong)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("%+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"50m":                       now.Add(50 * time.Minute),
		"2026-11-22T06:30:00Z":      time.Date(2026, 11, 22, 6, 30, 0, 0, time.UTC),
		"2026-11-22T07:30:00+01:00": time.Date(2026, 11, 22, 6, 30, 0, 0, time.UTC),
	} {
		if got, err := parseDeadline(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"06:30", "-5m", "0s", "tomorrow"} {
		if _, err := parseDeadline(text, now); err == nil || !strings.Contains(err.Error(), "50m") {
			t.Errorf("%q: %v", text, err)
		}
	}
	l := limits{drain: 25 * time.Second, deadline: now.Add(time.Hour)}
	if got := l.begin(now); got != time.Hour-25*time.Second {
		t.Errorf("draining begins after %v", got)
	}
	l.deadline = now.Add(10 * time.Second)
	if got := l.begin(now); got != 5*time.Second {
		t.Errorf("with a short deadline draining begins after %v", got)
	}
}

// TestARetryAsksForNoFlagThatItHasNot: it has none of those that say which task it is.
func TestARetryAsksForNoFlagThatItHasNot(t *testing.T) {
	t.Parallel()
	f := taskFlags{wait: "done"}
	_, err := f.find(&cobra.Command{Use: "retry"}, func(name string) string {
		return map[string]string{"JOB_COMPLETION_INDEX": "0"}[name]
	})
	var e *pipeline.Error
	if !errors.As(err, &e) || e.Remedy != pipeline.FixConfig || strings.Contains(e.Message, "--task") || !strings.Contains(e.Message, "retry runs in one") {
		t.Errorf("the error is %v", err)
	}
}
