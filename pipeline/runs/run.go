package runs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

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
	digest   string // of what this process works with: the plan's, or one that was accepted
	ledger   *ledger
	input    inputChange  // since the plan was made, where that was looked at
	entered  bool         // this process has left its name in the attempt's folder
	segments atomic.Int64 // how many segments it has named
}

// Close gives back what the run holds here. It changes nothing of its folder, and may be
// called twice.
func (r *Run) Close() error {
	if r.state.Plan == nil {
		return nil
	}
	return r.state.Plan.Splits.Close()
}

// State is what the folder held when the run was begun here.
func (r *Run) State() State { return r.state }

// Plan is the plan that counts.
func (r *Run) Plan() *Plan { return r.state.Plan }

// Folder is where the run's output is.
func (r *Run) Folder() string { return r.folder }

// Attempt names this process's attempt, as commit records have it.
func (r *Run) Attempt() string { return r.attempt }

// Digest is the sum of what this process works with: the plan's, or one that was accepted
// in its place.
func (r *Run) Digest() string { return r.digest }

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
	o, err := r.store.Stat(ctx, commitName(r.folder, string(id)))
	if errors.Is(err, objects.ErrNotExist) {
		return Record{}, err
	}
	if err != nil {
		return Record{}, Fault(pipeline.PhasePlan, "read", commitName(r.folder, string(id)), err)
	}
	return loadRecord(ctx, r.store, o, r.state.Plan.RunID, id)
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
	record.Committed, record.Versions, record.Digest = time.Now().UTC(), r.versions, r.digest
	name := commitName(r.folder, string(record.Split))
	if err := record.check(r.state.Plan.RunID, record.Split); err != nil {
		return Record{}, fmt.Errorf("commit split %s: %w", record.Split, err)
	}
	data, err := record.marshal()
	if err != nil {
		return Record{}, fmt.Errorf("commit split %s: %w", record.Split, err)
	}
	number, ok := r.state.Plan.Splits.Number(record.Split)
	if !ok {
		return Record{}, fmt.Errorf("commit split %s: the plan has no such split", record.Split)
	}
	err = write(ctx, r.store, name, data)
	if err == nil {
		r.ledger.add(number, &record)
		return record, nil
	}
	// The record decides, not the reply, which may be the lost one of a write that went
	// through. It is asked for even when the run is being ended: whether the part's files
	// may be removed depends on it.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBack)
	defer cancel()
	found, readErr := r.Record(asking, record.Split)
	if readErr == nil {
		r.ledger.add(number, &found)
	}
	failed := Fault(pipeline.PhaseWrite, "write", name, err)
	switch {
	case readErr == nil && found.Attempt == r.attempt:
		return found, nil
	case readErr == nil:
		return found, pipeline.ErrCommitted
	case !errors.Is(readErr, objects.ErrNotExist):
		return Record{}, errors.Join(ErrUnsure, failed, readErr)
	case errors.Is(err, objects.ErrUnsettled): // a request that was given up may still be on its way
		return Record{}, errors.Join(ErrUnsure, failed)
	}
	return Record{}, failed
}

func foreignError(folder string, names []string) error {
	return &pipeline.Error{
		Remedy:  pipeline.FixConfig,
		Phase:   pipeline.PhasePlan,
		Message: fmt.Sprintf("%s holds results that are not of a run of this program's: %s", folder, strings.Join(names, ", ")),
		Hint:    "Choose another output, or run with --overwrite to remove them.",
	}
}
