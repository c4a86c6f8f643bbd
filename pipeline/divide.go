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
		unwell, err := is.test(ctx, leftFailed, rightFailed)
		if err != nil {
			return err
		}
		if unwell {
			if leftFailed, err = is.call(ctx, left); err != nil {
				return err
			}
			if suspect(leftFailed) {
				// The right half must not meet a worker that the left one has harmed.
				if _, err = is.test(ctx, leftFailed); err != nil {
					return err
				}
			}
			if rightFailed, err = is.call(ctx, right); err != nil {
				return err
			}
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

// test tries an instance that is known to be good on the workers of failed calls, and
// replaces those that fail it. It says whether one was unwell, or is gone, so that the
// failed calls prove nothing.
func (is *isolation) test(ctx context.Context, failed ...*CallError) (bool, error) {
	good := is.good.Load()
	if good == nil {
		return is.replaceUntested(failed), nil
	}
	unwell := false
	tested := WorkerID(0)
	for _, f := range failed {
		if f.Worker == tested {
			continue
		}
		tested = f.Worker
		c := *good
		c.Worker = f.Worker
		answer, err := is.ask(ctx, c)
		var again *CallError
		switch {
		case err == nil && answer.Outcomes[0].Failure == nil:
		case err == nil, errors.As(err, &again):
			unwell = true
			is.pool.Replace(f.Worker, "an instance that it had predicted before failed after "+f.Failure.Type)
		case errors.Is(err, ErrWorkerGone):
			unwell = true
		default:
			return false, err
		}
	}
	return unwell, nil
}

// replaceUntested takes the place of a test while nothing has been predicted yet, so that
// no instance is known to be good: the first bad instance of a run may have poisoned every
// worker. A few times a run the workers are replaced on suspicion.
func (is *isolation) replaceUntested(failed []*CallError) bool {
	if is.suspicions.Add(1) > maxSuspicions {
		return false
	}
	for _, f := range failed {
		is.pool.Replace(f.Worker, "nothing has been predicted yet, and it failed with "+f.Failure.Type)
	}
	return true
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
