package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// mixedLines gives lines of all kinds, blank ones among them and behind them. Each
// instance's line ends in its ordinal.
func mixedLines(random *rand.Rand, n int) []string {
	var lines []string
	for i := range n {
		for random.IntN(5) == 0 {
			lines = append(lines, "")
		}
		kind := []string{"ok", "ok", "ok", "ok", "ok", "unreadable", "raise", "refused"}[random.IntN(8)]
		lines = append(lines, fmt.Sprintf("%s-%d", kind, i))
	}
	return append(lines, make([]string, random.IntN(4))...)
}

// outcomesOf is what is to be in the output of such lines.
func outcomesOf(lines []string) []string {
	want := []string{}
	for _, line := range lines {
		kind, _, _ := strings.Cut(line, "-")
		switch kind {
		case "ok":
			want = append(want, "p("+line+")")
		case "unreadable":
			want = append(want, "read:LineTooLong("+line+")")
		case "raise":
			want = append(want, "predict:ValueError("+line+")")
		case "refused":
			want = append(want, "write:Refused("+line+")")
		}
	}
	return want
}

func raisesValueError(_ *fakeWorker, inputs []string) ([]string, *pipeline.CallError) {
	if contains(inputs, "raise") {
		return nil, raised(pipeline.Raised, "ValueError")
	}
	return echo(inputs), nil
}

// attempts are the runs over one split of mixed lines, towards one sink.
type attempts struct {
	t      *testing.T
	random *rand.Rand
	lines  []string
	sink   *memorySink
}

func newAttempts(t *testing.T, seed uint64) *attempts {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	return &attempts{t: t, random: random, lines: mixedLines(random, random.IntN(300)), sink: &memorySink{refuse: "refused"}}
}

// job is one attempt's, with a pool, a checkpoint and batches of its own.
func (a *attempts) job() (*pipeline.Job, *fakePool) {
	pool := newFakePool(2, raisesValueError)
	pool.delay = func([]string) time.Duration { return time.Duration(a.random.IntN(120)) * time.Second }
	job := newJob(&fileSource{splits: [][]string{a.lines}}, a.sink, pool)
	job.Batch.Instances, job.Window = 1+a.random.IntN(40), 1+a.random.IntN(6)
	job.Timeout, job.Checkpoint = time.Hour, 1+time.Duration(a.random.IntN(120))*time.Second
	job.Counters = new(pipeline.Counters)
	return job, pool
}

var errCrash = errors.New("crash")

// disturb lets one attempt come to an end: it crashes behind one of its next seals, or
// before one of its next batches is written, or it is drained, with or without the time
// for that, or killed.
func (a *attempts) disturb() (work, fetch context.Context) {
	a.t.Helper()
	work, fetch = a.t.Context(), a.t.Context()
	a.sink.onSeal, a.sink.onWrite = nil, nil
	left := a.random.IntN(3)
	crash := func() error {
		if left--; left < 0 {
			return errCrash
		}
		return nil
	}
	after := time.Duration(a.random.IntN(300)) * time.Second
	switch a.random.IntN(5) {
	case 0:
		a.sink.onSeal = func(context.Context, pipeline.SplitID) error { return crash() }
	case 1:
		a.sink.onWrite = func(pipeline.SplitID, *pipeline.Batch) error { return crash() }
	case 2:
		fetch = interrupt(a.t, after)
	case 3:
		fetch, work = interrupt(a.t, after), interrupt(a.t, after+time.Duration(a.random.IntN(100))*time.Second)
	case 4:
		work = interrupt(a.t, after)
	}
	return work, fetch
}

