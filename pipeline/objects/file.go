package objects

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// OpenFile reads an object, whole, as the file that it is: one that is stored with
// Content-Encoding: gzip is unpacked. Without a generation in o any content is read.
func OpenFile(ctx context.Context, store Store, o Object) (io.ReadCloser, error) {
	if o.Generation == "" {
		found, err := store.Stat(ctx, o.Name)
		if err != nil {
			return nil, err
		}
		o = found
	}
	r, err := store.Open(ctx, o, 0, -1)
	if err != nil || !o.Gzipped {
		return r, err
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("unpack %s, which is stored with Content-Encoding: gzip: %w", o.Name, err), r.Close())
	}
	return &unpacked{Reader: z, stored: r}, nil
}

// unpacked reads what a stored stream unpacks to.
type unpacked struct {
	*gzip.Reader
	stored io.ReadCloser
}

// Close closes both.
func (u *unpacked) Close() error { return errors.Join(u.Reader.Close(), u.stored.Close()) }
