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
		if t == firstTime && g.size() > 1 {
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
	if tooLarge(leftFailed) && tooLarge(rightFailed) && left.size() > 1 {
		is.lower(int64(left.size() / 2)) // where one half is fine, it is no matter of size
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
		// A worker's first failure is believed: only one that was harmed before, by the
		// other half perhaps, is doubted again.
		for trials := 0; trials == 0 || trials < maxRetrials && suspect(half.failed) && half.failed.Harmed; trials++ {
			if half.failed.Worker == well {
				break
			}
			unwell, err := is.test(ctx, half.failed)
			if err != nil {
				return nil, nil, err
			}
			if !unwell {
				well = half.failed.Worker
				break
			}
			if !half.failed.Harmed {
				break // this half has made it so
			}
			if half.failed, err = is.call(ctx, half.group); err != nil {
				return nil, nil, err
			}
		}
	}
	return halves[0].failed, halves[1].failed, nil
}

// tooLarge says whether memory was not enough for a call.
func tooLarge(failed *CallError) bool { return failed != nil && failed.Kind == Memory }

// suspect says whether a failed call leaves a live worker that it may have harmed, or
// that was unwell before.
func suspect(failed *CallError) bool { return failed != nil && !failed.Died }

// convict gives the instance of a group of one its failure, unless the worker that failed
// it was unwell: then another one tries it. Several workers may have been harmed by then;
// what those fail does not count.
func (is *isolation) convict(ctx context.Context, g group, failed *CallError) error {
	proof, own := failed, 0 // own: failures on workers that no other call had harmed
	for trials := 0; suspect(failed) && trials < maxTrials; trials++ {
		if !failed.Harmed {
			own++
		}
		if !failed.Harmed || own == 0 {
			proof = failed
		}
		if own > maxRetrials {
			break
		}
		unwell, err := is.test(ctx, failed)
		if err != nil {
			return err
		}
		if !unwell {
			proof = failed
			break
		}
		again, err := is.retry(ctx, g)
		if err != nil || again == nil {
			return err
		}
		failed = again
	}
	if !suspect(failed) {
		proof = failed
	}
	if proof.Kind == Memory {
		// The instance is too large, not the batches: they may be as large as before.
		is.cure.ceiling.Store(is.ceiling)
	}
	if err := is.fail(ctx, g.from, &proof.Failure); err != nil || !proof.Died {
		return err
	}
	return is.died(ctx, proof)
}

// retry calls a group once more, where that is possible on a worker that has shown just
// now that it is well: unwell ones answer soonest, and so would get most of the calls.
func (is *isolation) retry(ctx context.Context, g group) (*CallError, error) {
	good := is.good.Load()
	if good == nil {
		return is.call(ctx, g)
	}
	answer, err := is.ask(ctx, *good)
	var failed *CallError
	switch {
	case errors.As(err, &failed) && !failed.Died:
		is.pool.Replace(failed.Worker, "an instance that had been predicted before failed: "+failed.Failure.Type)
	case err != nil && failed == nil:
		return nil, err
	case err == nil && answer.Outcomes[0].Failure == nil:
		failed, err := is.callOn(ctx, answer.Worker, g)
		if !errors.Is(err, ErrWorkerGone) {
			return failed, err
		}
	}
	return is.call(ctx, g)
}

// test tries an instance that is known to be good on the worker of a failed call, and
// replaces the worker if it fails that too. It says whether the worker was unwell, or is
// gone, so that the failed call proves nothing.
func (is *isolation) test(ctx context.Context, failed *CallError) (bool, error) {
	if is.good.Load() == nil && failed.Kind != Retry {
		if err := is.scout(ctx); err != nil {
			return false, err
		}
	}
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
		return false, nil
	case err == nil, errors.As(err, &again):
		is.pool.Replace(failed.Worker, "an instance that had been predicted before failed after "+failed.Failure.Type)
		return true, nil
	case errors.Is(err, ErrWorkerGone):
		return true, nil
	}
	return false, err
}

// scout looks for an instance that is known to be good, while there is none: among a few
// of the batch, each alone, from its end on. A Predictor that culprits have poisoned fails
// what is healthy too, and only a worker that has failed nothing yet can tell.
func (is *isolation) scout(ctx context.Context) error {
	places := min(len(is.items), maxScouts)
	for tried := 0; tried < places && !is.scouted && is.good.Load() == nil; {
		at := len(is.items) - 1 - tried*(len(is.items)-1)/max(1, places-1)
		answer, err := is.ask(ctx, Call{Instances: is.items[at : at+1], Kwargs: is.task.batch.Kwargs, Limit: is.timeout})
		var failed *CallError
		switch {
		case err == nil && answer.Outcomes[0].Failure == nil:
			is.prosper(&is.items[at])
		case err == nil:
			tried++
		case !errors.As(err, &failed):
			return err
		case failed.Died:
			is.scouted = true
			return is.mourn(ctx, failed, group{at, at + 1})
		case !failed.Harmed:
			tried++
		default:
			is.scouted = !is.replaceUntested(failed)
		}
	}
	is.scouted = true
	return nil
}

// replaceUntested takes the place of a test while nothing has been predicted yet, so that
// no instance is known to be good. The first failure of a worker is believed: nothing can
// have harmed it before. One that has failed before is replaced on suspicion, a few times
// a run and not for long, since a Predictor that fails on everything is to be found out in
// seconds though its model takes minutes to load; what it failed beside that proves
// nothing either. What errors.retry_on names is
// not the worker's fault.
func (is *isolation) replaceUntested(failed *CallError) bool {
	if !failed.Harmed || failed.Kind == Retry {
		return false
	}
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.doubted[failed.Worker] {
		return true
	}
	if is.suspected.IsZero() {
		is.suspected = time.Now()
	}
	if len(is.doubted) >= is.gate.suspicions() || time.Since(is.suspected) > suspicionTime {
		return false
	}
	is.doubted[failed.Worker] = true
	is.pool.Replace(failed.Worker, "nothing has been predicted yet, and it has failed more than once: "+failed.Failure.Type)
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
