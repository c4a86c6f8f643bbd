package pipeline_test

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// treated runs lines as one split with batches of n and returns what was committed.
func treated(t *testing.T, pool *fakePool, n int, lines []string, change func(*pipeline.Job)) ([]string, pipeline.Result, error) {
	t.Helper()
	sink := &memorySink{}
	job := newJob(&fileSource{splits: [][]string{lines}}, sink, pool)
	job.Batch.Instances, job.Window = n, 1
	if change != nil {
		change(job)
	}
	result, err := job.Run(t.Context(), t.Context())
	return sink.parts["00000-of-00001"], result, err
}

// expected is echo, with failures in place of the lines that hold bad.
func expected(lines []string, bad, failure string) []string {
	want := echo(lines)
	for i, line := range lines {
		if strings.Contains(line, bad) {
			want[i] = failure + "(" + line + ")"
		}
	}
	return want
}

// withBad gives n lines of which those at the given places are bad.
func withBad(n int, places ...int) []string {
	lines := numbered("ok", n)
	for _, i := range places {
		lines[i] = fmt.Sprintf("BAD%d", i)
	}
	return lines
}

func raises(kind pipeline.CallKind, typ string) func(*fakeWorker, []string) ([]string, *pipeline.CallError) {
	return func(_ *fakeWorker, inputs []string) ([]string, *pipeline.CallError) {
		if contains(inputs, "BAD") {
			return nil, raised(kind, typ)
		}
		return echo(inputs), nil
	}
}

func TestABadInstanceCostsItselfAndAFewCalls(t *testing.T) {
	t.Parallel()
	const n = 256
	log2 := bits.Len(n - 1)
	cases := []struct {
		name    string
		answer  func(*fakeWorker, []string) ([]string, *pipeline.CallError)
		failure string
		calls   int // further ones at most, for one bad instance
		deaths  int
	}{
		// two a level, and the test with a known-good instance
		{"it raises", raises(pipeline.Raised, "ValueError"), "predict:ValueError", 2*log2 + 1, 0},
		// once more for the batch and for the instance alone
		{"it kills its worker", raises(pipeline.Crashed, ""), "crash:Crash", 2*log2 + 2, log2 + 3},
		{"it runs out of memory", raises(pipeline.Memory, "MemoryError"), "predict:MemoryError", 2*log2 + 1, 0},
	}
	for _, c := range cases {
		for _, place := range []int{0, 1, 100, n - 1} {
			t.Run(fmt.Sprintf("%s at %d", c.name, place), func(t *testing.T) {
				t.Parallel()
				pool := newFakePool(2, c.answer)
				lines := withBad(n, place)
				got, result, err := treated(t, pool, n, lines, nil)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(expected(lines, "BAD", c.failure), got); diff != "" {
					t.Error(diff)
				}
				if further := len(pool.calls) - 1; further > c.calls || int64(further) != result.Committed.FurtherCalls {
					t.Errorf("%d further calls (%d reported), at most %d are expected", further, result.Committed.FurtherCalls, c.calls)
				}
				if pool.died > c.deaths || pool.replaced > 0 {
					t.Errorf("%d deaths, at most %d are expected; %d replaced", pool.died, c.deaths, pool.replaced)
				}
			})
		}
	}
}

func TestAFailedCallIsNotRepeatedBeforeItIsDivided(t *testing.T) {
	t.Parallel()
	pool := newFakePool(1, raises(pipeline.Raised, "ValueError"))
	if _, _, err := treated(t, pool, 8, withBad(8, 3), nil); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, call := range pool.calls {
		sizes = append(sizes, len(call))
	}
	// 8 fails; 4 fails, 4 is fine; 2 is fine, 2 fails; 1 is fine, 1 fails; the worker is fine.
	if diff := cmp.Diff([]int{8, 4, 4, 2, 2, 1, 1, 1}, sizes); diff != "" {
		t.Error(diff)
	}
}

