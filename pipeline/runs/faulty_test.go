package runs_test

import (
	"context"
	"hash/crc32"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

func checksum(s string) uint32 {
	return crc32.Checksum([]byte(s), crc32.MakeTable(crc32.Castagnoli))
}

// faulty is a store in which some operations on some names go wrong.
type faulty struct {
	objects.Store
	before func(op, name string) error // instead of the operation
	after  func(op, name string) error // after it went through
}

// on returns a function that fails with err for one operation on names with a suffix.
func on(op, suffix string, err error) func(string, string) error {
	return func(gotOp, name string) error {
		if gotOp == op && strings.HasSuffix(name, suffix) {
			return err
		}
		return nil
	}
}

func (f *faulty) wrap(op, name string, do func() error) error {
	if f.before != nil {
		if err := f.before(op, name); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	if f.after != nil {
		return f.after(op, name)
	}
	return nil
}

func (f *faulty) Stat(ctx context.Context, name string) (o objects.Object, err error) {
	err = f.wrap("stat", name, func() (err error) {
		o, err = f.Store.Stat(ctx, name)
		return err
	})
	return o, err
}

func (f *faulty) Create(ctx context.Context, name string) (w objects.Writer, err error) {
	err = f.wrap("create", name, func() (err error) {
		w, err = f.Store.Create(ctx, name)
		return err
	})
	return &faultyWriter{Writer: w, store: f, name: name}, err
}

func (f *faulty) Copy(ctx context.Context, from, to string) error {
	return f.wrap("copy", to, func() error { return f.Store.Copy(ctx, from, to) })
}

func (f *faulty) Remove(ctx context.Context, name string) error {
	return f.wrap("remove", name, func() error { return f.Store.Remove(ctx, name) })
}

type faultyWriter struct {
	objects.Writer
	store *faulty
	name  string
}

func (w *faultyWriter) Write(p []byte) (n int, err error) {
	err = w.store.wrap("write", w.name, func() (err error) {
		n, err = w.Writer.Write(p)
		return err
	})
	return n, err
}

func (w *faultyWriter) Commit(ctx context.Context) error {
	return w.store.wrap("commit", w.name, func() error { return w.Writer.Commit(ctx) })
}
