package runs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Run is one process's attempt at the run in a folder. Its methods are safe for
// concurrent use, and other processes may be at the same run.
type Run struct {
	store    objects.Store
	folder   string
	attempt  string
	versions Versions
	state    State
	entered  bool // this process has left its name in the attempt's folder
}

// Begin makes plan the plan of the run in a folder, or carries on with the run that is
// there: then the plan that was there first is the one that counts, and plan must have
// the same digest. All parts whose commit an earlier attempt recorded have their final
// names afterwards.
//
// A folder of another job, of another version's run, or with results that no plan belongs
// to is a *pipeline.Error with FixConfig. The plan of another job gives way where nothing
// is lost with it: when none of its parts is committed and nobody is at it.
func Begin(ctx context.Context, store objects.Store, folder string, plan Plan, versions Versions) (*Run, error) {
	folder = clean(folder)
	state, err := Look(ctx, store, folder)
	if err != nil {
		return nil, err
	}
	if state.Condition == Foreign {
		return nil, foreignError(folder, state.Foreign)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("name an attempt: %w", err)
	}
	r := &Run{store: store, folder: folder, attempt: id.String(), versions: versions, state: state}
	if state.Plan != nil && state.Plan.Digest.Sum() != plan.Digest.Sum() && r.abandoned(ctx) {
		if err := Overwrite(ctx, store, folder); err != nil {
			return nil, err
		}
		state.Plan = nil
	}
	if state.Plan == nil {
		// Before the plan stands, so that nobody takes it for abandoned.
		if err := r.enter(ctx); err != nil {
			return nil, Fault(pipeline.PhasePlan, "write", r.Work(processName), err)
		}
		if state, err = settlePlan(ctx, store, folder, plan); err != nil {
			return nil, err
		}
	}
	r.state = state
	if state.Plan.Digest.Sum() != plan.Digest.Sum() {
		if r.entered {
			sweep(ctx, store, []string{r.Work(processName)})
		}
		return nil, otherJobError(folder, state, &plan)
	}
	if state.Condition == Finished {
		// What an attempt has left that was killed right behind _SUCCESS.
		sweep(ctx, store, below(ctx, store, join(folder, workDir)))
		return r, nil
	}
	return r, r.carryOn(ctx)
}

// settlePlan stores a plan, or reads the one of who was first.
func settlePlan(ctx context.Context, store objects.Store, folder string, plan Plan) (State, error) {
	err := storePlan(ctx, store, folder, &plan)
	if err == nil {
		return State{Condition: Begun, Plan: &plan}, nil
	}
	// Also behind an error the plan may stand: somebody else's, or ours where only the
	// store's reply was lost.
	if state, lookErr := Look(ctx, store, folder); lookErr == nil && state.Plan != nil {
		return state, nil
	}
	return State{}, Fault(pipeline.PhasePlan, "write", join(folder, planName), err)
}

// carryOn takes over what earlier attempts have left.
func (r *Run) carryOn(ctx context.Context) error {
	if !r.entered {
		if err := r.enter(ctx); err != nil {
			return Fault(pipeline.PhasePlan, "write", r.Work(processName), err)
		}
	}
	if err := r.store.Remove(ctx, join(r.folder, failedName)); err != nil {
		return Fault(pipeline.PhasePlan, "remove", join(r.folder, failedName), err)
	}
	// Who is gone now commits nothing any more: what the records read afterwards do not
	// need of its files, nobody needs.
	left := r.deserted(ctx)
	records, err := r.Records(ctx)
	if err != nil {
		return err
	}
	if err := r.publishAll(ctx, records); err != nil {
		return err
	}
	r.state.Condition, r.state.Committed, r.state.Reason = Begun, records, ""
	sweep(ctx, r.store, left)
	return nil
}

// State is what the folder held when the run was begun here.
func (r *Run) State() State { return r.state }

// Plan is the plan that counts.
func (r *Run) Plan() *Plan { return r.state.Plan }

// Folder is where the run's output is.
func (r *Run) Folder() string { return r.folder }

