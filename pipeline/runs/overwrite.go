package runs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Overwrite removes the files of the run in a folder and nothing else: what it does not
// know, and the folders of limited runs and of retries, stay. No other process may be at
// the run, or overwrite it at the same time.
func Overwrite(ctx context.Context, store objects.Store, folder string) error {
	return overwrite(ctx, store, clean(folder), func(string) bool { return true })
}

// Supersede is Overwrite unless the run in the folder has this ID already. Several
// processes may do so at the same time, as the tasks of one new run do.
func Supersede(ctx context.Context, store objects.Store, folder, runID string, log *slog.Logger) error {
	folder = clean(folder)
	return supersede(ctx, watchRemovals(store, folder, log), func(ctx context.Context) (bool, error) {
		state, err := Look(ctx, store, folder)
		if state.Plan == nil {
			// A plan that can not be read goes too, but for the reason that it can not be
			// read now.
			if isUnreadable(err) {
				return true, nil
			}
			return state.Condition == Foreign, err
		}
		return state.Plan.RunID != runID, state.Plan.Splits.Close()
	})
}

// Holds says whether the run in a folder has this ID already, so that Supersede leaves it.
func Holds(ctx context.Context, store objects.Store, folder, runID string) (bool, error) {
	state, err := Look(ctx, store, folder)
	if state.Plan == nil {
		if isUnreadable(err) {
			err = nil
		}
		return false, err
	}
	return state.Plan.RunID == runID, state.Plan.Splits.Close()
}

// isUnreadable says whether a plan can not be read, however often it is tried.
func isUnreadable(err error) bool {
	var e *pipeline.Error
	return errors.As(err, &e) && e.Remedy == pipeline.FixConfig
}

// giveWay removes the plan that is there, if it still is and is still abandoned.
func (r *Run) giveWay(ctx context.Context, w *removalWatch) error {
	runID := r.state.Plan.RunID
	return supersede(ctx, w, func(ctx context.Context) (bool, error) {
		if err := r.look(ctx); err != nil || r.state.Plan == nil || r.state.Plan.RunID != runID {
			return false, err
		}
		if r.state.Condition == Finished {
			return false, nil
		}
		return r.abandoned(ctx)
	})
}

// supersede removes the run in a folder if that is wanted when nobody else is doing so.
func supersede(ctx context.Context, w *removalWatch, wanted func(context.Context) (bool, error)) error {
	right, err := beginRemoval(ctx, w)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, removalLimit, removalLimitError())
	defer cancel()
	remove, err := wanted(limited)
	if err == nil && remove {
		err = overwrite(limited, w.store, w.folder, func(name string) bool { return !strings.HasPrefix(name, removalsDir+"/") })
	}
	return errors.Join(err, right.end(context.WithoutCancel(ctx)))
}

// removalLimitError is why a removal of that many files ends.
func removalLimitError() error {
	return &pipeline.Error{
		Remedy:  pipeline.TryAgain,
		Phase:   pipeline.PhasePlan,
		Message: fmt.Sprintf("the files of the run that was there could not be removed within %v", removalLimit),
		Hint:    "Run the same command again: it goes on with what is left.",
	}
}

// overwrite removes the run's files whose names, as seen from the folder, are in scope.
func overwrite(ctx context.Context, store objects.Store, folder string, inScope func(name string) bool) error {
	// _SUCCESS goes first, so that nobody takes what is left for whole; then the plan, so
	// that a removal that is cut short does not leave a run to be carried on.
	first := []string{join(folder, successName), join(folder, planName)}
	var names []string
	for o, err := range listOwn(ctx, store, folder) {
		if notOurs(folder, o, err) {
			continue
		}
		if err != nil {
			return Fault(pipeline.PhasePlan, "list", folder, err)
		}
		if name := within(folder, o.Name); ownName(name) && inScope(name) && !slices.Contains(first, o.Name) {
			names = append(names, o.Name)
		}
	}
	for _, name := range first {
		if err := store.Remove(ctx, name); err != nil {
			return Fault(pipeline.PhasePlan, "remove", name, err)
		}
	}
	return removeAll(ctx, store, names)
}

// removeAll removes objects side by side, and ends with the first error.
func removeAll(ctx context.Context, store objects.Store, names []string) error {
	group, removing := errgroup.WithContext(ctx)
	group.SetLimit(removers)
	for _, name := range names {
		if removing.Err() != nil {
			break
		}
		group.Go(func() error { return Fault(pipeline.PhasePlan, "remove", name, store.Remove(removing, name)) })
	}
	err := group.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
