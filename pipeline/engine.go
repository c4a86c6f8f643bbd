package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// Job is one run's work: it drives splits from Source through Pool into Sink.
// Files and streams take the same way: a split of files ends where its bytes end, a
// window of a stream when it is full or old.
type Job struct {
	Source Source
	Sink   Sink
	Pool   Pool

	Batch   Limits        // of every batch
	Kwargs  []byte        // one JSON object for every call, or nil
	Timeout time.Duration // of one call (workers.predict_timeout)
	Errors  ErrorsConfig

	Splits int   // splits under way side by side, at least 1
	Window int   // batches of one split under way, at least 1
	Memory int64 // bytes of instances under way, over all splits

	Before Tally // what committed parts hold already: the error budget counts it
	// Elsewhere counts what other processes have committed since: the error budget counts
	// it too. It may be nil.
	Elsewhere *Elsewhere
	// Checkpoint is how long finished work of a part may stay unsealed; 0: it is never
	// sealed, and what is under way of a split that is given up is not finished.
	Checkpoint time.Duration
	Counters   *Counters // for whoever watches; may be nil
	Log        *slog.Logger
}

// SplitError is a split that could not be read to its end. Its part is not committed;
// the other splits are done.
type SplitError struct {
	ID  SplitID
	Err error
}

func (e *SplitError) Error() string { return fmt.Sprintf("split %s: %v", e.ID, e.Err) }

// Unwrap returns the cause.
func (e *SplitError) Unwrap() error { return e.Err }

// Result is what one Job.Run has done.
type Result struct {
	Done    int // splits committed by this run
	Skipped int // splits that were committed before, or by somebody else meanwhile
	// Unread are the splits that could not be read to their end.
	Unread []*SplitError
	// Committed counts the instances of the splits in Done.
	Committed Tally
	// Resumed counts instances that earlier attempts had sealed in splits that this run took:
	// the tallies below have them too.
	Resumed int64
	// Uncommitted counts what was found in splits that were not committed.
	Uncommitted Tally
}

// Run runs the job until the source is at its end and returns what it did, also beside an
// error. When fetch ends, no new split is begun and no more is read: what is wholly read
// by then is finished; of splits of files that are not, the batches under way are finished
// and sealed before they are given up. When work ends, everything ends at once.
// The error is nil, a *Error, or the cause with which work or fetch was canceled.
// No goroutine is left behind.
func (j *Job) Run(work, fetch context.Context) (Result, error) {
	group, ctx := errgroup.WithContext(work)
	fetching, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(fetch, func() { stop(context.Cause(fetch)) })()

	r := j.start()
	group.Go(func() error { return r.begin(ctx, fetching, group) })
	err := group.Wait()
	if err == nil && r.stopped {
		err = context.Cause(fetch)
	}
	return r.result, err
}

// run is the state of one Job.Run.
type run struct {
	job     *Job
	budget  *budget
	cure    *cure
	slots   *semaphore.Weighted // splits
	memory  *semaphore.Weighted // bytes
	batches sync.Pool

	mu      sync.Mutex
	result  Result
	stopped bool // fetch ended before the source did
}

func (j *Job) start() *run {
	counters := j.Counters
	if counters == nil {
		counters = new(Counters)
	}
	log := j.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &run{
		job:    j,
		budget: newBudget(j, counters),
		slots:  semaphore.NewWeighted(int64(max(1, j.Splits))),
		memory: semaphore.NewWeighted(max(1, j.Memory)),
	}
	r.cure = newCure(j, r.budget, log)
	r.batches.New = func() any { return new(Batch) }
	return r
}

// begin takes splits from the source and runs each in a goroutine of the group.
func (r *run) begin(ctx, fetching context.Context, group *errgroup.Group) error {
	for {
		if r.slots.Acquire(fetching, 1) != nil {
			return r.stop(ctx)
		}
		split, err := r.job.Source.Next(fetching)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && fetching.Err() != nil:
			return r.stop(ctx)
		case err != nil:
			return err
		}
		group.Go(func() error {
			defer r.slots.Release(1)
			return r.process(ctx, fetching, split)
		})
	}
}

// stop notes that the source has more than this run has taken.
func (r *run) stop(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	return nil
}

// process takes one split from reading to settling.
func (r *run) process(ctx, fetching context.Context, split Split) error {
	part, err := r.job.Sink.Open(ctx, split.ID())
	if errors.Is(err, ErrCommitted) {
		r.count(func(res *Result) { res.Skipped++ })
		r.budget.counters.SplitsDone.Add(1)
		return split.Settle(ctx, nil)
	}
	if err != nil {
		return errors.Join(err, split.Settle(ctx, err))
	}
	s := &splitRun{run: r, split: split, part: part}
	if err = s.resume(); err == nil {
		err = s.flow(ctx, fetching)
	}
	if err == nil {
		err = part.Commit(ctx, &s.written)
	}
	return r.settle(ctx, s, err)
}

// settle ends a split whose work ended with err, and says whether the run goes on.
func (r *run) settle(ctx context.Context, s *splitRun, err error) error {
	lost := errors.Is(err, ErrCommitted)
	if lost {
		err = nil
		r.budget.forget(&s.found)
	}
	err = errors.Join(err, s.part.Discard())
	// A source is told the outcome also when the run is being ended.
	if settleErr := s.split.Settle(context.WithoutCancel(ctx), err); settleErr != nil && err == nil {
		return settleErr
	}
	var unread *SplitError
	isUnread := errors.As(err, &unread) && ctx.Err() == nil
	r.count(func(res *Result) {
		switch {
		case lost:
			res.Skipped++
		case err == nil:
			res.Done++
			res.Committed.Add(&s.written)
		default:
			res.Uncommitted.Add(&s.found)
			if isUnread {
				res.Unread = append(res.Unread, unread)
			}
		}
	})
	switch {
	case err == nil:
		r.budget.counters.SplitsDone.Add(1)
		return nil
	case isUnread:
		return nil
	case errors.Is(err, errStopped):
		return r.stop(ctx)
	}
	return err
}

func (r *run) count(change func(*Result)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.result)
}

// maxKept is how large a batch's memory may be to be used again: one huge line must not
// hold its memory for the rest of the run.
const maxKept = 16 << 20

func (r *run) newBatch(id SplitID, first int64) *Batch {
	b := r.batches.Get().(*Batch)
	b.Split, b.First, b.Kwargs, b.Limits = id, first, r.job.Kwargs, r.job.Batch
	b.Instances, b.Buffer, b.Extent = b.Instances[:0], b.Buffer[:0], Extent{}
	return b
}

func (r *run) reuse(b *Batch) {
	if cap(b.Buffer) <= maxKept {
		r.batches.Put(b)
	}
}
