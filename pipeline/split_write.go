package pipeline

import (
	"context"
	"time"
)

// drainInterval lies between two seals of a part once fetching has ended: what is finished
// is to survive a program that is killed because it drains for too long.
const drainInterval = time.Second

// writer hands the outcomes of a split's batches to its part, in order, and seals the part
// in time.
type writer struct {
	*splitRun
	fetching <-chan struct{} // closed when fetching ends; nil once the writer knows
	since    time.Time       // when the first outcomes were written that are not sealed; zero: all are
	last     time.Time       // when the part was sealed last
}

// write writes the queue's batches as their outcomes come. The part is given the context in
// which it is committed.
func (w *writer) write(ctx, life context.Context, queue <-chan *batchRun) error {
	for {
		task, more, err := await(ctx, life, w, queue)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if _, _, err = await(ctx, life, w, task.ready); err == nil {
			err = w.writeBatch(ctx, life, task)
		}
		w.run.memory.Release(task.weight)
		if err != nil {
			return err
		}
	}
	if w.stopped && !w.since.IsZero() {
		return w.seal(ctx, life)
	}
	return nil
}

// await receives from c. Until something comes the part is sealed when that is due.
func await[T any](ctx, life context.Context, w *writer, c <-chan T) (T, bool, error) {
	for {
		var none T
		due, err := w.sealDue(ctx, life)
		if err != nil {
			return none, false, err
		}
		select {
		case v, ok := <-c:
			return v, ok, nil
		case <-due:
		case <-w.fetching:
			w.fetching, w.last = nil, time.Time{} // the next seal is due at once
		case <-ctx.Done():
			return none, false, context.Cause(ctx)
		}
	}
}

// sealDue seals the part if it is time, or returns a channel that says when it will be; nil
// while there is nothing to seal.
func (w *writer) sealDue(ctx, life context.Context) (<-chan time.Time, error) {
	checkpoint := w.run.job.Checkpoint
	if w.since.IsZero() || checkpoint == 0 {
		return nil, nil
	}
	due := w.since.Add(checkpoint)
	if w.fetching == nil {
		due = w.last.Add(drainInterval)
	}
	if left := time.Until(due); left > 0 {
		return time.After(left), nil
	}
	return nil, w.seal(ctx, life)
}

// seal seals what was written. Fetching ends also when everything is to end at once: then
// it is too late.
func (w *writer) seal(ctx, life context.Context) error {
	for _, c := range []context.Context{life, ctx} {
		if c.Err() != nil {
			return context.Cause(c)
		}
	}
	began := time.Now()
	t := w.written.clone()
	if err := w.part.Seal(life, &t); err != nil {
		return err
	}
	w.since, w.last = time.Time{}, time.Now()
	w.spend(Tally{Seconds: Seconds{Write: time.Since(began).Seconds()}})
	return nil
}

func (w *writer) writeBatch(ctx, life context.Context, task *batchRun) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // its prediction failed: there are no outcomes
	}
	began := time.Now()
	if err := w.part.Write(life, task.batch, task.outcomes); err != nil {
		return err
	}
	if err := w.countRefused(ctx, task); err != nil {
		return err
	}
	w.countWritten(task)
	w.spend(Tally{
		FurtherCalls: max(0, task.calls-1),
		Seconds: Seconds{
			Write:   time.Since(began).Seconds(),
			Decode:  task.times.Decode.Seconds(),
			Predict: task.times.Predict.Seconds(),
			Encode:  task.times.Encode.Seconds(),
		},
	})
	w.run.reuse(task.batch)
	return nil
}

// countRefused moves the predictions that the sink refused to the failures.
func (s *splitRun) countRefused(ctx context.Context, task *batchRun) error {
	for i := range task.outcomes {
		if f := task.outcomes[i].Failure; f != nil && f.Phase == PhaseWrite {
			s.predicted(-1)
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

// countWritten counts the outcomes of a batch that the part has now.
func (w *writer) countWritten(task *batchRun) {
	b, t := task.batch, &w.written
	t.Seconds.Read += task.read.Seconds()
	t.reach(b.Extent)
	if len(b.Instances) == 0 {
		return
	}
	t.Batches++
	t.Read += int64(len(b.Instances))
	for i := range b.Instances {
		if f := task.outcomes[i].Failure; f != nil {
			t.Fail(b.Split, b.First+int64(i), b.Instances[i].Origin, f)
		} else {
			t.Predicted++
		}
	}
	if w.since.IsZero() {
		w.since = time.Now()
	}
}
