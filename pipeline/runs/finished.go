package runs

import (
	"bytes"
	"context"
	"errors"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// keepReport keeps what a run is finished with, unless another process has done so, and
// makes it the run's report. It is kept under a name that nobody replaces: whoever ends
// without having seen _SUCCESS puts a report of its own in the place of the run's.
func (r *Run) keepReport(ctx context.Context, report []byte) error {
	name := join(r.folder, keptReportName)
	if err := write(ctx, r.store, name, report); err != nil {
		if there, lookErr := exists(ctx, r.store, name); lookErr != nil || !there {
			return Fault(pipeline.PhaseFinish, "write", name, err)
		}
	}
	return publishReport(ctx, r.store, r.folder)
}

// mend takes back what processes have left beside _SUCCESS that had not seen it.
func mend(ctx context.Context, store objects.Store, folder string) error {
	if err := unfail(ctx, store, folder, pipeline.PhaseFinish); err != nil {
		return err
	}
	return publishReport(ctx, store, folder)
}

// publishReport makes the report of a run the one that it was finished with.
func publishReport(ctx context.Context, store objects.Store, folder string) error {
	kept, name := join(folder, keptReportName), join(folder, reportName)
	want, err := read(ctx, store, kept)
	if errors.Is(err, objects.ErrNotExist) {
		return nil // somebody has removed it: the one that stands has to do
	}
	if err != nil {
		return Fault(pipeline.PhaseFinish, "read", kept, err)
	}
	for range replacements {
		got, err := read(ctx, store, name)
		switch {
		case err == nil && bytes.Equal(got, want):
			return nil
		case err != nil && !errors.Is(err, objects.ErrNotExist) && !errors.Is(err, objects.ErrChanged):
			return Fault(pipeline.PhaseFinish, "read", name, err)
		}
		if err := store.Remove(ctx, name); err != nil {
			return Fault(pipeline.PhaseFinish, "remove", name, err)
		}
		if err := store.Copy(ctx, kept, name); err != nil && !errors.Is(err, objects.ErrExist) {
			return Fault(pipeline.PhaseFinish, "write", name, err)
		}
	}
	return nil // others write it too, and look whether it is the right one
}
