package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

func healthy(_ *fakeWorker, inputs []string) ([]string, *pipeline.CallError) {
	return echo(inputs), nil
}

func TestRunKeepsEveryInstanceInItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &fileSource{splits: [][]string{numbered("a", 1000), nil, numbered("b", 7), numbered("c", 33)}}
		sink := &memorySink{}
		pool := newFakePool(3, healthy)
		// Later batches are answered first.
		pool.delay = func(inputs []string) time.Duration { return time.Duration(1000-len(pool.calls)) * time.Millisecond }
		result, err := newJob(source, sink, pool).Run(t.Context(), t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if result.Done != 4 || result.Committed.Predicted != 1040 || result.Committed.Read != 1040 {
			t.Errorf("result: %+v", result)
		}
		for i, lines := range source.splits {
			if diff := cmp.Diff(echo(lines), sink.parts[pipeline.NewSplitID(i, 4)], cmp.Transformer("len0", nilAsEmpty)); diff != "" {
				t.Errorf("split %d: %s", i, diff)
			}
		}
		if len(source.settled) != 4 {
			t.Errorf("settled: %v", source.settled)
		}
	})
}

func TestBatchesOfASplitAreCalledInOrder(t *testing.T) {
	t.Parallel()
	lines := numbered("a", 5000)
	lines[7] = "unreadable" // a batch without it waits for nobody
	pool := newFakePool(1, healthy)
	job := newJob(&fileSource{splits: [][]string{lines}}, &memorySink{}, pool)
	job.Batch.Instances, job.Window = 1, 50
	if _, err := job.Run(t.Context(), t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, call := range pool.calls {
		at := i
		if i >= 7 {
			at++
		}
		if call[0] != lines[at] {
			t.Fatalf("call %d was for %s, not %s", i, call[0], lines[at])
		}
	}
}

func nilAsEmpty(s []string) []string { return append(make([]string, 0, len(s)), s...) }

func TestBackPressureBoundsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	t.Run("batches of a split, and splits", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			pool := newFakePool(50, healthy)
			pool.delay = func([]string) time.Duration { return time.Second }
			sink := &memorySink{}
			job := newJob(&fileSource{splits: [][]string{numbered("a", 2000), numbered("b", 2000), numbered("c", 2000)}}, sink, pool)
			if _, err := job.Run(t.Context(), t.Context()); err != nil {
				t.Fatal(err)
			}
			// Of each split: the queue, one in the writer's hand, one waiting for the queue.
			if most := job.Splits * (job.Window + 2); pool.mostBusy > most || sink.mostOpen > int64(job.Splits) {
				t.Errorf("%d calls and %d parts at a time, at most %d and %d are allowed", pool.mostBusy, sink.mostOpen, most, job.Splits)
			}
		})
	})
	t.Run("bytes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			pool := newFakePool(50, healthy)
			pool.delay = func([]string) time.Duration { return time.Second }
			job := newJob(&fileSource{splits: [][]string{numbered("aaaaaaaa", 100)}}, &memorySink{}, pool)
			job.Batch.Instances, job.Window, job.Memory = 1, 100, 150
			if _, err := job.Run(t.Context(), t.Context()); err != nil {
				t.Fatal(err)
			}
			if pool.mostBusy > 5 {
				t.Errorf("%d batches of 9 to 10 bytes under way, each three times held; 150 bytes are allowed", pool.mostBusy)
			}
		})
	})
	t.Run("a batch larger than all the memory goes alone", func(t *testing.T) {
		t.Parallel()
		sink := &memorySink{}
		job := newJob(&fileSource{splits: [][]string{numbered("aaaaaaaa", 100)}}, sink, newFakePool(2, healthy))
		job.Memory = 1
		if _, err := job.Run(t.Context(), t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(sink.parts["00000-of-00001"]); n != 100 {
			t.Errorf("%d lines", n)
		}
	})
}

