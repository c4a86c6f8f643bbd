package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

const onlySplit = pipeline.SplitID("00000-of-00001")

// answersAt lets batch number i of one split, of n instances each, have its answer at
// at(i) from now.
func answersAt(pool *fakePool, lines []string, n int, at func(batch int) time.Duration) {
	began, number := time.Now(), map[string]int{}
	for i, line := range lines {
		number[line] = i / n
	}
	pool.delay = func(inputs []string) time.Duration { return time.Until(began.Add(at(number[inputs[0]]))) }
}

// seals is when how many instances were sealed, since a time.
type seals map[time.Duration]int64

func sealsSince(t *testing.T, sink *memorySink, began time.Time) seals {
	t.Helper()
	got := seals{}
	for _, s := range sink.sealed {
		if s.lines != s.read { // there are no blank lines
			t.Errorf("%d lines are behind %d sealed instances", s.lines, s.read)
		}
		got[s.at.Sub(began)] = s.read
	}
	return got
}

// sealingJob is one split of lines in batches of ten, all of them called at once, and what
// is written is sealed when it is two minutes old.
func sealingJob(lines []string, sink pipeline.Sink, pool pipeline.Pool) *pipeline.Job {
	job := newJob(&fileSource{splits: [][]string{lines}}, sink, pool)
	job.Batch.Instances, job.Window, job.Timeout = 10, 100, 10*time.Hour
	job.Checkpoint = 2 * time.Minute
	return job
}

func TestFinishedWorkIsSealedInTime(t *testing.T) {
	t.Parallel()
	const second, minute = time.Second, time.Minute
	cases := []struct {
		name       string
		batches    int
		at         func(batch int) time.Duration
		checkpoint time.Duration
		want       seals
	}{
		{"while a slow batch is waited for, once", 3, func(i int) time.Duration { return []time.Duration{second, 90 * minute, 91 * minute}[i] },
			2 * minute, seals{second + 2*minute: 10}},
		{"two minutes after what was written first since the last seal", 12, func(i int) time.Duration { return time.Duration(i+1) * 50 * second },
			2 * minute, seals{170 * second: 30, 320 * second: 60, 470 * second: 90}},
		{"not when it is committed before", 5, func(i int) time.Duration { return time.Duration(i) * 29 * second }, 2 * minute, seals{}},
		{"never without a checkpoint", 5, func(i int) time.Duration { return time.Duration(i) * time.Hour }, 0, seals{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lines := numbered("a", 10*c.batches)
				sink, pool := &memorySink{}, newFakePool(1, healthy)
				answersAt(pool, lines, 10, c.at)
				job := sealingJob(lines, sink, pool)
				job.Checkpoint = c.checkpoint
				began := time.Now()
				if _, err := job.Run(t.Context(), t.Context()); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, sealsSince(t, sink, began)); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(echo(lines), sink.parts[onlySplit]); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
	t.Run("while the source is slow", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			sink, reads := &memorySink{}, 0
			job := sealingJob(numbered("a", 30), sink, newFakePool(1, healthy))
			source := &fileSource{splits: [][]string{numbered("a", 30)}, onRead: func() {
				if reads++; reads == 3 {
					<-time.After(time.Hour)
				}
			}}
			job.Source = source
			began := time.Now()
			if _, err := job.Run(t.Context(), t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(seals{2 * minute: 20}, sealsSince(t, sink, began)); diff != "" {
				t.Error(diff)
			}
		})
	})
}

// sealAndCommit is a job of two splits of which the first is sealed once, by a seal that
// ends with err.
func sealAndCommit(t *testing.T, err error) (*memorySink, *fileSource, pipeline.Result, error) {
	t.Helper()
	sink, pool := &memorySink{}, newFakePool(1, healthy)
	source := &fileSource{splits: [][]string{numbered("a", 5000), numbered("b", 10)}}
	pool.delay = func(inputs []string) time.Duration {
		if inputs[0] == "a0" || inputs[0] == "b0" {
			return 0
		}
		return time.Hour
	}
	sink.onSeal = func(context.Context, pipeline.SplitID) error { return err }
	job := sealingJob(nil, sink, pool)
	job.Source, job.Window = source, 4
	result, runErr := job.Run(t.Context(), t.Context())
	return sink, source, result, runErr
}

