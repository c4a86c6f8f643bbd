package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
	"github.com/cpr-batch/cpr-batch/sinks"
)

const folderOfSchedules = "gs://b/out"

// process is one that works at the run of a schedule, and the store as it has it.
type process struct {
	s         *schedule
	number    int
	model     string
	wait      time.Duration
	immune    bool // nothing happens to it
	rng       *rand.Rand
	end       context.CancelCauseFunc
	interrupt context.CancelCauseFunc

	// s.mu is held for these.
	attempt string
	dead    bool // killed
	ended   bool
	asleep  bool // until nobody else is awake
	until   int  // the turn until which it rests
	rested  bool // before its next step
	faults  int  // that happened to it
}

func (p *process) isAwake() bool { return !p.ended && !p.asleep }

var errDrained = errors.New("drained")

// splitFiles are the input of a schedule: a split a file.
type splitFiles int

// Plan yields a split a file.
func (n splitFiles) Plan(ctx context.Context) iter.Seq2[pipeline.PlannedSplit, error] {
	return func(yield func(pipeline.PlannedSplit, error) bool) {
		for p, err := range n.Files(ctx) {
			if !yield(pipeline.PlannedSplit{Pieces: []pipeline.Piece{p}}, err) {
				return
			}
		}
	}
}

// Files yields the files.
func (n splitFiles) Files(context.Context) iter.Seq2[pipeline.Piece, error] {
	return func(yield func(pipeline.Piece, error) bool) {
		for i := range int(n) {
			if !yield(pipeline.Piece{URI: "in/" + letter(i) + ".jsonl", Generation: "1", Size: 60, End: 60}, nil) {
				return
			}
		}
	}
}

// guarded is the process's life, whose panics are told with the schedule.
func (p *process) guarded(life, work context.Context) (err error) {
	defer func() {
		if e := recover(); e != nil {
			err = fmt.Errorf("panic: %v\n%s", e, debug.Stack())
			p.s.check(func() error { return err })
		}
	}()
	return p.live(life, work)
}

// live is what a program does between its start and its end.
func (p *process) live(life, work context.Context) error {
	var digest runs.Digest
	digest.Show("model", p.model)
	digest.Replaceable()
	run, err := runs.Begin(work, runs.Config{
		Store: p, Folder: folderOfSchedules, Name: "job", Started: began, Digest: digest, Input: splitFiles(len(p.s.sizes)),
		Versions: runs.Versions{Python: p.model}, AcceptChanges: len(p.s.models) > 1, Wait: p.wait,
	})
	if err != nil {
		var e *pipeline.Error
		if !errors.As(err, &e) || e.Remedy != pipeline.FixConfig || len(p.s.models) == 1 || !p.s.isFinished() {
			p.must("begin", err)
		}
		p.must("abandon", runs.Abandon(life, p, folderOfSchedules, "", []byte("abandoned")))
		return err
	}
	defer func() { _ = run.Close() }()
	p.s.begun(p, run)
	if run.State().Condition == runs.Finished {
		p.s.check(p.s.checkOutput)
		return nil
	}
	err = p.predict(work, run)
	return errors.Join(err, p.conclude(life, work, run, err))
}

// must tells of an error of a process that nothing has happened to: others are no reason
// for one.
func (p *process) must(what string, err error) {
	p.s.check(func() error {
		if err != nil && p.faults == 0 && !p.dead && !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("process %d, which nothing has happened to: %s: %w", p.number, what, err)
		}
		return nil
	})
}

// predict works at the splits, or at some of them, several side by side.
func (p *process) predict(ctx context.Context, run *runs.Run) error {
	if err := run.Keep(ctx, "job.yaml", []byte("job")); err != nil {
		p.must("keep", err)
		return err
	}
	sink := sinks.NewJSONL(run, p, sinks.JSONLConfig{Compression: p.s.compression}, sinks.OutputConfig{})
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(1 + p.rng.IntN(3))
	order := p.rng.Perm(len(p.s.sizes))
	if !p.immune && p.rng.IntN(2) == 0 {
		order = order[p.rng.IntN(len(order)+1):] // the others are others' work
	}
	for _, i := range order {
		rng := rand.New(rand.NewPCG(p.rng.Uint64(), 0))
		group.Go(func() error { return p.predictSplit(ctx, run, sink, i, rng) })
	}
	return group.Wait()
}