func TestManyBadInstances(t *testing.T) {
	t.Parallel()
	for _, kind := range []pipeline.CallKind{pipeline.Raised, pipeline.Crashed, pipeline.Memory} {
		t.Run(fmt.Sprint("every third one, kind ", kind), func(t *testing.T) {
			t.Parallel()
			var places []int
			for i := 1; i < 100; i += 3 {
				places = append(places, i)
			}
			failure := map[pipeline.CallKind]string{pipeline.Raised: "predict:E", pipeline.Crashed: "crash:Crash", pipeline.Memory: "predict:E"}[kind]
			lines := withBad(100, places...)
			got, _, err := treated(t, newFakePool(2, raises(kind, "E")), 32, lines, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(expected(lines, "BAD", failure), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRetryOn(t *testing.T) {
	t.Parallel()
	t.Run("what passes is repeated with back-off and costs no instance", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			pool := newFakePool(1, func(_ *fakeWorker, inputs []string) ([]string, *pipeline.CallError) {
				if time.Since(began) < time.Second {
					return nil, raised(pipeline.Retry, "requests.exceptions.Timeout")
				}
				return echo(inputs), nil
			})
			lines := numbered("a", 8)
			got, result, err := treated(t, pool, 8, lines, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(echo(lines), got); diff != "" {
				t.Error(diff)
			}
			if calls := len(pool.calls); calls < 2 || calls > 4 || result.Committed.FurtherCalls != int64(calls-1) {
				t.Errorf("%d calls, %d further ones", calls, result.Committed.FurtherCalls)
			}
		})
	})
	t.Run("what does not pass is divided after the retries", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			pool := newFakePool(1, raises(pipeline.Retry, "requests.exceptions.Timeout"))
			lines := withBad(4, 1)
			got, _, err := treated(t, pool, 4, lines, func(j *pipeline.Job) { j.Errors.Retries = 2 })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(expected(lines, "BAD", "predict:requests.exceptions.Timeout"), got); diff != "" {
				t.Error(diff)
			}
			// 4, 2 and 1 fail three times each; the other halves once; one test of the worker.
			if len(pool.calls) != 3*3+2+1 {
				t.Errorf("%d calls: %v", len(pool.calls), pool.calls)
			}
		})
	})
}

// poisoned plays a Predictor that fails everything after its first exception.
func poisoned(w *fakeWorker, inputs []string) ([]string, *pipeline.CallError) {
	if w.poisoned || contains(inputs, "BAD") {
		w.poisoned = true
		return nil, raised(pipeline.Raised, "RuntimeError")
	}
	return echo(inputs), nil
}

func TestAPoisonedWorkerIsFoundAndReplaced(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 16, 64} {
		t.Run(fmt.Sprintf("batches of %d", size), func(t *testing.T) {
			t.Parallel()
			lines := withBad(256, 70, 71, 200)
			pool := newFakePool(2, poisoned)
			got, _, err := treated(t, pool, size, lines, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(expected(lines, "BAD", "predict:RuntimeError"), got); diff != "" {
				t.Error(diff)
			}
			if pool.replaced == 0 || pool.replaced > 40 {
				t.Errorf("%d workers replaced", pool.replaced)
			}
		})
	}
}

// TestAPoisonedWorkerIsDoubtedBeforeItsHalvesAreDivided: a culprit that poisons its worker
// makes the other half of its batch fail too. That half is called once more, and not divided
// down to its healthy instances.
func TestAPoisonedWorkerIsDoubtedBeforeItsHalvesAreDivided(t *testing.T) {
	t.Parallel()
	const n = 256
	log2 := bits.Len(n - 1)
	for _, workers := range []int{1, 2} {
		for _, place := range []int{n, n + 100, 2*n - 1} {
			t.Run(fmt.Sprintf("%d workers, the culprit at %d", workers, place), func(t *testing.T) {
				t.Parallel()
				lines := withBad(2*n, place) // the first batch is good
				pool := newFakePool(workers, poisoned)
				got, _, err := treated(t, pool, n, lines, nil)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(expected(lines, "BAD", "predict:RuntimeError"), got); diff != "" {
					t.Error(diff)
				}
				// Of a level: two halves, the test of a worker for each, and one half again, sometimes
				// twice. Divided down to its instances, one half alone takes more than that.
				if most := 8 * log2; len(pool.calls) > most {
					t.Errorf("%d calls, want at most %d", len(pool.calls), most)
				}
			})
		}
	}
}

func TestAPoisonedWorkerIsFoundBeforeAnythingIsKnownToBeGood(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 3} {
		for _, size := range []int{1, 2, 9, 64} {
			for what, bad := range map[string][]int{"first": {0}, "first two": {0, 1}, "last of the first batch": {size - 1}, "first and another": {0, 40}} {
				t.Run(fmt.Sprintf("%d workers, batches of %d, the %s", workers, size, what), func(t *testing.T) {
					t.Parallel()
					lines := withBad(64, bad...)
					pool := newFakePool(workers, poisoned)
					got, _, err := treated(t, pool, size, lines, func(j *pipeline.Job) { j.Window = 2*workers - 1 })
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(expected(lines, "BAD", "predict:RuntimeError"), got); diff != "" {
						t.Error(diff)
					}
				})
			}
		}
	}
}

