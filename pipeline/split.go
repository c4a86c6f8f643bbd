package pipeline

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// errStopped says that a split was given up because fetching had ended.
var errStopped = errors.New("stopped before the split was read to its end")

// splitRun is one split under way: a reader fills batches, each is predicted in a
// goroutine of its own, and a writer takes their outcomes in order.
type splitRun struct {
	run   *run
	split Split
	part  Part
	first int64 // instances that earlier attempts have sealed

	mu    sync.Mutex
	found Tally // outcomes as soon as they are known, in any order

	written Tally // outcomes that the part has, in order: the writer's, until flow returns

	// The reader's, until the queue is closed.
	rest    passage // what lay behind the last batch
	stopped bool    // fetching ended before the split did
}

// passage is how far a Read has come, and how long it took.
type passage struct {
	extent Extent
	took   time.Duration
}

// batchRun is one batch under way.
type batchRun struct {
	split    *splitRun
	batch    *Batch
	read     time.Duration // how long reading it took
	outcomes []Outcome
	calls    int64 // predict calls made for it
	times    Times
	weight   int64           // bytes it holds of the run's memory
	ready    chan struct{}   // closed when outcomes are there
	before   <-chan struct{} // closed when the batch before it has its place with the pool
	queued   chan struct{}   // closed when this one has
	once     sync.Once
}

// place says that the batch has its place with the pool, or needs none.
func (t *batchRun) place() { t.once.Do(func() { close(t.queued) }) }

// pass lets the next batch take its place also when this one has made no call.
func (t *batchRun) pass(ctx context.Context) {
	select {
	case <-t.before:
	case <-ctx.Done():
	}
	t.place()
}

// resume takes over what earlier attempts have sealed of the part: it counts as if this
// run had done it.
func (s *splitRun) resume() error {
	sealed := s.part.Sealed()
	if sealed == nil {
		return nil
	}
	s.first = sealed.Read
	s.found, s.written = sealed.clone(), sealed.clone()
	s.run.count(func(res *Result) { res.Resumed += sealed.Read })
	counters := s.run.budget.counters
	counters.Read.Add(sealed.Read)
	counters.BytesRead.Add(sealed.BytesRead)
	return s.run.budget.count(sealed.Predicted, sealed.Failed, nil)
}

// flow reads, predicts and writes the whole split.
func (s *splitRun) flow(life, fetching context.Context) error {
	group, ctx := errgroup.WithContext(life)
	// fetching ends with the run's context, not with this split's: both must stop Read.
	reading, stop := context.WithCancelCause(fetching)
	defer stop(nil)
	defer context.AfterFunc(ctx, func() { stop(context.Cause(ctx)) })()

	queue := make(chan *batchRun, max(1, s.run.job.Window))
	group.Go(func() error {
		defer close(queue)
		return s.read(ctx, reading, fetching, group, queue)
	})
	group.Go(func() error {
		w := &writer{splitRun: s, fetching: fetching.Done()}
		return w.write(ctx, life, queue)
	})
	err := group.Wait()
	// Memory is given back whatever happened: other splits may wait for it.
	for task := range queue {
		s.run.memory.Release(task.weight)
	}
	if err == nil && s.stopped {
		return errStopped
	}
	s.written.Seconds.Read += s.rest.took.Seconds()
	s.written.reach(s.rest.extent)
	return err
}

// read fills batches until the split ends and starts the prediction of each. The queue's
// length and the run's memory bound how far it runs ahead of the writer.
func (s *splitRun) read(ctx, reading, fetching context.Context, group *errgroup.Group, queue chan<- *batchRun) error {
	first := s.first
	before := make(chan struct{})
	close(before)
	began := time.Now()
	if first > 0 {
		if err := s.split.Skip(reading, first); err != nil {
			return s.readError(ctx, fetching, err)
		}
	}
	for ; ; began = time.Now() {
		b := s.run.newBatch(s.split.ID(), first)
		err := s.split.Read(reading, b)
		took := time.Since(began)
		s.passed(b, took)
		if errors.Is(err, io.EOF) {
			s.rest = passage{b.Extent, took}
			return nil
		}
		if err != nil {
			return s.readError(ctx, fetching, err)
		}
		first += int64(len(b.Instances))
		task := &batchRun{split: s, batch: b, read: took, before: before, queued: make(chan struct{}), ready: make(chan struct{})}
		// Beside its text a batch holds the call made of it, and an answer often as large.
		task.weight = min(max(1, 3*int64(len(b.Buffer))), max(1, s.run.job.Memory))
		before = task.queued
		if err := s.run.memory.Acquire(ctx, task.weight); err != nil {
			return context.Cause(ctx)
		}
		select {
		case queue <- task:
		case <-ctx.Done():
			s.run.memory.Release(task.weight)
			return context.Cause(ctx)
		}
		group.Go(func() error { return s.predict(ctx, task) })
	}
}

// predict finds the outcomes of one batch.
func (s *splitRun) predict(ctx context.Context, task *batchRun) error {
	defer task.pass(ctx)
	if err := s.run.cure.predict(ctx, task); err != nil {
		return err // never ready: the writer is ended by the group's context
	}
	close(task.ready)
	return nil
}

// readError tells an unreadable split from one that is not read on, and from a run that is
// being ended. What is under way of a split that is not read on is finished, if it can be
// sealed.
func (s *splitRun) readError(ctx, fetching context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case fetching.Err() == nil:
		return &SplitError{ID: s.split.ID(), Err: err}
	case s.run.job.Checkpoint == 0:
		return errStopped
	}
	s.stopped = true
	return nil
}

// passed counts what one Read has passed over.
func (s *splitRun) passed(b *Batch, took time.Duration) {
	counters := s.run.budget.counters
	counters.Read.Add(int64(len(b.Instances)))
	s.mu.Lock()
	defer s.mu.Unlock()
	counters.BytesRead.Add(max(0, b.Extent.Bytes-s.found.BytesRead))
	s.found.reach(b.Extent)
	s.found.Seconds.Read += took.Seconds()
	s.found.Read += int64(len(b.Instances))
	if len(b.Instances) > 0 {
		s.found.Batches++
	}
}

// fail counts one failure, at its place in the source.
func (s *splitRun) fail(ctx context.Context, b *Batch, i int, f *Failure) error {
	in := &b.Instances[i]
	if err := s.split.Locate(ctx, &in.Origin); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &SplitError{ID: s.split.ID(), Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found.Fail(b.Split, b.First+int64(i), in.Origin, f)
	return nil
}

func (s *splitRun) predicted(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found.Predicted += n
}

// spend counts what was spent on outcomes that are written.
func (s *splitRun) spend(t Tally) {
	s.written.Add(&t)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found.Add(&t)
}
