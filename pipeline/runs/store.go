package runs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// maxSmall bounds what is read whole into memory.
const maxSmall = 64 << 20

// read returns the whole of a small object, which others may replace meanwhile.
func read(ctx context.Context, store objects.Store, name string) ([]byte, error) {
	var data []byte
	var err error
	for range replacements {
		var o objects.Object
		if o, err = store.Stat(ctx, name); err != nil {
			return nil, err
		}
		if data, err = readObject(ctx, store, o); !errors.Is(err, objects.ErrChanged) {
			break
		}
	}
	return data, err
}

// readObject returns what a small object holds that is known already.
func readObject(ctx context.Context, store objects.Store, o objects.Object) ([]byte, error) {
	if o.Size > maxSmall {
		return nil, fmt.Errorf("%d bytes are more than it can hold", o.Size)
	}
	r, err := store.Open(ctx, o, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// write makes a new object of data.
func write(ctx context.Context, store objects.Store, name string, data []byte) error {
	w, err := store.Create(ctx, name)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return errors.Join(err, w.Abort())
	}
	if err := w.Commit(ctx); err != nil {
		return errors.Join(err, w.Abort())
	}
	return nil
}

// place makes name an object of data by way of a file aside, so that a program that is
// killed leaves nothing half made beside the results.
func place(ctx context.Context, store objects.Store, aside, name string, data []byte) error {
	if err := write(ctx, store, aside, data); err != nil {
		return err
	}
	return errors.Join(store.Copy(ctx, aside, name), store.Remove(ctx, aside))
}

// replacements bounds how often replace tries while others write the same name.
const replacements = 10

// replace is place for a name that may be taken: what stands there goes once its
// successor is whole.
func replace(ctx context.Context, store objects.Store, aside, name string, data []byte) error {
	if err := write(ctx, store, aside, data); err != nil {
		return err
	}
	var err error
	for range replacements {
		if err = store.Remove(ctx, name); err != nil {
			break
		}
		if err = store.Copy(ctx, aside, name); !errors.Is(err, objects.ErrExist) {
			break
		}
		err = nil // somebody else's stands, as new as this one
	}
	return errors.Join(err, store.Remove(ctx, aside))
}

func exists(ctx context.Context, store objects.Store, name string) (bool, error) {
	_, err := store.Stat(ctx, name)
	if errors.Is(err, objects.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