func TestASealThatFails(t *testing.T) {
	t.Parallel()
	t.Run("ends the run", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			full, began := errors.New("disk is full"), time.Now()
			_, source, result, err := sealAndCommit(t, full)
			if !errors.Is(err, full) || result.Done != 1 || result.Skipped != 0 {
				t.Errorf("error %v, result %+v", err, result)
			}
			if took := time.Since(began); took != 2*time.Minute {
				t.Errorf("it took %v", took)
			}
			if !errors.Is(source.settled["00000-of-00002"], full) {
				t.Errorf("settled %v", source.settled)
			}
		})
	})
	t.Run("because somebody else has committed the part, gives it up", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			sink, source, result, err := sealAndCommit(t, pipeline.ErrCommitted)
			if err != nil || result.Done != 1 || result.Skipped != 1 || result.Uncommitted.Read != 0 {
				t.Errorf("error %v, result %+v", err, result)
			}
			if took := time.Since(began); took != 2*time.Minute {
				t.Errorf("it took %v: what was under way was not given up", took)
			}
			if settled, there := source.settled["00000-of-00002"]; !there || settled != nil || sink.discarded != 1 {
				t.Errorf("settled %v, %d discarded", source.settled, sink.discarded)
			}
		})
	})
}

func TestTheMemoryOfASplitThatIsGivenUpIsFreeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink, pool := &memorySink{}, newFakePool(1, healthy)
		a := numbered("a", 1000)
		answersAt(pool, a, 10, func(i int) time.Duration { return time.Duration(i) * time.Hour })
		sink.onSeal = func(_ context.Context, id pipeline.SplitID) error { return pipeline.ErrCommitted }
		job := sealingJob(nil, sink, pool)
		job.Source = &fileSource{splits: [][]string{a, numbered(strings.Repeat("b", 1000), 10)}}
		// The second split needs all of it.
		job.Splits, job.Memory = 1, 1000
		if result, err := job.Run(t.Context(), t.Context()); err != nil || result.Done != 1 || result.Skipped != 1 {
			t.Errorf("error %v, result %+v", err, result)
		}
	})
}

func TestASinkThatFailsToWriteEndsTheRunAtOnce(t *testing.T) {
	t.Parallel()
	full := errors.New("disk is full")
	sink := &memorySink{onWrite: func(_ pipeline.SplitID, b *pipeline.Batch) error {
		if b.First == 0 {
			return full
		}
		return nil
	}}
	pool := newFakePool(1, healthy)
	job := newJob(&fileSource{splits: [][]string{numbered("a", 100_000)}}, sink, pool)
	job.Memory = 100 // the memory of batches that were not written is free again
	if _, err := job.Run(t.Context(), t.Context()); !errors.Is(err, full) {
		t.Errorf("error: %v", err)
	}
	if n := len(pool.calls); n > 1000 {
		t.Errorf("%d batches were predicted in vain", n)
	}
}

// aliveSink holds contexts that were given to Write and Seal against the promise that they
// live as long as the part.
type aliveSink struct{ memorySink }

func (s *aliveSink) Open(ctx context.Context, id pipeline.SplitID) (pipeline.Part, error) {
	part, err := s.memorySink.Open(ctx, id)
	return &alivePart{Part: part}, err
}

type alivePart struct {
	pipeline.Part
	ended []func() error
}

func (p *alivePart) Write(ctx context.Context, b *pipeline.Batch, o []pipeline.Outcome) error {
	p.ended = append(p.ended, ctx.Err)
	return p.Part.Write(ctx, b, o)
}

func (p *alivePart) Seal(ctx context.Context, t *pipeline.Tally) error {
	p.ended = append(p.ended, ctx.Err)
	return p.Part.Seal(ctx, t)
}

func (p *alivePart) Commit(ctx context.Context, t *pipeline.Tally) error {
	for _, ended := range append(p.ended, ctx.Err) {
		if err := ended(); err != nil {
			return err
		}
	}
	return p.Part.Commit(ctx, t)
}

func TestThePartsContextLivesAsLongAsThePart(t *testing.T) {
	t.Parallel()
	for _, draining := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			fetch, stop := context.WithCancel(t.Context())
			defer stop()
			lines, pool := numbered("a", 100), newFakePool(1, healthy)
			answersAt(pool, lines, 10, func(i int) time.Duration { return time.Duration(i) * time.Minute })
			if draining {
				time.AfterFunc(5*time.Minute, stop)
			}
			sink := &aliveSink{}
			if _, err := sealingJob(lines, sink, pool).Run(t.Context(), fetch); err != nil {
				t.Error(err)
			}
			if len(sink.sealed) < 3 {
				t.Errorf("%d seals", len(sink.sealed))
			}
		})
	}
}
