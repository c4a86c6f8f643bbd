package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

var errInterrupted = errors.New("interrupted")

// interrupt ends a context after a while.
func interrupt(t *testing.T, after time.Duration) context.Context {
	t.Helper()
	ctx, stop := context.WithCancelCause(t.Context())
	time.AfterFunc(after, func() { stop(errInterrupted) })
	return ctx
}

func TestDraining(t *testing.T) {
	t.Parallel()
	t.Run("seals what is under way, gives the split up, and a later run goes on behind it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			source := &fileSource{splits: [][]string{numbered("a", 16), numbered("b", 1600), numbered("c", 16)}}
			pool, sink := newFakePool(4, healthy), &memorySink{}
			pool.delay = func([]string) time.Duration { return time.Minute }
			job := newJob(source, sink, pool)
			job.Checkpoint = time.Hour
			result, err := job.Run(t.Context(), interrupt(t, 30*time.Second))
			if !errors.Is(err, errInterrupted) || result.Done != 1 || len(sink.parts) != 1 || sink.discarded != 1 {
				t.Errorf("error %v, result %+v, parts %v", err, result, sink.parts)
			}
			underWay := int64(16 * (len(pool.calls) - 1)) // but for the one of the first split
			if underWay == 0 || sink.seals["00001-of-00003"].tally.Read != underWay || result.Uncommitted.Predicted != underWay {
				t.Errorf("%d under way, seals %v, result %+v", underWay, sink.sealed, result)
			}
			if settled := source.settled["00001-of-00003"]; settled == nil || len(source.settled) != 2 {
				t.Errorf("settled %v", source.settled)
			}

			job.Source = &fileSource{splits: source.splits}
			if result, err = job.Run(t.Context(), t.Context()); err != nil || result.Done != 2 || result.Skipped != 1 {
				t.Errorf("error %v, result %+v", err, result)
			}
			for i, lines := range source.splits {
				if diff := cmp.Diff(echo(lines), sink.parts[pipeline.NewSplitID(i, 3)]); diff != "" {
					t.Errorf("split %d: %s", i, diff)
				}
			}
			if n := len(pool.calls); n != 102 {
				t.Errorf("%d batches were predicted, the input has 102", n)
			}
		})
	})
	t.Run("finishes and commits a split that is wholly read, and seals it meanwhile", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			lines, sink, pool := numbered("a", 50), &memorySink{}, newFakePool(1, healthy)
			answersAt(pool, lines, 10, func(i int) time.Duration { return time.Duration(i) * time.Minute })
			began := time.Now()
			result, err := sealingJob(lines, sink, pool).Run(t.Context(), interrupt(t, 90*time.Second))
			if err != nil || result.Done != 1 {
				t.Errorf("error %v, result %+v", err, result)
			}
			const second, minute = time.Second, time.Minute
			if diff := cmp.Diff(seals{90 * second: 20, 2 * minute: 30, 3 * minute: 40, 4 * minute: 50}, sealsSince(t, sink, began)); diff != "" {
				t.Error(diff)
			}
		})
	})
	t.Run("ends at once when work ends", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			lines, sink, pool := numbered("a", 2000), &memorySink{}, newFakePool(1, healthy)
			answersAt(pool, lines, 10, func(i int) time.Duration {
				return []time.Duration{time.Second, 20 * time.Second, 20100 * time.Millisecond, 2 * time.Hour}[min(i, 3)]
			})
			began := time.Now()
			_, err := sealingJob(lines, sink, pool).Run(interrupt(t, 20500*time.Millisecond), interrupt(t, 10*time.Second))
			if !errors.Is(err, errInterrupted) || time.Since(began) != 20500*time.Millisecond {
				t.Errorf("error %v after %v", err, time.Since(began))
			}
			// The third batch was written less than a second after the last seal.
			if diff := cmp.Diff(seals{10 * time.Second: 10, 20 * time.Second: 20}, sealsSince(t, sink, began)); diff != "" {
				t.Error(diff)
			}
		})
	})
	t.Run("begins no seal when work ends with it", func(t *testing.T) {
		t.Parallel()
		for range 50 {
			synctest.Test(t, func(t *testing.T) {
				lines, sink, pool := numbered("a", 2000), &memorySink{}, newFakePool(1, healthy)
				answersAt(pool, lines, 10, func(i int) time.Duration { return time.Second + time.Duration(i)*time.Hour })
				work := interrupt(t, time.Minute)
				if _, err := sealingJob(lines, sink, pool).Run(work, work); !errors.Is(err, errInterrupted) {
					t.Errorf("error %v", err)
				}
				if len(sink.sealed) != 0 || sink.late != 0 {
					t.Errorf("seals %v, %d late", sink.sealed, sink.late)
				}
			})
		}
	})
	t.Run("counts of what was read nothing that is another split's", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			job, reads := sealingJob(nil, &memorySink{}, newFakePool(1, healthy)), 0
			job.Source = &fileSource{splits: [][]string{numbered("a", 5000), numbered("b", 5000)}, onRead: func() {
				if reads++; reads == 502 { // the first of the second split
					<-time.After(time.Minute)
				}
			}}
			job.Splits, job.Window = 1, 4
			result, err := job.Run(t.Context(), interrupt(t, time.Second))
			if !errors.Is(err, errInterrupted) || result.Done != 1 {
				t.Errorf("error %v, result %+v", err, result)
			}
			if u := result.Uncommitted; u.Lines != 0 || u.BytesRead != 0 {
				t.Errorf("uncommitted %+v", u)
			}
		})
	})
	t.Run("finishes nothing that could not be sealed", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			lines, sink, pool := numbered("a", 2000), &memorySink{}, newFakePool(1, healthy)
			answersAt(pool, lines, 10, func(int) time.Duration { return time.Hour })
			job := sealingJob(lines, sink, pool)
			job.Checkpoint = 0
			reads := 0
			job.Source = &fileSource{splits: [][]string{lines}, onRead: func() {
				if reads++; reads == 3 {
					<-time.After(time.Minute)
				}
			}}
			began := time.Now()
			result, err := job.Run(t.Context(), interrupt(t, 10*time.Second))
			if !errors.Is(err, errInterrupted) || result.Done != 0 || len(sink.sealed) != 0 || time.Since(began) != time.Minute {
				t.Errorf("error %v after %v, result %+v, seals %v", err, time.Since(began), result, sink.sealed)
			}
		})
	})
	t.Run("stops a source that passes over what was sealed", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			sink := &memorySink{seals: map[pipeline.SplitID]seal{onlySplit: {echo(numbered("a", 10)), pipeline.Tally{Read: 10, Predicted: 10}}}}
			job := sealingJob(nil, sink, newFakePool(1, healthy))
			job.Source = &fileSource{splits: [][]string{numbered("a", 20)}, onSkip: func(ctx context.Context, _ int64) error {
				<-ctx.Done()
				return context.Cause(ctx)
			}}
			result, err := job.Run(t.Context(), interrupt(t, time.Second))
			if !errors.Is(err, errInterrupted) || len(result.Unread) != 0 || len(sink.sealed) != 0 {
				t.Errorf("error %v, result %+v, seals %v", err, result, sink.sealed)
			}
		})
	})
}

