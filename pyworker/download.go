package pyworker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Transfer counts the bytes of downloads: those that were asked for, and those that have
// arrived. Where nothing is downloaded, both are 0.
type Transfer struct {
	Total, Done atomic.Int64
}

// sideBySide is how many objects are downloaded at a time.
const sideBySide = 8

// downloader downloads the objects of a listing.
type downloader struct {
	store    objects.Store
	listing  *listing
	mode     os.FileMode // of the files
	progress *Transfer   // nil: not counted
	limit    allowance   // of all files, unpacked

	mu    sync.Mutex
	taken allowance // of the limit, by this run
}

// unpacks tells whether an object is not kept as it is stored.
func (d *downloader) unpacks(f remote) bool { return f.object.Gzipped && !d.listing.archive }

// modelFile is a file that was downloaded.
type modelFile struct {
	Name string `json:"name"` // below the folder, with slashes
	Size int64  `json:"size"`
}

// run downloads all objects into a folder of files, which it returns in the listing's
// order. Errors of the disk are *diskError, others as Stage has them.
func (d *downloader) run(ctx context.Context, into string) (files []modelFile, err error) {
	store := metered{Store: d.store, moved: func(int64) {}}
	if d.progress != nil {
		var done atomic.Int64
		store.moved = func(n int64) {
			done.Add(n)
			d.progress.Done.Add(n)
		}
		d.progress.Total.Add(d.listing.size)
		defer func() {
			if err != nil { // it is begun anew, or not at all
				d.progress.Total.Add(-d.listing.size)
				d.progress.Done.Add(-done.Load())
			}
		}()
	}
	d.taken = d.limit
	for _, f := range d.listing.files {
		if d.unpacks(f) {
			continue // what it takes is known when it arrives
		}
		if err := d.taken.take(f.object.Size, f.name); err != nil {
			return nil, err
		}
	}
	files = make([]modelFile, len(d.listing.files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for i, f := range d.listing.files {
		group.Go(func() (err error) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			files[i].Name = f.name
			files[i].Size, err = d.file(ctx, store, f, filepath.Join(into, filepath.FromSlash(f.name)))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return files, nil
}

// file downloads one object and returns the file's size.
func (d *downloader) file(ctx context.Context, store objects.Store, f remote, to string) (size int64, err error) {
	doing := fmt.Sprintf("download %q of %s", f.name, d.listing.what)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return 0, &diskError{doing, err}
	}
	file, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, d.mode)
	if err != nil {
		return 0, &diskError{doing, err}
	}
	defer func() {
		if closing := file.Close(); closing != nil && err == nil {
			err = &diskError{doing, closing}
		}
	}()
	open, writer := objects.OpenFile, diskWriter{file: file, doing: doing}
	if d.unpacks(f) {
		writer.limit = func(n int64) error { return d.take(n, f.name) }
	} else {
		open = openStored
	}
	body, err := open(ctx, store, f.object)
	if err != nil {
		return 0, storeError(ctx, doing, err)
	}
	size, err = io.Copy(writer, body)
	if closing := body.Close(); err == nil { // which may say that it is not what was listed
		err = closing
	}
	var disk *diskError
	var known *pipeline.Error
	switch {
	case err == nil:
		return size, nil
	case errors.As(err, &known), errors.As(err, &disk): // over the limit; not written
		return size, err
	}
	return size, storeError(ctx, doing, err)
}

// openStored opens an object as it is stored.
func openStored(ctx context.Context, store objects.Store, o objects.Object) (io.ReadCloser, error) {
	return store.Open(ctx, o, 0, -1)
}

// diskWriter writes to a file; its errors are *diskError, or those of the limit.
type diskWriter struct {
	file  *os.File
	doing string              // in errors
	limit func(n int64) error // nil: none
}

func (w diskWriter) Write(p []byte) (int, error) {
	if w.limit != nil {
		if err := w.limit(int64(len(p))); err != nil {
			return 0, err
		}
	}
	n, err := w.file.Write(p)
	if err != nil {
		return n, &diskError{w.doing, err}
	}
	return n, nil
}

func (d *downloader) take(n int64, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken.take(n, name)
}

// diskError is an error of the disk that is downloaded to.
type diskError struct {
	doing string
	err   error
}

func (e *diskError) Error() string { return e.doing + ": " + e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

// metered is a Store that tells how much is read from it.
type metered struct {
	objects.Store
	moved func(n int64)
}

// Open opens an object.
func (m metered) Open(ctx context.Context, o objects.Object, offset, length int64) (io.ReadCloser, error) {
	body, err := m.Store.Open(ctx, o, offset, length)
	if err != nil {
		return nil, err
	}
	return &meteredReader{body, m.moved}, nil
}

type meteredReader struct {
	io.ReadCloser
	moved func(n int64)
}

func (r *meteredReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.moved(int64(n))
	return n, err
}
