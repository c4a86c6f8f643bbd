package pyworker

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
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

	mu       sync.Mutex
	unpacked allowance // of this run
}

// modelFile is a file that was downloaded.
type modelFile struct {
	Name string `json:"name"` // below the folder, with slashes
	Size int64  `json:"size"`
}

// run downloads all objects into a folder of files, which it returns in the listing's
// order. Errors of the disk are *diskError, others as Stage has them.
func (d *downloader) run(ctx context.Context, into string) (files []modelFile, err error) {
	moved := &Transfer{}
	if d.progress != nil {
		d.progress.Total.Add(d.listing.size)
		defer func() {
			if err != nil { // it is begun anew, or not at all
				d.progress.Total.Add(-d.listing.size)
				d.progress.Done.Add(-moved.Done.Load())
			}
		}()
	}
	d.unpacked = d.limit
	if err := d.take(d.listing.size, d.listing.files[0].name); err != nil {
		return nil, err
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
			files[i].Size, err = d.file(ctx, f, filepath.Join(into, filepath.FromSlash(f.name)), moved)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return files, nil
}

// file downloads one object and returns the file's size.
func (d *downloader) file(ctx context.Context, f remote, to string, moved *Transfer) (size int64, err error) {
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
	body, err := openVerified(ctx, d.store, f.object, func(n int64) {
		moved.Done.Add(n)
		if d.progress != nil {
			d.progress.Done.Add(n)
		}
	})
	if err != nil {
		return 0, storeError(ctx, doing, err)
	}
	if f.object.Gzipped && !d.listing.archive {
		size, err = d.unzip(f, body, file)
	} else {
		size, err = io.Copy(file, body)
	}
	if closing := body.Close(); err == nil && closing != nil {
		return size, storeError(ctx, doing, closing)
	}
	var refused *gzipError
	switch {
	case err == nil:
		return size, nil
	case body.err != nil:
		return size, storeError(ctx, doing, body.err)
	case errors.As(err, &refused):
		return size, refused.fault(doing)
	}
	var known *pipeline.Error
	if errors.As(err, &known) { // over the limit
		return size, err
	}
	return size, &diskError{doing, err}
}

// unzip writes what a gzipped object unpacks to, within the limit.
func (d *downloader) unzip(f remote, body io.Reader, file io.Writer) (size int64, err error) {
	unzipped, err := gzip.NewReader(body)
	if err != nil {
		return 0, &gzipError{err}
	}
	// The listing has counted what is stored.
	if err := d.take(-f.object.Size, f.name); err != nil {
		return 0, err
	}
	buffer := make([]byte, 64<<10)
	for {
		n, err := unzipped.Read(buffer)
		size += int64(n)
		if limitErr := d.take(int64(n), f.name); limitErr != nil {
			return size, limitErr
		}
		if _, err := file.Write(buffer[:n]); err != nil {
			return size, err
		}
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, body) // to the checksum
			return size, err
		}
		if err != nil {
			return size, &gzipError{err}
		}
	}
}

func (d *downloader) take(n int64, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unpacked.take(n, name)
}

// gzipError is an object that is stored with Content-Encoding: gzip, and does not unpack.
type gzipError struct{ err error }

func (e *gzipError) Error() string { return e.err.Error() }

func (e *gzipError) fault(doing string) error {
	fault := faulty("Upload it again, or clear its metadata (`gcloud storage objects update --clear-content-encoding`) if it is not compressed.",
		"%s: it is stored with Content-Encoding: gzip, but does not unpack", doing)
	fault.Err = e.err
	return fault
}

// diskError is an error of the disk that is downloaded to.
type diskError struct {
	doing string
	err   error
}

func (e *diskError) Error() string { return e.doing + ": " + e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

// verified reads an object to its end, where its size and checksum must be those that it
// was listed with.
type verified struct {
	body   io.ReadCloser
	object objects.Object
	sum    hash.Hash32
	n      int64
	moved  func(int64)
	err    error // the store's, or the checksum's; not io.EOF
}

// openVerified opens an object; moved is told of the bytes that arrive, nil: nobody.
func openVerified(ctx context.Context, store objects.Store, o objects.Object, moved func(int64)) (*verified, error) {
	body, err := store.Open(ctx, o, 0, -1)
	if err != nil {
		return nil, err
	}
	return &verified{body: body, object: o, sum: crc32.New(crc32.MakeTable(crc32.Castagnoli)), moved: moved}, nil
}

func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.body.Read(p)
	v.n += int64(n)
	_, _ = v.sum.Write(p[:n])
	if v.moved != nil {
		v.moved(int64(n))
	}
	ended := errors.Is(err, io.EOF)
	switch {
	case err != nil && !ended:
		v.err = err
	case v.n > v.object.Size || ended && v.n < v.object.Size:
		v.err = fmt.Errorf("read %s: it has %d bytes, of which %d arrived", v.object.Name, v.object.Size, v.n)
	case ended && v.object.Sum != "" && v.checksum() != v.object.Sum:
		v.err = fmt.Errorf("read %s: its CRC32C is %s, that of what arrived is %s", v.object.Name, v.object.Sum, v.checksum())
	default:
		return n, err
	}
	return n, v.err
}

func (v *verified) checksum() string { return fmt.Sprintf("%08x", v.sum.Sum32()) }

func (v *verified) Close() error { return v.body.Close() }