func TestCommittedPartsAreNotPredictedAgain(t *testing.T) {
	t.Parallel()
	source := &fileSource{splits: [][]string{numbered("a", 10), numbered("b", 10)}}
	sink := &memorySink{parts: map[pipeline.SplitID][]string{"00000-of-00002": {"kept"}}, tallies: map[pipeline.SplitID]pipeline.Tally{}}
	pool := newFakePool(1, healthy)
	result, err := newJob(source, sink, pool).Run(t.Context(), t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Done != 1 || result.Skipped != 1 || len(pool.calls) != 1 {
		t.Errorf("done %d, skipped %d, calls %v", result.Done, result.Skipped, pool.calls)
	}
	if diff := cmp.Diff([]string{"kept"}, sink.parts["00000-of-00002"]); diff != "" {
		t.Error(diff)
	}
}

func TestASplitThatCanNotBeReadIsNotCommittedAndTheOthersAre(t *testing.T) {
	t.Parallel()
	truncated := errors.New("truncated")
	source := &fileSource{splits: [][]string{numbered("a", 40), numbered("b", 40), numbered("c", 40)}, broken: map[int]error{1: truncated}}
	sink := &memorySink{}
	result, err := newJob(source, sink, newFakePool(2, healthy)).Run(t.Context(), t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Done != 2 || len(result.Unread) != 1 || !errors.Is(result.Unread[0], truncated) || result.Unread[0].ID != "00001-of-00003" {
		t.Errorf("result: %+v", result)
	}
	if _, there := sink.parts["00001-of-00003"]; there || sink.discarded != 1 {
		t.Error("the unreadable split's part was committed, or not discarded")
	}
	if !errors.Is(source.settled["00001-of-00003"], truncated) {
		t.Errorf("settled: %v", source.settled)
	}
}

func TestASinkThatFailsEndsTheRun(t *testing.T) {
	t.Parallel()
	full := errors.New("disk is full")
	sink := &memorySink{onOpen: func(id pipeline.SplitID) error {
		if id == "00002-of-00004" {
			return full
		}
		return nil
	}}
	source := &fileSource{splits: [][]string{numbered("a", 40), numbered("b", 40), numbered("c", 40), numbered("d", 40)}}
	if _, err := newJob(source, sink, newFakePool(2, healthy)).Run(t.Context(), t.Context()); !errors.Is(err, full) {
		t.Errorf("error: %v", err)
	}
}

func TestAPoolThatEndsEndsTheRun(t *testing.T) {
	t.Parallel()
	sink := &memorySink{}
	job := newJob(&fileSource{splits: [][]string{numbered("a", 4000)}}, sink, deadPool{})
	_, err := job.Run(t.Context(), t.Context())
	var e *pipeline.Error
	if !errors.As(err, &e) || e.Remedy != pipeline.FixInput || len(sink.parts) != 0 {
		t.Errorf("error: %v, parts: %v", err, sink.parts)
	}
}

func TestTheFirstFailureIsWhatEndsTheRun(t *testing.T) {
	t.Parallel()
	// The writer must never take a batch whose prediction has failed for one that is ready.
	for range 20000 {
		job := newJob(&fileSource{splits: [][]string{{"a"}}}, &strictSink{}, deadPool{})
		_, err := job.Run(t.Context(), t.Context())
		var e *pipeline.Error
		if !errors.As(err, &e) {
			t.Fatalf("error: %v", err)
		}
	}
}

// strictSink refuses batches without outcomes, as real sinks do.
type strictSink struct{ memorySink }

func (s *strictSink) Open(ctx context.Context, id pipeline.SplitID) (pipeline.Part, error) {
	part, err := s.memorySink.Open(ctx, id)
	return strictPart{part}, err
}

type strictPart struct{ pipeline.Part }

func (p strictPart) Write(ctx context.Context, b *pipeline.Batch, o []pipeline.Outcome) error {
	for i := range o {
		if o[i].Prediction == nil && o[i].Failure == nil {
			return errors.New("an instance has no outcome")
		}
	}
	return p.Part.Write(ctx, b, o)
}

type deadPool struct{}

func (deadPool) Predict(context.Context, pipeline.Call) (pipeline.Answer, error) {
	return pipeline.Answer{}, &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhaseLoad, Message: "no worker"}
}
func (deadPool) Replace(pipeline.WorkerID, string) {}

func TestStopping(t *testing.T) {
	t.Parallel()
	interrupted := errors.New("interrupted")
	t.Run("finishes what is read, gives up the rest, begins nothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			fetch, stop := context.WithCancelCause(t.Context())
			source := &fileSource{splits: [][]string{numbered("a", 16), numbered("b", 1600), numbered("c", 16)}}
			pool := newFakePool(4, healthy)
			pool.delay = func([]string) time.Duration { return time.Minute }
			sink := &memorySink{}
			time.AfterFunc(30*time.Second, func() { stop(interrupted) })
			result, err := newJob(source, sink, pool).Run(t.Context(), fetch)
			if !errors.Is(err, interrupted) {
				t.Errorf("error: %v", err)
			}
			if result.Done != 1 || len(sink.parts["00000-of-00003"]) != 16 || len(sink.parts) != 1 {
				t.Errorf("result %+v, parts %v", result, sink.parts)
			}
		})
	})
	t.Run("the end of work ends everything at once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			work, end := context.WithCancelCause(t.Context())
			pool := newFakePool(4, healthy)
			pool.delay = func([]string) time.Duration { return time.Hour }
			time.AfterFunc(time.Second, func() { end(interrupted) })
			began := time.Now()
			job := newJob(&fileSource{splits: [][]string{numbered("a", 1600)}}, &memorySink{}, pool)
			job.Timeout = 2 * time.Hour
			if _, err := job.Run(work, work); !errors.Is(err, interrupted) {
				t.Errorf("error: %v", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
	t.Run("a run that had read everything is not stopped", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			fetch, stop := context.WithCancelCause(t.Context())
			pool := newFakePool(4, healthy)
			pool.delay = func([]string) time.Duration { return time.Minute }
			time.AfterFunc(30*time.Second, func() { stop(interrupted) })
			if _, err := newJob(&fileSource{splits: [][]string{numbered("a", 16)}}, &memorySink{}, pool).Run(t.Context(), fetch); err != nil {
				t.Errorf("error: %v", err)
			}
		})
	})
}

