package pipeline_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// everyTenth gives n lines of which every tenth is bad, the fourth first.
func everyTenth(n int) []string {
	var places []int
	for i := 3; i < n; i += 10 {
		places = append(places, i)
	}
	return withBad(n, places...)
}

// Nothing is predicted by any batch's first call, and each call with a culprit in it
// leaves a worker that fails all.
func TestCulpritsInAllFirstBatchesThatPoisonTheirWorkersCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 2, 8} {
		for _, size := range []int{20, 40, 512} {
			t.Run(fmt.Sprintf("%d workers, batches of %d", workers, size), func(t *testing.T) {
				t.Parallel()
				lines := everyTenth(2 * size)
				got, _, err := treated(t, newFakePool(workers, poisoned), size, lines, func(j *pipeline.Job) { j.Window = 2*workers + 2 })
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

func TestAPredictorThatDiesOfEverythingIsGivenUpWhateverTheBatchesSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 8, 64, 512} {
		t.Run(fmt.Sprint("batches of ", size), func(t *testing.T) {
			t.Parallel()
			pool := newFakePool(2, func(*fakeWorker, []string) ([]string, *pipeline.CallError) { return nil, raised(pipeline.Crashed, "") })
			_, _, err := treated(t, pool, size, numbered("a", 4096), func(j *pipeline.Job) { j.Window = 6 })
			var end *pipeline.Error
			if !errors.As(err, &end) || end.Remedy != pipeline.FixInput {
				t.Fatalf("error = %v", err)
			}
			// Twice for ten instances, what lies above them, and the first calls of waiting batches.
			if pool.died > 60 {
				t.Errorf("%d workers died", pool.died)
			}
		})
	}
}

func TestAHugeInstanceMakesBatchesHalfAsLargeAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pool := newFakePool(2, raises(pipeline.Memory, "MemoryError"))
		pool.delay = func([]string) time.Duration { return time.Millisecond }
		lines := withBad(6400, 77)
		got, _, err := treated(t, pool, 64, lines, func(j *pipeline.Job) { j.Window = 6 })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(expected(lines, "BAD", "predict:MemoryError"), got); diff != "" {
			t.Error(diff)
		}
		for _, call := range pool.calls {
			if n := len(call); n < 32 && n > 1 && !slices.Contains(lines[64:128], call[0]) {
				t.Errorf("a call of another batch has %d instances", n)
			}
		}
	})
}