func TestCulpritsInEveryBatchThatPoisonTheirWorkersCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	answer := func(w *fakeWorker, inputs []string) ([]string, *pipeline.CallError) {
		switch {
		case w.poisoned:
			return nil, raised(pipeline.Raised, "RuntimeError")
		case contains(inputs, "BAD"):
			w.poisoned = true
			return nil, raised(pipeline.Raised, "ValueError")
		}
		return echo(inputs), nil
	}
	var places []int
	for i := 3; i < 400; i += 20 {
		places = append(places, i)
	}
	for _, workers := range []int{1, 2, 8} {
		t.Run(fmt.Sprintf("%d workers", workers), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lines := withBad(400, places...)
				pool := newFakePool(workers, answer)
				pool.delay = func(inputs []string) time.Duration { return time.Duration(len(inputs)) * time.Millisecond }
				got, _, err := treated(t, pool, 20, lines, func(j *pipeline.Job) { j.Window = 2*workers + 1 })
				if err != nil {
					t.Fatal(err)
				}
				// Each has its own failure, and not that of a worker which another call had poisoned.
				if diff := cmp.Diff(expected(lines, "BAD", "predict:ValueError"), got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestOutOfMemoryLowersTheCeilingForTheRun(t *testing.T) {
	t.Parallel()
	t.Run("a large batch is no culprit", func(t *testing.T) {
		t.Parallel()
		pool := newFakePool(1, func(_ *fakeWorker, inputs []string) ([]string, *pipeline.CallError) {
			if len(inputs) > 20 {
				return nil, raised(pipeline.Memory, "MemoryError")
			}
			return echo(inputs), nil
		})
		lines := numbered("a", 640)
		got, _, err := treated(t, pool, 64, lines, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(echo(lines), got); diff != "" {
			t.Error(diff)
		}
		tooLarge := 0
		for _, call := range pool.calls {
			if len(call) > 20 {
				tooLarge++
			}
		}
		// 64, 32 and 32 of the first batch; three more may be under way already.
		if tooLarge > 12 {
			t.Errorf("%d calls were too large: the ceiling was not learnt", tooLarge)
		}
	})
	t.Run("an instance that is too large alone does not lower it for good", func(t *testing.T) {
		t.Parallel()
		pool := newFakePool(1, raises(pipeline.Memory, "MemoryError"))
		lines := withBad(640, 5)
		if _, _, err := treated(t, pool, 64, lines, nil); err != nil {
			t.Fatal(err)
		}
		if last := pool.calls[len(pool.calls)-1]; len(last) != 64 {
			t.Errorf("the last call has %d instances", len(last))
		}
	})
}

func TestTimeLimitsShrinkWithTheSubBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pool := newFakePool(2, healthy)
		pool.delay = func(inputs []string) time.Duration {
			if contains(inputs, "BAD") {
				return 100 * time.Hour
			}
			return time.Duration(len(inputs)) * 10 * time.Millisecond
		}
		lines := withBad(256, 77)
		began := time.Now()
		got, _, err := treated(t, pool, 256, lines, func(j *pipeline.Job) { j.Timeout = 5 * time.Minute })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(expected(lines, "BAD", "timeout:Timeout"), got); diff != "" {
			t.Error(diff)
		}
		if limits := time.Since(began).Minutes() / 5; limits > 4 {
			t.Errorf("one stuck instance cost %.1f limits", limits)
		}
		if slices.Min(pool.limits) < 10*time.Second {
			t.Errorf("the shortest limit was %v", slices.Min(pool.limits))
		}
	})
	t.Run("a short limit is not shortened below itself", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			pool := newFakePool(2, healthy)
			pool.delay = func(inputs []string) time.Duration {
				if contains(inputs, "BAD") {
					return time.Hour
				}
				return time.Millisecond
			}
			if _, _, err := treated(t, pool, 64, withBad(64, 9), func(j *pipeline.Job) { j.Timeout = 2 * time.Second }); err != nil {
				t.Fatal(err)
			}
			if least := slices.Min(pool.limits); least != 2*time.Second {
				t.Errorf("the shortest limit was %v", least)
			}
		})
	})
}