func TestFailuresOfEveryPhaseKeepTheirPlace(t *testing.T) {
	t.Parallel()
	pool := newFakePool(2, func(_ *fakeWorker, inputs []string) ([]string, *pipeline.CallError) {
		if contains(inputs, "raise") {
			return nil, raised(pipeline.Raised, "ValueError")
		}
		return echo(inputs), nil
	})
	lines := []string{"a", "unreadable", "b", "raise", "refused", "c", "unreadable2"}
	sink := &memorySink{refuse: "refused"}
	counters := new(pipeline.Counters)
	job := newJob(&fileSource{splits: [][]string{lines}}, sink, pool)
	job.Counters = counters
	result, err := job.Run(t.Context(), t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"p(a)", "read:LineTooLong(unreadable)", "p(b)", "predict:ValueError(raise)", "write:Refused(refused)", "p(c)", "read:LineTooLong(unreadable2)"}
	if diff := cmp.Diff(want, sink.parts["00000-of-00001"]); diff != "" {
		t.Error(diff)
	}
	tally := result.Committed
	if tally.Read != 7 || tally.Predicted != 3 || tally.Failed != 4 {
		t.Errorf("tally: %+v", tally)
	}
	if counters.Predicted.Load() != 3 || counters.Failed.Load() != 4 || counters.Read.Load() != 7 {
		t.Errorf("counters: predicted %d, failed %d", counters.Predicted.Load(), counters.Failed.Load())
	}
	var kinds []string
	for _, f := range tally.Failures {
		kinds = append(kinds, fmt.Sprintf("%s %s %d at %d of %s", f.Phase, f.Type, f.Count, f.First.Ordinal, f.First.Source.URI))
	}
	wantKinds := []string{"read LineTooLong 2 at 1 of located", "predict ValueError 1 at 3 of located", "write Refused 1 at 4 of located"}
	if diff := cmp.Diff(wantKinds, kinds); diff != "" {
		t.Error(diff)
	}
}
