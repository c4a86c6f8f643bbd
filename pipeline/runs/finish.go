package runs

import (
	"context"
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
		return mend(ctx, r.store, r.folder)
	}
	if err := r.publishAll(ctx); err != nil {
		return err
	}
	if total := r.Plan().Splits.Len(); r.Summary().Parts < total {
		return &pipeline.Error{
			Remedy:  pipeline.TryAgain,
			Phase:   pipeline.PhaseFinish,
			Message: fmt.Sprintf("%d of %d parts of %s are not committed", total-r.Summary().Parts, total, r.folder),
			Hint:    "Run the same command again: what is committed stays.",
		}
	}
	return r.succeed(ctx, report)
}

// publishAll publishes the parts that have no final names yet.
func (r *Run) publishAll(ctx context.Context) error {
	published, err := r.finals(ctx)
	if err != nil {
		return err
	}
	// Predictions come last: where they have their final name, the failures have it too.
	return r.readRecords(ctx, func(i int) bool {
		_, there := published.has(predictionsKind, i)
		return !there || !r.ledger.isDone(i)
	}, r.publisher(published))
}

// succeed is the last step of a run, when all parts have their final names.
func (r *Run) succeed(ctx context.Context, report []byte) error {
	success := join(r.folder, successName)
	if err := unfail(ctx, r.store, r.folder, pipeline.PhaseFinish); err != nil {
		return err
	}
	if err := r.keepReport(ctx, report); err != nil {
		return err
	}
	if err := place(ctx, r.store, r.Work(successName), success, nil); err != nil {
		// Another process may have finished the run, and have removed what _SUCCESS is made of.
		if done, lookErr := exists(ctx, r.store, success); lookErr != nil || !done {
			return Fault(pipeline.PhaseFinish, "write", success, err)
		}
	}
	// Another process may have given the run up since.
	if err := mend(ctx, r.store, r.folder); err != nil {
		return err
	}
	r.clear(ctx)
	return nil
}

// clear removes what is left of work of a run that is finished: all parts are there, and
// whoever still works at one is told that when it commits.
func (r *Run) clear(ctx context.Context) {
	for _, dir := range []string{workDir, segmentsDir, claimsDir} {
		sweep(ctx, r.store, below(ctx, r.store, join(r.folder, dir)))
	}
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

// Fail ends the run with exit status 3: the report, the reason in _FAILED, and beside it
// under which digest and limits it has failed. It does nothing when the run is done.
func (r *Run) Fail(ctx context.Context, reason string, limits pipeline.ErrorsConfig, report []byte) error {
	v := &Verdict{Digest: r.digest, Errors: limits, Reason: reason}
	return conclude(ctx, r.store, r.folder, r.attempt, ending{reason: reason, verdict: v, report: report})
}

// Stop ends the attempt and leaves the run to be carried on: the report alone. It does
// nothing when the run is done, or when another task has given it up.
func (r *Run) Stop(ctx context.Context, report []byte) error {
	return conclude(ctx, r.store, r.folder, r.attempt, ending{report: report, yields: true})
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
	reason  string   // "" unless the run has failed
	verdict *Verdict // nil where it is not known under what
	report  []byte
	yields  bool // to a task that has given the run up since
}

func conclude(ctx context.Context, store objects.Store, folder, attempt string, end ending) error {
	success := join(folder, successName)
	done, err := exists(ctx, store, success)
	if err != nil {
		return Fault(pipeline.PhaseFinish, "look for", success, err)
	}
	if done {
		return nil
	}
	err = end.tell(ctx, store, folder, attempt)
	// Another process may have finished the run meanwhile, and removed what was under way:
	// _FAILED never stands beside _SUCCESS, nor another report.
	done, lookErr := exists(ctx, store, success)
	switch {
	case lookErr == nil && done:
		return mend(ctx, store, folder)
	case err != nil:
		return err
	case lookErr != nil:
		return Fault(pipeline.PhaseFinish, "look for", success, lookErr)
	}
	sweep(ctx, store, []string{workName(folder, attempt, processName)})
	return nil
}

// tell writes what is left of an attempt that has not finished its run.
func (e *ending) tell(ctx context.Context, store objects.Store, folder, attempt string) error {
	if e.yields {
		// Another task has given the run up: its report says why.
		if failed, err := exists(ctx, store, join(folder, failedName)); err != nil || failed {
			return Fault(pipeline.PhaseFinish, "look for", join(folder, failedName), err)
		}
	}
	name := join(folder, reportName)
	if err := replace(ctx, store, workName(folder, attempt, reportName), name, e.report); err != nil {
		return Fault(pipeline.PhaseFinish, "write", name, err)
	}
	if e.reason == "" {
		return nil
	}
	if err := e.verdict.judge(ctx, store, folder, attempt); err != nil {
		return err
	}
	failed := join(folder, failedName)
	line := strings.Join(strings.Fields(e.reason), " ") + "\n"
	return Fault(pipeline.PhaseFinish, "write", failed, replace(ctx, store, workName(folder, attempt, failedName), failed, []byte(line)))
}
