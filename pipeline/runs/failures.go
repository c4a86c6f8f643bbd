package runs

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// Failures yields the splits of a run that have failures, in order, as ones of which only
// these are read again. Their files of failures are pinned as they are now, and have to be
// those that were committed, to the sum of their bytes.
func (r *Run) Failures(ctx context.Context) iter.Seq2[pipeline.PlannedSplit, error] {
	return func(yield func(pipeline.PlannedSplit, error) bool) {
		splits := r.Plan().Splits
		for i := range splits.Len() {
			split, err := r.failuresOf(ctx, splits, i)
			if err == nil && split.Failures == nil {
				continue
			}
			if !yield(split, err) || err != nil {
				return
			}
		}
	}
}

// failuresOf is split number i with its file of failures, if it has one.
func (r *Run) failuresOf(ctx context.Context, splits *Splits, i int) (pipeline.PlannedSplit, error) {
	if r.ledger.failedIn(i) == 0 {
		return pipeline.PlannedSplit{}, nil
	}
	split, err := splits.At(i)
	if err != nil {
		return split, err
	}
	record, err := r.Record(ctx, split.ID)
	if err != nil {
		return split, Fault(pipeline.PhasePlan, "read", commitName(r.folder, string(split.ID)), err)
	}
	for _, f := range record.Files {
		if !strings.HasPrefix(f.Name, errorsKind+"-") {
			continue
		}
		name := join(r.folder, f.Name)
		o, err := r.store.Stat(ctx, name)
		if err != nil {
			return split, Fault(pipeline.PhasePlan, "read", name, err)
		}
		if !f.is(o) {
			return split, otherContentError(name)
		}
		split.ID, split.Limit = "", 0
		split.Failures = &pipeline.Piece{URI: name, Generation: o.Generation, Size: o.Size, Sum: fmt.Sprintf("%08x", f.CRC32C), End: o.Size}
	}
	return split, nil
}
