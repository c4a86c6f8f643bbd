package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// budgetCase is what was counted before a run over instances, the first of which fail,
// one a batch, and what else.
type budgetCase struct {
	name      string
	errors    pipeline.ErrorsConfig
	before    pipeline.Tally
	sealed    pipeline.Tally
	elsewhere [2]int64 // predicted and failed
	bad, good int
	calls     int    // at most, when the budget is spent
	want      string // of the error
}

func TestTheBudgetCountsAllThatIsKnownOfTheRun(t *testing.T) {
	t.Parallel()
	none := pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 1, MinInstances: 1000}
	most := func(n int64) pipeline.ErrorsConfig { c := none; c.MaxFailures = n; return c }
	ratio := func(r float64) pipeline.ErrorsConfig { c := none; c.MaxFailureRatio = r; return c }
	failures := func(n int64) pipeline.Tally {
		return pipeline.Tally{Read: n, Failed: n, Failures: []pipeline.FailureCount{{Phase: "predict", Type: "ValueError", Count: n}}}
	}
	cases := []budgetCase{
		{name: "failures of committed parts", errors: most(10), before: failures(10), bad: 1, good: 100, calls: 10, want: "11 of"},
		{name: "failures of other processes", errors: most(10), elsewhere: [2]int64{0, 10}, bad: 1, good: 100, calls: 10, want: "11 of"},
		{name: "failures that are sealed, before anything is predicted", errors: most(10), sealed: failures(11), good: 100, calls: 0, want: "11 of 11"},
		{name: "all of them together", errors: most(10), before: failures(4), sealed: failures(3), elsewhere: [2]int64{0, 3}, bad: 1, good: 100, calls: 10, want: "11 of"},
		{name: "all of them, within the limit", errors: most(11), before: failures(4), sealed: failures(3), elsewhere: [2]int64{0, 3}, bad: 1, good: 100},
		{name: "predictions of other processes make min_instances and the ratio", errors: ratio(0.1), elsewhere: [2]int64{990, 0}, bad: 100, good: 100},
		{name: "a ratio over the limit together", errors: ratio(0.1), elsewhere: [2]int64{899, 99}, bad: 30, good: 1, calls: 30, want: "101 of 1000 instances failed"},
		{name: "without a prediction anywhere a hundred failures are enough", errors: ratio(0.1), before: failures(40), elsewhere: [2]int64{0, 40}, bad: 40, calls: 100, want: "100 of 100"},
		{name: "a prediction before gives hope", errors: ratio(0.1), before: pipeline.Tally{Predicted: 1, Failed: 40}, elsewhere: [2]int64{0, 40}, bad: 40, good: 800},
		{name: "a prediction elsewhere gives hope", errors: ratio(0.1), before: failures(40), elsewhere: [2]int64{1, 40}, bad: 40, good: 800},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func (c *budgetCase) run(t *testing.T) {
	t.Helper()
	lines := numbered("sealed", int(c.sealed.Read))
	sink := &memorySink{}
	if c.sealed.Read > 0 {
		var kept []string
		for _, line := range lines {
			kept = append(kept, "predict:ValueError("+line+")")
		}
		sink.seals = map[pipeline.SplitID]seal{onlySplit: {kept, c.sealed}}
	}
	lines = append(append(lines, numbered("BAD", c.bad)...), numbered("ok", c.good)...)
	pool := newFakePool(1, raises(pipeline.Raised, "ValueError"))
	job := newJob(&fileSource{splits: [][]string{lines}}, sink, pool)
	job.Batch.Instances, job.Window = 1, 1
	job.Errors, job.Before, job.Counters = c.errors, c.before, new(pipeline.Counters)
	job.Elsewhere = new(pipeline.Elsewhere)
	job.Elsewhere.Predicted.Store(c.elsewhere[0])
	job.Elsewhere.Failed.Store(c.elsewhere[1])
	_, err := job.Run(t.Context(), t.Context())
	if c.want == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	var spent *pipeline.Error
	if !errors.As(err, &spent) || spent.Type != "TooManyFailures" || !strings.Contains(spent.Message, c.want) {
		t.Fatalf("error %v, it is to say %q", err, c.want)
	}
	if len(pool.calls) > c.calls {
		t.Errorf("%d calls were made, %d are enough", len(pool.calls), c.calls)
	}
	if c.sealed.Read > 0 && c.calls == 0 && job.Counters.Failed.Load() != c.sealed.Failed {
		t.Error("the counters do not have what was sealed")
	}
}

// Somebody else has committed the part of the first split, and counts it.
func TestASplitThatSomebodyElseHasCommittedIsNotCountedTwice(t *testing.T) {
	t.Parallel()
	for _, lostBy := range []string{"seal", "commit"} {
		t.Run("lost at its "+lostBy, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				elsewhere := new(pipeline.Elsewhere)
				committed := func(id pipeline.SplitID) error {
					if id != "00000-of-00002" {
						return nil
					}
					elsewhere.Predicted.Store(10)
					elsewhere.Failed.Store(10)
					return pipeline.ErrCommitted
				}
				sink := &memorySink{
					onSeal: func(_ context.Context, id pipeline.SplitID) error { return committed(id) },
				}
				if lostBy == "commit" {
					sink.onSeal = nil
					sink.onCommit = func(id pipeline.SplitID, _ pipeline.Tally) error { return committed(id) }
				}
				mixed := append(numbered("BAD", 10), numbered("ok", 10)...)
				pool := newFakePool(1, raises(pipeline.Raised, "ValueError"))
				pool.delay = func([]string) time.Duration { return time.Minute }
				job := newJob(&fileSource{splits: [][]string{mixed, mixed}}, sink, pool)
				job.Batch.Instances, job.Splits, job.Checkpoint, job.Elsewhere = 1, 1, 2*time.Minute, elsewhere
				job.Errors.MaxFailures = 20
				result, err := job.Run(t.Context(), t.Context())
				if err != nil || result.Done != 1 || result.Skipped != 1 {
					t.Errorf("error %v, result %+v", err, result)
				}
			})
		})
	}
}
