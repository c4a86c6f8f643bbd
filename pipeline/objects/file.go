package objects

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// UnpackError says that an object that is stored with Content-Encoding: gzip came as it
// is stored, and does not unpack.
type UnpackError struct {
	Name string
	Err  error
}

func (e *UnpackError) Error() string {
	return fmt.Sprintf("unpack %s, which is stored with Content-Encoding: gzip: %v", e.Name, e.Err)
}

// Unwrap returns what is wrong with it.
func (e *UnpackError) Unwrap() error { return e.Err }

// OpenFile reads an object, whole, as the file that it is: one that is stored with
// Content-Encoding: gzip is unpacked, or is an *UnpackError, also from Read. Without a
// generation in o any content is read.
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
	u := &unpacked{name: o.Name, stored: storedReader{ReadCloser: r}}
	if u.zip, err = gzip.NewReader(&u.stored); err != nil {
		return nil, errors.Join(u.explain(err), r.Close())
	}
	return u, nil
}

// unpacked reads what a stored stream unpacks to.
type unpacked struct {
	name   string
	zip    *gzip.Reader
	stored storedReader
}

// Read unpacks, and reads the stored stream to its end before it says io.EOF.
func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.zip.Read(p)
	if err != nil && err != io.EOF {
		_, _ = io.Copy(io.Discard, &u.stored) // at its end the store knows of damage on the way
		err = u.explain(err)
	}
	return n, err
}

// explain tells an error of the store, met while unpacking, from content that does not
// unpack.
func (u *unpacked) explain(err error) error {
	if u.stored.err != nil {
		return u.stored.err
	}
	if err == io.EOF { // of the stored stream
		err = io.ErrUnexpectedEOF
	}
	return &UnpackError{Name: u.name, Err: err}
}

// Close closes the stored stream, whose error counts.
func (u *unpacked) Close() error {
	_ = u.zip.Close() // which repeats what Read said
	return u.stored.Close()
}

// storedReader remembers the error of a store.
type storedReader struct {
	io.ReadCloser
	err error // not io.EOF
}

func (r *storedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
