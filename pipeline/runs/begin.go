package runs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Config says which run is begun.
type Config struct {
	Store    objects.Store
	Folder   string // of the output
	Name     string // of the job
	RunID    string // of a run that is planned here; "": a new one
	Started  time.Time
	Digest   Digest // of all that decides the output but the files that are read
	Input    Input
	Versions Versions
	// AcceptChanges carries on where what is replaceable in the digest is another one.
	AcceptChanges bool
	// Wait is how long another task's plan is waited for, before one is made here; whoever
	// waits takes the input as that plan has it. 0: no task is waited for.
	Wait time.Duration
	Log  *slog.Logger // nil: none
}

// Begin plans the run in a folder, or carries on with the one that is there: then the plan
// that was there first is the one that counts, and the digest must be the same. Files that
// have changed or gone since are told to the log, and found again when they are read. All
// parts whose commit an earlier attempt recorded have their final names afterwards. Of a
// run that is finished, no record is read.
//
// A folder of another job, of another version's run, or with results that no plan belongs
// to is a *pipeline.Error with FixConfig. The plan of another job, or of input that is not
// there any more, gives way where nothing is lost with it: when none of its parts is
// committed and nobody is at it.
func Begin(ctx context.Context, c Config) (*Run, error) {
	c.Folder = clean(c.Folder)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("name an attempt: %w", err)
	}
	r := &Run{store: c.Store, folder: c.Folder, attempt: id.String(), versions: c.Versions}
	if err = r.join(ctx, &c); err == nil {
		r.ledger = newLedger(r.attempt, r.Plan().Splits.Len())
		err = r.carryOn(ctx)
	}
	if err != nil {
		if r.entered {
			sweep(context.WithoutCancel(ctx), r.store, []string{r.Work(processName)})
		}
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// poll is how often it is looked for what another process is about to do.
const poll = 500 * time.Millisecond

// pause waits until it is time to look again.
func pause(ctx context.Context) error {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join makes the plan of the run, or takes the one that is there.
func (r *Run) join(ctx context.Context, c *Config) error {
	since, planned := time.Now(), false
	watch := watchRemovals(r.store, r.folder, c.Log)
	for {
		if err := r.look(ctx); err != nil {
			return err
		}
		waiting := time.Since(since) < c.Wait
		joined, err := false, error(nil)
		switch {
		case r.state.Plan != nil:
			// Who waits for another task's plan takes the input as that has it.
			joined, err = r.takeUp(ctx, c, watch, c.Wait > 0 && !planned)
		case waiting && r.state.Condition != Foreign:
			err = pause(ctx)
		default:
			joined, err = r.found(ctx, c, watch)
			planned = true
		}
		if joined || err != nil {
			return err
		}
	}
}

// look reads what is in the folder now.
func (r *Run) look(ctx context.Context) error {
	if err := r.Close(); err != nil {
		return err
	}
	var err error
	r.state, err = Look(ctx, r.store, r.folder)
	return err
}

// takeUp takes the plan that is there as the run's, or makes it give way; false: things
// have changed meanwhile, and are to be looked at again.
func (r *Run) takeUp(ctx context.Context, c *Config, watch *removalWatch, trusting bool) (bool, error) {
	refusal := r.adopt(ctx, c, trusting)
	if refusal != nil && !isOtherJob(refusal) || r.state.Condition == Finished {
		return true, refusal
	}
	if refusal == nil && !r.input.stale() {
		return r.settle(ctx, watch)
	}
	abandoned, err := r.abandoned(ctx)
	switch {
	case err != nil:
		return true, err
	case abandoned:
		return false, r.giveWay(ctx, watch)
	case refusal != nil:
		// Who is at it may be at a plan that has taken this one's place meanwhile.
		stands, err := r.state.Plan.stands(ctx, r.store, r.folder)
		if err == nil && stands {
			err = refusal
		}
		return false, err
	}
	c.Log.Warn("the input is not what was planned: what can not be read as it was is not predicted", "change", r.input.String())
	return r.settle(ctx, watch)
}

// settle leaves this process's name with the plan, so that nobody takes it for abandoned;
// false: somebody was removing it, or has done so.
func (r *Run) settle(ctx context.Context, watch *removalWatch) (bool, error) {
	if err := r.enter(ctx); err != nil {
		return true, err
	}
	if waited, err := watch.outwait(ctx); waited || err != nil {
		return false, err
	}
	return r.state.Plan.stands(ctx, r.store, r.folder)
}

// found plans a new run; false: there is a plan to look at, somebody else's or this one.
func (r *Run) found(ctx context.Context, c *Config, watch *removalWatch) (bool, error) {
	if waited, err := watch.outwait(ctx); waited || err != nil {
		return false, err
	}
	if r.state.Condition == Foreign {
		return false, foreignError(r.folder, r.state.Foreign)
	}
	// Before the plan stands, so that nobody takes it for abandoned.
	if err := r.enter(ctx); err != nil {
		return false, err
	}
	plan, err := c.plan(ctx)
	if err != nil {
		return false, err
	}
	err = storePlan(ctx, r.store, r.folder, plan)
	if err == nil {
		r.state, r.digest = State{Condition: Begun, Plan: plan}, plan.Digest.Sum()
		return true, nil
	}
	// Also behind an error the plan may stand: somebody else's, or ours where only the
	// store's reply was lost.
	closing := plan.Splits.Close()
	if there, lookErr := exists(ctx, r.store, join(r.folder, planName)); lookErr == nil && there {
		return false, closing
	}
	return false, errors.Join(Fault(pipeline.PhasePlan, "write", join(r.folder, planName), err), closing)
}

// plan makes the plan of a new run.
func (c *Config) plan(ctx context.Context) (*Plan, error) {
	splits, err := Spool(ctx, c.Input.Plan(ctx))
	if err != nil {
		return nil, err
	}
	plan, err := NewPlan(c.Name, c.Started, c.Digest, splits)
	if err != nil {
		return nil, errors.Join(err, splits.Close())
	}
	if c.RunID != "" {
		plan.RunID = c.RunID
	}
	return &plan, nil
}

// carryOn takes over what earlier attempts have left.
func (r *Run) carryOn(ctx context.Context) error {
	if r.state.Condition == Finished {
		// What an attempt has left that was killed right behind _SUCCESS. Where it can not be
		// mended the run is finished all the same.
		_ = mend(ctx, r.store, r.folder)
		r.clear(ctx)
		return nil
	}
	if err := unfail(ctx, r.store, r.folder, pipeline.PhasePlan); err != nil {
		return err
	}
	left, err := r.deserted(ctx)
	if err != nil {
		left = nil // what can not be listed is left: it only takes room
	}
	published, err := r.finals(ctx)
	if err != nil {
		return err
	}
	if err := r.readRecords(ctx, func(int) bool { return true }, r.publisher(published)); err != nil {
		return err
	}
	r.state.Condition, r.state.Reason = Begun, ""
	sweep(ctx, r.store, r.needless(left))
	return nil
}
