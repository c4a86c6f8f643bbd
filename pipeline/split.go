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

	mu    sync.Mutex
	tally Tally
}

// batchRun is one batch under way.
type batchRun struct {
	split    *splitRun
	batch    *Batch
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
	group.Go(func() error { return s.write(ctx, life, queue) })
	return group.Wait()
}

// read fills batches until the split ends and starts the prediction of each. The queue's
// length and the run's memory bound how far it runs ahead of the writer.
func (s *splitRun) read(ctx, reading, fetching context.Context, group *errgroup.Group, queue chan<- *batchRun) error {
	var first int64
	before := make(chan struct{})
	close(before)
	for {
		b := s.run.newBatch(s.split.ID(), first)
		began := time.Now()
		err := s.split.Read(reading, b)
		s.passed(b, time.Since(began))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.readError(ctx, fetching, err)
		}
		first += int64(len(b.Instances))
		task := &batchRun{split: s, batch: b, before: before, queued: make(chan struct{}), ready: make(chan struct{})}
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
		group.Go(func() error {
			defer task.pass(ctx)
			if err := s.run.cure.predict(ctx, task); err != nil {
				return err // never ready: the writer is ended by the group's context
			}
			close(task.ready)
			return nil
		})
	}
}

// readError tells an unreadable split from a run that is being ended.
func (s *splitRun) readError(ctx, fetching context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if fetching.Err() != nil {
		return errStopped
	}
	return &SplitError{ID: s.split.ID(), Err: err}
}

// passed counts what one Read has passed over.
func (s *splitRun) passed(b *Batch, took time.Duration) {
	counters := s.run.budget.counters
	counters.Read.Add(int64(len(b.Instances)))
	s.mu.Lock()
	defer s.mu.Unlock()
	counters.BytesRead.Add(max(0, b.Extent.Bytes-s.tally.BytesRead))
	s.tally.Seconds.Read += took.Seconds()
	s.tally.Lines, s.tally.BytesRead = b.Extent.Lines, b.Extent.Bytes
	s.tally.Read += int64(len(b.Instances))
	if len(b.Instances) > 0 {
		s.tally.Batches++
	}
}

// write hands the outcomes of the queue's batches to the part, in order. The part is given
// the context in which it is committed.
func (s *splitRun) write(ctx, life context.Context, queue <-chan *batchRun) error {
	var err error
	for task := range queue {
		if err == nil {
			select {
			case <-task.ready:
				err = s.writeBatch(ctx, life, task)
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		// Memory is given back whatever happened: other splits may wait for it.
		s.run.memory.Release(task.weight)
	}
	return err
}

func (s *splitRun) writeBatch(ctx, life context.Context, task *batchRun) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // its prediction failed: there are no outcomes
	}
	began := time.Now()
	if err := s.part.Write(life, task.batch, task.outcomes); err != nil {
		return err
	}
	if err := s.countRefused(ctx, task); err != nil {
		return err
	}
	s.mu.Lock()
	s.tally.Seconds.Write += time.Since(began).Seconds()
	s.tally.Seconds.Decode += task.times.Decode.Seconds()
	s.tally.Seconds.Predict += task.times.Predict.Seconds()
	s.tally.Seconds.Encode += task.times.Encode.Seconds()
	s.tally.FurtherCalls += max(0, task.calls-1)
	s.mu.Unlock()
	s.run.reuse(task.batch)
	return nil
}

// countRefused moves the predictions that the sink refused to the failures.
func (s *splitRun) countRefused(ctx context.Context, task *batchRun) error {
	for i := range task.outcomes {
		if f := task.outcomes[i].Failure; f != nil && f.Phase == PhaseWrite {
			s.mu.Lock()
			s.tally.Predicted--
			s.mu.Unlock()
			if err := s.run.budget.refused(); err != nil {
				return err
			}
			if err := s.fail(ctx, task.batch, i, f); err != nil {
				return err
			}
		}
	}
	return nil
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
	s.tally.Fail(b.Split, b.First+int64(i), in.Origin, f)
	return nil
}

func (s *splitRun) predicted(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.Predicted += n
}
