package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// copyStep is how many bytes of a file are copied before it is asked whether to go on.
const copyStep = 64 << 20

// Compose makes a new file of the contents of others, which the system copies where it
// can.
func (l *Local) Compose(ctx context.Context, name string, from []Object) error {
	w, err := l.create(ctx, name)
	if err != nil {
		return err
	}
	for _, o := range from {
		if err := w.appendFile(ctx, o); err != nil {
			return errors.Join(fmt.Errorf("compose %s: %w", name, err), w.Abort())
		}
	}
	if err := w.Commit(ctx); err != nil {
		return errors.Join(err, w.Abort())
	}
	return nil
}

// appendFile appends what o describes.
func (w *localWriter) appendFile(ctx context.Context, o Object) error {
	r, err := openLocal(ctx, o, 0, -1)
	if err != nil {
		return err
	}
	copied := int64(0)
	for err == nil {
		if err = context.Cause(ctx); err != nil {
			break
		}
		var n int64
		n, err = io.CopyN(w.file, r.file, copyStep) // of one file to another: by copy_file_range
		copied += n
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if closing := r.Close(); err == nil {
		err = closing
	}
	if err == nil && copied != r.object.Size {
		return fmt.Errorf("read %s: %w", o.Name, ErrChanged)
	}
	return w.named(err)
}
