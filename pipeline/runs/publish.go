package runs

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Publish gives the files of a committed part their final names, and then removes them
// from where they were made. What has its final name already is left.
func (r *Run) Publish(ctx context.Context, record Record) error {
	// Predictions come last: where they have their final name, the failures have it too.
	for _, f := range slices.Backward(record.Files) {
		if err := r.publish(ctx, record.Attempt, f); err != nil {
			return err
		}
	}
	for _, f := range record.Files {
		name := workName(r.folder, record.Attempt, f.Name)
		if err := r.store.Remove(ctx, name); err != nil {
			return Fault(pipeline.PhaseFinish, "remove", name, err)
		}
	}
	return nil
}

func (r *Run) publish(ctx context.Context, attempt string, f PartFile) error {
	final := join(r.folder, f.Name)
	copyErr := r.store.Copy(ctx, workName(r.folder, attempt, f.Name), final)
	if copyErr == nil {
		return nil
	}
	o, err := r.store.Stat(ctx, final)
	switch {
	case errors.Is(err, objects.ErrNotExist) && errors.Is(copyErr, objects.ErrNotExist):
		return lostError(final)
	case errors.Is(err, objects.ErrNotExist):
		return Fault(pipeline.PhaseFinish, "write", final, copyErr)
	case err != nil:
		return Fault(pipeline.PhaseFinish, "look for", final, err)
	case o.Size != f.Size:
		return otherContentError(final)
	case errors.Is(copyErr, objects.ErrExist):
		return r.compare(ctx, o, f)
	}
	return nil // somebody else has published it
}

// compare looks at what stands under a part's final name, and reads it where the store
// keeps no sum of it.
func (r *Run) compare(ctx context.Context, o objects.Object, f PartFile) error {
	if o.Sum != "" {
		if o.Sum != fmt.Sprintf("%08x", f.CRC32C) {
			return otherContentError(o.Name)
		}
		return nil
	}
	body, err := r.store.Open(ctx, o, 0, -1)
	if err != nil {
		return Fault(pipeline.PhaseFinish, "read", o.Name, err)
	}
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, err = io.Copy(h, body)
	if err = errors.Join(err, body.Close()); err != nil {
		return Fault(pipeline.PhaseFinish, "read", o.Name, err)
	}
	if h.Sum32() != f.CRC32C {
		return otherContentError(o.Name)
	}
	return nil
}

func lostError(name string) error {
	return &pipeline.Error{
		Remedy:  pipeline.FixConfig,
		Phase:   pipeline.PhaseFinish,
		Message: fmt.Sprintf("%s is gone, although its part was committed", name),
		Hint:    "Put the file back, or run with --overwrite to begin anew.",
	}
}

func otherContentError(name string) error {
	return &pipeline.Error{
		Remedy:  pipeline.FixConfig,
		Phase:   pipeline.PhaseFinish,
		Message: fmt.Sprintf("%s holds something else than the part that was committed under this name", name),
		Hint:    "Move it away and run the same command again, or run with --overwrite to begin anew.",
	}
}