// Attempt names this process's attempt, as commit records have it.
func (r *Run) Attempt() string { return r.attempt }

// Versions are those of what works at this attempt.
func (r *Run) Versions() Versions { return r.versions }

// Work is where this attempt keeps a file until its part is committed.
func (r *Run) Work(name string) string { return workName(r.folder, r.attempt, name) }

// Keep leaves a file with the plan, where there is none of that name yet.
func (r *Run) Keep(ctx context.Context, name string, data []byte) error {
	name = join(r.folder, home+"/"+name)
	if err := write(ctx, r.store, name, data); err != nil && !errors.Is(err, objects.ErrExist) {
		return Fault(pipeline.PhasePlan, "write", name, err)
	}
	return nil
}

// Record reads the commit record of a split, whoever wrote it; objects.ErrNotExist.
func (r *Run) Record(ctx context.Context, id pipeline.SplitID) (Record, error) {
	return loadRecord(ctx, r.store, r.folder, r.state.Plan, id)
}

// Records reads all commit records there are, in the order of the plan.
func (r *Run) Records(ctx context.Context) ([]Record, error) {
	return loadRecords(ctx, r.store, r.folder, r.state.Plan)
}

// ErrUnsure says that nobody knows whether a part was committed: its files must stay.
var ErrUnsure = errors.New("it is not known whether the part was committed")

// readBack bounds how long Commit asks for the record after a write that failed.
const readBack = 30 * time.Second

// Commit makes a part done, by one create-only record, and returns that record. The
// part's files must be there and durable, under Work(their names).
// pipeline.ErrCommitted: another attempt was first, and its record is returned.
// ErrUnsure: the record may or may not stand.
func (r *Run) Commit(ctx context.Context, record Record) (Record, error) {
	record.Format, record.RunID, record.Attempt = formatVersion, r.state.Plan.RunID, r.attempt
	record.Committed, record.Versions = time.Now().UTC(), r.versions
	name := commitName(r.folder, string(record.Split))
	if err := record.check(r.state.Plan.RunID, record.Split); err != nil {
		return Record{}, fmt.Errorf("commit split %s: %w", record.Split, err)
	}
	data, err := record.marshal()
	if err != nil {
		return Record{}, fmt.Errorf("commit split %s: %w", record.Split, err)
	}
	err = write(ctx, r.store, name, data)
	if err == nil {
		return record, nil
	}
	// The record decides, not the reply, which may be the lost one of a write that went
	// through. It is asked for even when the run is being ended: whether the part's files
	// may be removed depends on it.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBack)
	defer cancel()
	found, readErr := r.Record(asking, record.Split)
	switch {
	case readErr == nil && found.Attempt == r.attempt:
		return found, nil
	case readErr == nil:
		return found, pipeline.ErrCommitted
	case errors.Is(readErr, objects.ErrNotExist):
		return Record{}, Fault(pipeline.PhaseWrite, "write", name, err)
	}
	return Record{}, errors.Join(ErrUnsure, Fault(pipeline.PhaseWrite, "write", name, err), readErr)
}

func foreignError(folder string, names []string) error {
	return &pipeline.Error{
		Remedy:  pipeline.FixConfig,
		Phase:   pipeline.PhasePlan,
		Message: fmt.Sprintf("%s holds results that are not of a run of this program's: %s", folder, strings.Join(names, ", ")),
		Hint:    "Choose another output, or run with --overwrite to remove them.",
	}
}

func otherJobError(folder string, state State, plan *Plan) error {
	what := "was begun by"
	if state.Condition == Finished {
		what = "holds the finished run of"
	}
	return &pipeline.Error{
		Remedy: pipeline.FixConfig,
		Phase:  pipeline.PhasePlan,
		Message: fmt.Sprintf("%s %s another job (run %s of %s): %s", folder, what, state.Plan.RunID,
			state.Plan.Started.Format(time.RFC3339), strings.Join(differences(state.Plan, plan), "; ")),
		Hint: "Choose another output, or run with --overwrite to remove that run and begin anew.",
	}
}