// run makes one attempt and holds what it has predicted against what was sealed before.
func (a *attempts) run(work, fetch context.Context) (pipeline.Result, *pipeline.Counters, error) {
	a.t.Helper()
	sealed := a.sink.seals[onlySplit].tally.Read
	job, pool := a.job()
	result, err := job.Run(work, fetch)
	for _, call := range pool.calls {
		for _, line := range call {
			_, number, _ := strings.Cut(line, "-")
			if n, err := strconv.ParseInt(number, 10, 64); err != nil || n < sealed {
				a.t.Fatalf("%s was predicted again: %d instances were sealed", line, sealed)
			}
		}
	}
	if now := a.sink.seals[onlySplit].tally.Read; now < sealed {
		a.t.Fatalf("%d instances were sealed, now %d are", sealed, now)
	}
	return result, job.Counters, err
}

// undisturbed is the tally of a run over the same lines that nothing ended early.
func (a *attempts) undisturbed() pipeline.Tally {
	a.t.Helper()
	b := &attempts{t: a.t, random: a.random, lines: a.lines, sink: &memorySink{refuse: "refused"}}
	result, _, err := b.run(a.t.Context(), a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	return result.Committed
}

// ofAttempt are the fields of a tally that depend on the size of the batches, and on time.
var ofAttempt = cmpopts.IgnoreFields(pipeline.Tally{}, "Batches", "FurtherCalls", "Seconds")

func TestARunThatIsEndedAgainAndAgainGivesWhatAnUndisturbedOneGives(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAttempts(t, seed)
				var counters *pipeline.Counters // of the attempt that commits
				for i := 0; len(a.sink.parts) == 0; i++ {
					work, fetch := t.Context(), t.Context()
					a.sink.onSeal, a.sink.onWrite = nil, nil
					if i < 12 {
						work, fetch = a.disturb()
					}
					var err error
					_, counters, err = a.run(work, fetch)
					if err == nil && len(a.sink.parts) == 0 || err != nil && !errors.Is(err, errCrash) && !errors.Is(err, errInterrupted) {
						t.Fatalf("error %v, parts %v", err, a.sink.parts)
					}
				}
				if diff := cmp.Diff(outcomesOf(a.lines), a.sink.parts[onlySplit], cmp.Transformer("len0", nilAsEmpty)); diff != "" {
					t.Error(diff)
				}
				want := a.undisturbed()
				if diff := cmp.Diff(want, a.sink.tallies[onlySplit], ofAttempt); diff != "" {
					t.Error(diff)
				}
				counted := []int64{counters.Read.Load(), counters.Predicted.Load(), counters.Failed.Load(), counters.BytesRead.Load()}
				if diff := cmp.Diff([]int64{want.Read, want.Predicted, want.Failed, want.BytesRead}, counted); diff != "" {
					t.Errorf("counters: %s", diff)
				}
			})
		})
	}
}

func TestACrashAtEverySealCostsNothingThatIsSealed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			a := newAttempts(t, seed)
			a.sink.onSeal = func(context.Context, pipeline.SplitID) error { return errCrash }
			for crashes := 0; ; crashes++ {
				_, _, err := a.run(t.Context(), t.Context())
				if err == nil {
					break
				}
				if !errors.Is(err, errCrash) || crashes > len(a.lines) {
					t.Fatalf("seed %d: attempt %d: %v", seed, crashes+1, err)
				}
			}
			if diff := cmp.Diff(outcomesOf(a.lines), a.sink.parts[onlySplit], cmp.Transformer("len0", nilAsEmpty)); diff != "" {
				t.Errorf("seed %d: %s", seed, diff)
			}
			if diff := cmp.Diff(a.undisturbed(), a.sink.tallies[onlySplit], ofAttempt); diff != "" {
				t.Errorf("seed %d: %s", seed, diff)
			}
		})
	}
}

// What was found and what is written are counted apart. A part that can not be committed
// shows both.
func TestWhatIsCommittedIsWhatWasFound(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			a := newAttempts(t, seed)
			a.sink.onSeal = func(context.Context, pipeline.SplitID) error { return errCrash }
			if _, _, err := a.run(t.Context(), t.Context()); err != nil && !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			var written pipeline.Tally
			a.sink.parts, a.sink.onSeal = nil, nil
			a.sink.onCommit = func(_ pipeline.SplitID, t pipeline.Tally) error {
				written = t
				return errCrash
			}
			result, _, err := a.run(t.Context(), t.Context())
			if !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(result.Uncommitted, written, cmpopts.EquateApprox(1e-9, 0), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("seed %d: %s", seed, diff)
			}
		})
	}
}

