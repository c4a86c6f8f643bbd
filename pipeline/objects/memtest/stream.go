package memtest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
)

// reader reads what an object held when it was opened.
type reader struct {
	store  *Store
	ctx    context.Context //nolint:containedctx // the life of the reader: Read has no context
	name   string
	rest   []byte
	closed bool
}

// Read reads on.
func (r *reader) Read(p []byte) (n int, err error) {
	if r.closed {
		return 0, fmt.Errorf("read %s: %w", r.name, fs.ErrClosed)
	}
	err = r.store.do(r.ctx, "read", r.name, func() error {
		n = copy(p, r.rest)
		r.rest = r.rest[n:]
		return nil
	})
	switch {
	case err != nil:
		return 0, err
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// Close ends the reading. It may be called twice.
func (r *reader) Close() error {
	r.closed = true
	return nil
}

// writer is an object that is not there yet.
type writer struct {
	store   *Store
	ctx     context.Context //nolint:containedctx // the life of the object until Commit: Write has no context
	name    string
	content []byte
	done    bool
}

// Write appends to the object.
func (w *writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, fmt.Errorf("write %s: %w", w.name, fs.ErrClosed)
	}
	err := w.store.do(w.ctx, "write", w.name, func() error {
		w.content = append(w.content, p...)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Commit makes the object visible, or gives it up.
func (w *writer) Commit(ctx context.Context) error {
	if w.done {
		return fmt.Errorf("commit %s: %w", w.name, fs.ErrClosed)
	}
	w.done = true
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	return w.store.do(ctx, "commit", w.name, func() error { return w.store.create("create", w.name, w.content) })
}

// Abort gives the object up.
func (w *writer) Abort() error {
	w.done = true
	return nil
}