func TestSealsOfADrainAreASecondApartAndTheLastHoldsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lines, sink, pool := numbered("a", 2000), &memorySink{}, newFakePool(1, healthy)
		// 22 batches have their place when fetching ends; they are answered every 300 ms.
		answersAt(pool, lines, 10, func(i int) time.Duration { return 10*time.Minute + time.Duration(i-2)*300*time.Millisecond })
		job := sealingJob(lines, sink, pool)
		job.Window, job.Checkpoint = 20, time.Hour
		began := time.Now()
		_, err := job.Run(t.Context(), interrupt(t, 10*time.Minute-time.Millisecond))
		if !errors.Is(err, errInterrupted) {
			t.Errorf("error %v", err)
		}
		if n := len(sink.sealed); n < 4 {
			t.Fatalf("seals %v", sink.sealed)
		}
		first, last := sink.sealed[0], sink.sealed[len(sink.sealed)-1]
		if first.at.Sub(began) != 10*time.Minute-time.Millisecond || first.read != 20 {
			t.Errorf("what was written when fetching ended was not sealed at once: %v", sink.sealed)
		}
		for i, s := range sink.sealed[1 : len(sink.sealed)-1] {
			if gap := s.at.Sub(sink.sealed[i].at); gap < time.Second || gap > 1300*time.Millisecond {
				t.Errorf("seal %d came after %v", i+1, gap)
			}
		}
		if all := int64(10 * len(pool.calls)); last.read != all || all >= 2000 {
			t.Errorf("%d of %d instances are sealed", last.read, all)
		}
	})
}