func TestAnAccidentIsNotBlamedOnAnInstance(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 8, 64} {
		t.Run(fmt.Sprintf("every seventh call's worker is killed, batches of %d", size), func(t *testing.T) {
			t.Parallel()
			calls := 0
			pool := newFakePool(2, func(_ *fakeWorker, inputs []string) ([]string, *pipeline.CallError) {
				if calls++; calls%7 == 0 {
					return nil, raised(pipeline.Crashed, "")
				}
				return echo(inputs), nil
			})
			lines := numbered("a", 640)
			got, _, err := treated(t, pool, size, lines, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(echo(lines), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWorkersThatOnlyDieEndTheRun(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 16, 256} {
		t.Run(fmt.Sprintf("batches of %d", size), func(t *testing.T) {
			t.Parallel()
			pool := newFakePool(2, func(*fakeWorker, []string) ([]string, *pipeline.CallError) {
				e := raised(pipeline.Crashed, "")
				e.Stderr = "last words"
				return nil, e
			})
			_, _, err := treated(t, pool, size, numbered("a", 10000), func(j *pipeline.Job) { j.Window = 20 })
			var e *pipeline.Error
			if !errors.As(err, &e) || e.Remedy != pipeline.FixInput || !strings.Contains(e.Message, "exit status 7") || e.Stderr != "last words" {
				t.Fatalf("error: %v", err)
			}
			if pool.died > 60 {
				t.Errorf("%d workers died", pool.died)
			}
		})
	}
	t.Run("but not when only the instances of one place kill", func(t *testing.T) {
		t.Parallel()
		var places []int
		for i := 300; i < 400; i++ {
			places = append(places, i)
		}
		lines := withBad(1000, places...)
		got, _, err := treated(t, newFakePool(2, raises(pipeline.Crashed, "")), 16, lines, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(expected(lines, "BAD", "crash:Crash"), got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAPredictorThatFailsOnEverythingIsFoundOutThoughItsModelLoadsSlowly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pool := newFakePool(2, func(*fakeWorker, []string) ([]string, *pipeline.CallError) {
			return nil, raised(pipeline.Raised, "ValueError")
		})
		loaded := map[pipeline.WorkerID]bool{1: true, 2: true}
		pool.delayOf = func(w *fakeWorker) time.Duration {
			if loaded[w.id] {
				return time.Millisecond
			}
			loaded[w.id] = true
			return time.Minute
		}
		began := time.Now()
		_, _, err := treated(t, pool, 256, numbered("a", 10000), func(j *pipeline.Job) { j.Errors.MaxFailureRatio, j.Window = 0.01, 5 })
		var e *pipeline.Error
		if !errors.As(err, &e) || e.Type != "TooManyFailures" {
			t.Fatalf("error: %v", err)
		}
		if took := time.Since(began); took > 4*time.Minute {
			t.Errorf("it took %v with %d workers replaced, each of which loads for a minute", took, pool.replaced)
		}
	})
}

func TestTheErrorBudget(t *testing.T) {
	t.Parallel()
	always := func(*fakeWorker, []string) ([]string, *pipeline.CallError) {
		return nil, raised(pipeline.Raised, "ValueError")
	}
	cases := []struct {
		name   string
		answer func(*fakeWorker, []string) ([]string, *pipeline.CallError)
		lines  []string
		errors pipeline.ErrorsConfig
		before pipeline.Tally
		calls  int    // at most
		want   string // in the error; "": none
	}{
		{"a Predictor that fails on everything ends the run while its first batch is divided", always, numbered("a", 100000),
			pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 0.01, MinInstances: 1000}, pipeline.Tally{}, 260, "100 of 100 instances failed"},
		{"a ratio of 1 is no limit", always, numbered("a", 500),
			pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 1, MinInstances: 1000}, pipeline.Tally{}, 2000, ""},
		{"max_failures counts", always, numbered("a", 500),
			pipeline.ErrorsConfig{MaxFailures: 3, MaxFailureRatio: 1, MinInstances: 1000}, pipeline.Tally{}, 130, "max_failures (3)"},
		{"max_failures that are not reached", raises(pipeline.Raised, "ValueError"), withBad(500, 1, 2, 3),
			pipeline.ErrorsConfig{MaxFailures: 3, MaxFailureRatio: 1, MinInstances: 1000}, pipeline.Tally{}, 100, ""},
		{"the ratio is not judged before min_instances", raises(pipeline.Raised, "ValueError"), withBad(500, 1, 2, 3, 4, 5, 6, 7, 8, 9),
			pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 0.01, MinInstances: 1000}, pipeline.Tally{}, 200, ""},
		{"the ratio is judged from min_instances on", raises(pipeline.Raised, "ValueError"), withBad(5000, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
			pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 0.01, MinInstances: 1000}, pipeline.Tally{}, 200, "max_failure_ratio (0.01)"},
		{"what earlier attempts committed counts", raises(pipeline.Raised, "ValueError"), withBad(100, 1),
			pipeline.ErrorsConfig{MaxFailures: 3, MaxFailureRatio: 1, MinInstances: 1000}, pipeline.Tally{Predicted: 10, Failed: 3}, 100, "4 of"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pool := newFakePool(1, c.answer)
			_, result, err := treated(t, pool, 64, c.lines, func(j *pipeline.Job) { j.Errors, j.Before = c.errors, c.before })
			if len(pool.calls) > c.calls {
				t.Errorf("%d calls, at most %d are expected", len(pool.calls), c.calls)
			}
			var e *pipeline.Error
			switch {
			case c.want == "" && err != nil, c.want != "" && (!errors.As(err, &e) || e.Remedy != pipeline.FixInput || !strings.Contains(e.Message, c.want)):
				t.Errorf("error: %v", err)
			case c.want != "" && len(result.Uncommitted.Failures) == 0:
				t.Error("the result does not tell what failed")
			}
		})
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		config pipeline.ErrorsConfig
		tally  pipeline.Tally
		over   bool
	}{
		{"at the end few instances are judged too", pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 0.01, MinInstances: 1000}, pipeline.Tally{Predicted: 9, Failed: 1}, true},
		{"no instance at all", pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 0.01}, pipeline.Tally{}, false},
		{"just within the ratio", pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 0.01}, pipeline.Tally{Predicted: 99, Failed: 1}, false},
		{"all failed and no limit", pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 1}, pipeline.Tally{Failed: 5}, false},
		{"none may fail", pipeline.ErrorsConfig{MaxFailures: 0, MaxFailureRatio: 1}, pipeline.Tally{Predicted: 5, Failed: 1}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := c.config.Judge(&c.tally); (err != nil) != c.over {
				t.Errorf("error: %v", err)
			}
		})
	}
}