func TestTheKindsOfFailureThatAreToldApartAreTheFirstOfTheSplit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lines := append([]string{"ok"}, numbered("raise", 150)...)
		pool := newFakePool(1, func(_ *fakeWorker, inputs []string) ([]string, *pipeline.CallError) {
			if inputs[0] != "ok" {
				return nil, raised(pipeline.Raised, "Type of "+inputs[0])
			}
			return echo(inputs), nil
		})
		// The last one is found first.
		answersAt(pool, lines, 1, func(i int) time.Duration { return time.Duration((151-i)%151) * time.Minute })
		sink := &memorySink{}
		job := sealingJob(lines, sink, pool)
		job.Batch.Instances, job.Window, job.Checkpoint = 1, 200, 0
		result, err := job.Run(t.Context(), t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sink.tallies[onlySplit], result.Committed); diff != "" {
			t.Error(diff)
		}
		kinds := result.Committed.Failures
		if len(kinds) != 100 || result.Committed.Failed != 150 {
			t.Fatalf("%d kinds of %d failures", len(kinds), result.Committed.Failed)
		}
		for i, kind := range kinds {
			if want := "Type of " + lines[i+1]; kind.Type != want {
				t.Errorf("kind %d is %s, not %s", i, kind.Type, want)
			}
		}
	})
}

func TestTheTimeOfASplitIsThatOfAllItsParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &memorySink{seals: map[pipeline.SplitID]seal{onlySplit: {
			echo(numbered("a", 10)), pipeline.Tally{Read: 10, Predicted: 10, Seconds: pipeline.Seconds{Read: 100, Write: 100}},
		}}}
		wait := func(d time.Duration) { <-time.After(d) }
		sink.onWrite = func(pipeline.SplitID, *pipeline.Batch) error { wait(8 * time.Second); return nil }
		sink.onSeal = func(context.Context, pipeline.SplitID) error { wait(32 * time.Second); return nil }
		lines := append(numbered("a", 30), "", "")
		pool := newFakePool(1, healthy)
		answersAt(pool, lines, 10, func(i int) time.Duration { return time.Duration(i*i) * 10 * time.Minute })
		job := sealingJob(lines, sink, pool)
		job.Source = &fileSource{
			splits: [][]string{lines},
			onSkip: func(context.Context, int64) error { wait(time.Second); return nil },
			onRead: func() { wait(2 * time.Second) },
		}
		result, err := job.Run(t.Context(), t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := pipeline.Seconds{Read: 100 + 1 + 3*2, Write: 100 + 2*8 + 32}
		if diff := cmp.Diff(want, result.Committed.Seconds); diff != "" || len(sink.sealed) != 1 {
			t.Errorf("%s seals %v", diff, sink.sealed)
		}
		if c := result.Committed; c.Lines != 32 || c.Batches != 2 {
			t.Errorf("%+v", c)
		}
	})
}

func TestASplitThatHasLessThanWasSealedIsUnread(t *testing.T) {
	t.Parallel()
	sink := &memorySink{seals: map[pipeline.SplitID]seal{"00000-of-00002": {echo(numbered("a", 10)), pipeline.Tally{Read: 10, Predicted: 10}}}}
	source := &fileSource{splits: [][]string{numbered("a", 9), numbered("b", 40)}}
	result, err := newJob(source, sink, newFakePool(1, healthy)).Run(t.Context(), t.Context())
	if err != nil || result.Done != 1 || len(result.Unread) != 1 || result.Unread[0].ID != "00000-of-00002" || result.Uncommitted.Predicted != 10 {
		t.Errorf("error %v, result %+v", err, result)
	}
	if source.settled["00000-of-00002"] == nil {
		t.Error("it was settled as if it were done")
	}
}
