package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// trial says whether a group has been called before for the same reason.
type trial int

const (
	firstTime trial = iota
	divided         // it is a piece of a group that failed
)

func jitter(most time.Duration) time.Duration { return rand.N(most + 1) }

// treat finds the outcomes of a group whose call failed.
func (is *isolation) treat(ctx context.Context, g group, failed *CallError, t trial) error {
	switch failed.Kind {
	case Memory:
		if g.size() > 1 {
			is.lower(int64(g.size() / 2))
		}
	case Crashed:
		// A crash may be an accident: the batch is tried once more, and so is an instance
		// that stands alone before it is blamed; what lies between is only divided.
		if t == firstTime || g.size() == 1 {
			again, err := is.call(ctx, g)
			if err != nil || again == nil {
				return err
			}
			failed = again
		}
	case Raised, Retry, Stuck:
	}
	if g.size() == 1 {
		return is.convict(ctx, g, failed)
	}
	return is.divide(ctx, g)
}

// divide calls the halves of a group. When both fail, the worker may be at fault and is
// put to the test before they are divided further.
func (is *isolation) divide(ctx context.Context, g group) error {
	left, right := g.halves()
	leftFailed, err := is.call(ctx, left)
	if err != nil {
		return err
	}
	rightFailed, err := is.call(ctx, right)
	if err != nil {
		return err
	}
	if suspect(leftFailed) && suspect(rightFailed) {
		if leftFailed, rightFailed, err = is.doubt(ctx, g, leftFailed, rightFailed); err != nil {
			return err
		}
	}
	if leftFailed != nil {
		if err := is.treat(ctx, left, leftFailed, divided); err != nil {
			return err
		}
	}
	if rightFailed != nil {
		return is.treat(ctx, right, rightFailed, divided)
	}
	return nil
}

// doubt puts the workers on which both halves of a group have failed to the test, and calls
// a half again that met an unwell one. It returns what then failed.
func (is *isolation) doubt(ctx context.Context, g group, leftFailed, rightFailed *CallError) (*CallError, *CallError, error) {
	left, right := g.halves()
	well := WorkerID(0)
	halves := []struct {
		group
		failed *CallError
	}{{left, leftFailed}, {right, rightFailed}}
	for i := range halves {
		half := &halves[i]
		if half.failed.Worker == well {
			continue
		}
		unwell, err := is.test(ctx, half.failed)
		if err != nil {
			return nil, nil, err
		}
		if !unwell {
			well = half.failed.Worker
			continue
		}
		if half.failed, err = is.call(ctx, half.group); err != nil {
			return nil, nil, err
		}
	}
	return halves[0].failed, halves[1].failed, nil
}

// suspect says whether a failed call leaves a live worker that it may have harmed, or
// that was unwell before.
func suspect(failed *CallError) bool { return failed != nil && !failed.Died }

// convict gives the instance of a group of one its failure, unless the worker that failed
// it was unwell: then another one tries it.
func (is *isolation) convict(ctx context.Context, g group, failed *CallError) error {
	for range maxRetrials {
		if !suspect(failed) {
			break
		}
		unwell, err := is.test(ctx, failed)
		if err != nil {
			return err
		}
		if !unwell {
			break
		}
		again, err := is.call(ctx, g)
		if err != nil || again == nil {
			return err
		}
		failed = again
	}
	if failed.Kind == Memory {
		// The instance is too large, not the batches: they may be as large as before.
		is.cure.ceiling.Store(is.ceiling)
	}
	return is.fail(ctx, g.from, &failed.Failure)
}

// test tries an instance that is known to be good on the worker of a failed call, and
// replaces the worker if it fails that too. It says whether the worker was unwell, or is
// gone, so that the failed call proves nothing.
func (is *isolation) test(ctx context.Context, failed *CallError) (bool, error) {
	good := is.good.Load()
	if good == nil {
		return is.replaceUntested(failed), nil
	}
	c := *good
	c.Worker = failed.Worker
	answer, err := is.ask(ctx, c)
	var again *CallError
	switch {
	case err == nil && answer.Outcomes[0].Failure == nil:
		is.recovered(failed.Worker)
		return false, nil
	case err == nil, errors.As(err, &again):
		is.replace(failed.Worker, "an instance that had been predicted before failed after "+failed.Failure.Type)
		return true, nil
	case errors.Is(err, ErrWorkerGone):
		return true, nil
	}
	return false, err
}

// replaceUntested takes the place of a test while nothing has been predicted yet, so that
// no instance is known to be good. The first failure of a worker is believed: nothing can
// have harmed it before. One that has failed before is replaced on suspicion, a few times
// a run.
func (is *isolation) replaceUntested(failed *CallError) bool {
	if !failed.harmed || is.suspicions.Add(1) > maxSuspicions {
		return false
	}
	is.replace(failed.Worker, "nothing has been predicted yet, and it has failed more than once: "+failed.Failure.Type)
	return true
}

func (is *isolation) replace(id WorkerID, why string) {
	is.pool.Replace(id, why)
	is.recovered(id)
}

// lower lets no later call have more than most instances.
func (is *isolation) lower(most int64) {
	for {
		now := is.cure.ceiling.Load()
		if now > 0 && now <= most {
			return
		}
		if is.cure.ceiling.CompareAndSwap(now, most) {
			is.log.Warn("out of memory: batches are made smaller", "instances", most)
			return
		}
	}
}
