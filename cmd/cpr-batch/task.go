package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// task is which of the processes this one is that share a run on several machines.
type task struct {
	index, count int  // count 1: nobody else is known of
	again        bool // the platform starts it another time, whatever its exit status was
}

// platform names the variables by which an engine tells a task its place.
type platform struct {
	index, count, first, step string
	attempt                   string // above 0, or set at all, on another start
}

func platforms() []platform {
	return []platform{
		{index: "CLOUD_RUN_TASK_INDEX", count: "CLOUD_RUN_TASK_COUNT", attempt: "CLOUD_RUN_TASK_ATTEMPT"},
		{index: "JOB_COMPLETION_INDEX"},
		{index: "BATCH_TASK_INDEX", count: "BATCH_TASK_COUNT", attempt: "BATCH_TASK_RETRY_ATTEMPT"},
		{index: "SLURM_ARRAY_TASK_ID", count: "SLURM_ARRAY_TASK_COUNT", first: "SLURM_ARRAY_TASK_MIN", step: "SLURM_ARRAY_TASK_STEP", attempt: "SLURM_RESTART_COUNT"},
	}
}

// taskFlags are the flags that say which task this is.
type taskFlags struct {
	index, count int
	wait         string
}

func (f *taskFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.index, "task-index", 0, "the number of this task among those that share the run, from 0 (default: what Cloud Run, Kubernetes, Google Batch or Slurm say)")
	cmd.Flags().IntVar(&f.count, "task-count", 0, "how many tasks share the run")
	cmd.Flags().StringVar(&f.wait, "task-wait", "done", "what a task does that has no work left while others have: done (wait, and take over what is lost), none (end with status 0)")
}

// find tells which task this is: by the flags, else by what the platform says.
func (f *taskFlags) find(cmd *cobra.Command, environ func(string) string) (task, error) {
	if f.wait != "done" && f.wait != "none" {
		return task{}, usageError(cmd, fmt.Errorf("--task-wait %q: it is done or none", f.wait))
	}
	t, err := f.place(cmd, environ)
	if err != nil {
		return task{}, usageError(cmd, err)
	}
	for _, p := range platforms() {
		if v := environ(p.attempt); p.attempt != "" && v != "" && v != "0" {
			t.again = true
		}
	}
	return t, nil
}

func (f *taskFlags) place(cmd *cobra.Command, environ func(string) string) (task, error) {
	indexSet, countSet := cmd.Flags().Changed("task-index"), cmd.Flags().Changed("task-count")
	if countSet && f.count < 1 {
		return task{}, fmt.Errorf("--task-count %d: it is a number of tasks, 1 or more", f.count)
	}
	if indexSet {
		switch {
		case !countSet:
			return task{}, errors.New("--task-index is given without --task-count: how many tasks share the run?")
		case f.index < 0 || f.index >= f.count:
			return task{}, fmt.Errorf("--task-index %d: of %d tasks the numbers are 0 to %d", f.index, f.count, f.count-1)
		}
		return task{index: f.index, count: f.count}, nil
	}
	for _, p := range platforms() {
		if environ(p.index) == "" {
			continue
		}
		if p.count == "" && cmd.Flags().Lookup("task-count") == nil {
			return task{}, fmt.Errorf("%s says that this is one of several tasks, and %s runs in one: give it a job of its own, that is not an indexed one", p.index, cmd.Name())
		}
		return p.place(f.count, environ)
	}
	if countSet && f.count > 1 {
		return task{}, errors.New("--task-count is given without --task-index, and no platform tells which task this is")
	}
	return task{count: 1}, nil
}

// place reads the variables of a platform; count, when not 0, was given by the flag.
func (p platform) place(count int, environ func(string) string) (task, error) {
	index, err := numberOf(p.index, environ)
	if err != nil {
		return task{}, err
	}
	if count == 0 && p.count == "" {
		return task{}, fmt.Errorf("%s says that this is task %d, and nothing says of how many: add --task-count", p.index, index)
	}
	if count == 0 {
		if count, err = numberOf(p.count, environ); err != nil {
			return task{}, err
		}
	}
	if p.first != "" && environ(p.first) != "" {
		first, err := numberOf(p.first, environ)
		if err != nil {
			return task{}, err
		}
		index -= first
	}
	if p.step != "" && environ(p.step) != "" {
		if step, err := numberOf(p.step, environ); err == nil && step > 1 {
			index /= step
		}
	}
	if count < 1 || index < 0 {
		return task{}, fmt.Errorf("%s: task %d of %d tasks: there is no such task", p.index, index, count)
	}
	// An array may have gaps: whose number is beyond the count shares another one's start.
	return task{index: index % count, count: count}, nil
}

func numberOf(name string, environ func(string) string) (int, error) {
	n, err := strconv.Atoi(environ(name))
	if err != nil {
		return 0, fmt.Errorf("%s=%q is not a number", name, environ(name))
	}
	return n, nil
}

// defaultDrain is how long a run that is told to stop may finish what it has begun: Cloud
// Run kills ten seconds after SIGTERM, others after thirty.
func defaultDrain() time.Duration {
	for _, name := range []string{"CLOUD_RUN_JOB", "CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_WORKER_POOL", "K_SERVICE"} {
		if os.Getenv(name) != "" {
			return 8 * time.Second
		}
	}
	return 25 * time.Second
}

// parseDeadline reads a time as RFC 3339 has it, or a duration from now; "" is none.
func parseDeadline(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(d), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("--deadline %q: write how long the run may take, 50m, or a time, 2026-11-22T06:30:00Z", s)
}
