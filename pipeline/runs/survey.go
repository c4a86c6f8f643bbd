package runs

import (
	"context"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// The kinds of files that a part has.
const (
	predictionsKind = "predictions"
	errorsKind      = "errors"
)

// finals are the sizes of the files that stand under their final names, by their kind and
// the number of their split; -1 where there is none. They hold 8 bytes a split and kind.
type finals map[string][]int64

// finals lists the files of the run's folder.
func (r *Run) finals(ctx context.Context) (finals, error) {
	f := finals{}
	for o, err := range objects.ListWhere(ctx, r.store, r.folder, func(string) bool { return false }) {
		if notOurs(r.folder, o, err) {
			continue
		}
		if err != nil {
			return nil, Fault(pipeline.PhasePlan, "list", r.folder, err)
		}
		f.note(within(r.folder, o.Name), o.Size, r.state.Plan.Splits)
	}
	return f, nil
}

// note takes one file down.
func (f finals) note(name string, size int64, splits *Splits) {
	i, ok := partNumber(name, splits)
	if !ok {
		return
	}
	kind, _, _ := strings.Cut(name, "-")
	if f[kind] == nil {
		f[kind] = make([]int64, splits.Len())
		for k := range f[kind] {
			f[kind][k] = -1
		}
	}
	f[kind][i] = size
}

// partNumber is the number of the split in the name of a part's file, or false.
func partNumber(name string, splits *Splits) (int, bool) {
	if !finalPattern.MatchString(name) {
		return 0, false
	}
	_, rest, _ := strings.Cut(name, "-")
	id, _, _ := strings.Cut(rest, ".")
	return splits.Number(pipeline.SplitID(id))
}

// has is the size of a file of part number i, or false where it is not there.
func (f finals) has(kind string, i int) (int64, bool) {
	if sizes := f[kind]; sizes != nil {
		return sizes[i], sizes[i] >= 0
	}
	return 0, false
}

// publisher returns what publishes a part unless all of its files have their final names.
func (r *Run) publisher(f finals) func(context.Context, int, *Record) error {
	return func(ctx context.Context, i int, record *Record) error {
		for _, file := range record.Files {
			kind, _, _ := strings.Cut(file.Name, "-")
			size, there := f.has(kind, i)
			if !there {
				return r.Publish(ctx, *record)
			}
			if size != file.Size {
				return otherContentError(join(r.folder, file.Name))
			}
		}
		return nil
	}
}
