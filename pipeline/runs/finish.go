package runs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Finish ends a run all of whose parts are committed: it publishes what is not published,
// writes the report, and _SUCCESS last. Several may finish a run at the same time, or
// again: the first one's report stands.
func (r *Run) Finish(ctx context.Context, report []byte) error {
	success := join(r.folder, successName)
	done, err := exists(ctx, r.store, success)
	if err != nil {
		return Fault(pipeline.PhaseFinish, "look for", success, err)
	}
	if done {
		return nil
	}
	records, err := r.Records(ctx)
	if err != nil {
		return err
	}
	if missing := len(r.state.Plan.Splits) - len(records); missing > 0 {
		return &pipeline.Error{
			Remedy:  pipeline.TryAgain,
			Phase:   pipeline.PhaseFinish,
			Message: fmt.Sprintf("%d of %d parts of %s are not committed", missing, len(r.state.Plan.Splits), r.folder),
			Hint:    "Run the same command again: what is committed stays.",
		}
	}
	if err := r.publishAll(ctx, records); err != nil {
		return err
	}
	return r.succeed(ctx, report)
}

// succeed is the last step of a run, when all parts have their final names.
func (r *Run) succeed(ctx context.Context, report []byte) error {
	failed, success := join(r.folder, failedName), join(r.folder, successName)
	if err := r.store.Remove(ctx, failed); err != nil {
		return Fault(pipeline.PhaseFinish, "remove", failed, err)
	}
	if err := replaceReport(ctx, r.store, r.folder, r.attempt, report); err != nil {
		return err
	}
	err := place(ctx, r.store, r.Work(successName), success, nil)
	if err != nil && !errors.Is(err, objects.ErrExist) {
		return Fault(pipeline.PhaseFinish, "write", success, err)
	}
	// Another process may have given the run up since.
	if err := r.store.Remove(ctx, failed); err != nil {
		return Fault(pipeline.PhaseFinish, "remove", failed, err)
	}
	// All parts are there: whoever still works at one is told that when it commits.
	sweep(ctx, r.store, below(ctx, r.store, join(r.folder, workDir)))
	return nil
}

// below lists the names below a folder, as far as they can be listed.
func below(ctx context.Context, store objects.Store, folder string) []string {
	var names []string
	for o, err := range store.List(ctx, folder) {
		if err != nil {
			break
		}
		names = append(names, o.Name)
	}
	return names
}

// Fail ends the run with exit status 3: the report, and the reason in _FAILED. It does
// nothing when the run is done.
func (r *Run) Fail(ctx context.Context, reason string, report []byte) error {
	return conclude(ctx, r.store, r.folder, r.attempt, ending{reason: reason, report: report})
}

// Stop ends the attempt and leaves the run to be carried on: the report alone. It does
// nothing when the run is done.
func (r *Run) Stop(ctx context.Context, report []byte) error {
	return conclude(ctx, r.store, r.folder, r.attempt, ending{report: report})
}

// Abandon is Fail, or Stop when reason is empty, for a run that ended before Begin.
func Abandon(ctx context.Context, store objects.Store, folder, reason string, report []byte) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("name an attempt: %w", err)
	}
	return conclude(ctx, store, clean(folder), id.String(), ending{reason: reason, report: report})
}

// ending is how an attempt ends that does not finish its run.
type ending struct {
	reason string // "" unless the run has failed
	report []byte
}

func conclude(ctx context.Context, store objects.Store, folder, attempt string, end ending) error {
	failed, success := join(folder, failedName), join(folder, successName)
	done, err := exists(ctx, store, success)
	if err != nil {
		return Fault(pipeline.PhaseFinish, "look for", success, err)
	}
	if done {
		return nil
	}
	if err := replaceReport(ctx, store, folder, attempt, end.report); err != nil {
		return err
	}
	if end.reason != "" {
		line := strings.Join(strings.Fields(end.reason), " ") + "\n"
		if err := replace(ctx, store, workName(folder, attempt, failedName), failed, []byte(line)); err != nil {
			return Fault(pipeline.PhaseFinish, "write", failed, err)
		}
		// _SUCCESS may have come meanwhile: _FAILED never stands beside it.
		done, err := exists(ctx, store, success)
		if err != nil {
			return Fault(pipeline.PhaseFinish, "look for", success, err)
		}
		if done {
			return Fault(pipeline.PhaseFinish, "remove", failed, store.Remove(ctx, failed))
		}
	}
	sweep(ctx, store, []string{workName(folder, attempt, processName)})
	return nil
}

func replaceReport(ctx context.Context, store objects.Store, folder, attempt string, report []byte) error {
	name := join(folder, reportName)
	err := replace(ctx, store, workName(folder, attempt, reportName), name, report)
	return Fault(pipeline.PhaseFinish, "write", name, err)
}