// predictSplit is what the engine does with a split.
func (p *process) predictSplit(ctx context.Context, run *runs.Run, sink *sinks.JSONL, i int, rng *rand.Rand) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	id, held := run.Plan().Splits.ID(i), p.s.held(i, p.model)
	part, err := sink.Open(ctx, id)
	if errors.Is(err, pipeline.ErrCommitted) {
		p.s.check(func() error { return p.s.checkPart(i) })
		return nil
	}
	if err != nil {
		if ctx.Err() == nil {
			p.must("open "+string(id), err)
		}
		return err
	}
	var t pipeline.Tally
	if sealed := part.Sealed(); sealed != nil {
		t = *sealed
		t.Failures = slices.Clone(t.Failures)
	}
	p.s.check(func() error { return p.s.checkResumed(p, i, held, &t) })
	if err = p.write(ctx, part, &t, i, rng); errors.Is(err, pipeline.ErrCommitted) {
		p.s.check(func() error { return p.s.checkCommitted(i) })
	} else if err == nil {
		if err = part.Commit(ctx, &t); err == nil {
			p.s.check(func() error { return p.s.won(p, i) })
		} else if errors.Is(err, pipeline.ErrCommitted) {
			p.s.check(func() error { return p.s.lost(p, i) })
		}
	}
	if errors.Is(err, pipeline.ErrCommitted) {
		err = nil
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, errDrained) {
		p.must("split "+string(id), err)
	}
	discarding := part.Discard()
	p.must("discard "+string(id), discarding)
	return errors.Join(err, discarding)
}

// write writes what is not sealed of a split, in batches.
func (p *process) write(ctx context.Context, part pipeline.Part, t *pipeline.Tally, i int, rng *rand.Rand) error {
	for size := int64(p.s.sizes[i]); t.Read < size; {
		b := &pipeline.Batch{Split: pipeline.NewSplitID(i, len(p.s.sizes)), First: t.Read}
		var outcomes []pipeline.Outcome
		for range min(1+rng.Int64N(3), size-t.Read) {
			in, o := p.s.outcome(p.model, i, int(t.Read)+len(outcomes))
			b.Instances, outcomes = append(b.Instances, in), append(outcomes, o)
		}
		if err := part.Write(ctx, b, outcomes); err != nil {
			return err
		}
		count(t, b, outcomes)
		if rng.Float64() < p.s.sealing {
			if err := part.Seal(ctx, t); err != nil {
				return err
			}
			p.s.hold(p, i, t.Read)
		}
		if !p.immune && rng.Float64() < p.s.draining {
			return errDrained
		}
	}
	return nil
}

// conclude ends the process as a program does, after what predict has returned.
func (p *process) conclude(life, work context.Context, run *runs.Run, err error) error {
	whole := func() bool { return run.Summary().Parts == len(p.s.sizes) }
	looks := pick(p.rng, 0, 1, 4, 16) // it waits for the others
	if p.immune {
		looks = max(1, looks) // also for those who are gone: a record of theirs may just have come
	}
	for range looks {
		if err == nil && !whole() {
			err = run.Refresh(work)
			p.must("refresh", err)
		}
	}
	report := fmt.Sprintf("of process %d", p.number)
	switch chance := p.rng.IntN(20); {
	case !p.immune && chance == 0:
		err = run.Fail(life, "it fails", pipeline.ErrorsConfig{}, []byte("failed "+report))
		p.must("fail", err)
	case err == nil && whole():
		err = p.finish(life, run, report)
		p.must("finish", err)
	case err == nil && chance == 1:
		return p.finish(life, run, report) // others may have done the rest, or not
	case chance < 15:
		err = run.Stop(life, []byte("stopped "+report))
		p.must("stop", err)
	}
	return err
}

func (p *process) finish(ctx context.Context, run *runs.Run, report string) error {
	p.s.check(func() error {
		p.s.reports[report] = true
		return nil
	})
	err := run.Finish(ctx, []byte(report))
	if err == nil {
		p.s.check(p.s.checkOutput)
	}
	return err
}
