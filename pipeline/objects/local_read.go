package objects

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Open reads a file. Whether it is still the one that o describes is looked at when it
// is opened, where it ends, and when the reader is closed.
func (l *Local) Open(ctx context.Context, o Object, offset, length int64) (io.ReadCloser, error) {
	r, err := openLocal(ctx, o, offset, length)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func openLocal(ctx context.Context, o Object, offset, length int64) (*localReader, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	// Without O_NONBLOCK a pipe in the file's place would be waited for.
	f, err := os.OpenFile(o.Name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case isAbsent(err):
		return nil, fmt.Errorf("open %s: %w", o.Name, ErrNotExist)
	case err != nil:
		return nil, err
	}
	r := &localReader{file: f, object: o, left: length}
	if err := r.begin(offset); err != nil {
		_ = f.Close()
		return nil, err
	}
	return r, nil
}

// localReader reads a range of one file.
type localReader struct {
	file   *os.File
	object Object
	left   int64 // bytes of the range that were not read; -1: to the end
	closed bool
}

// begin pins the file where o does not, and goes to offset.
func (r *localReader) begin(offset int64) error {
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("open %s: %w", r.object.Name, errIrregular)
	}
	if r.object.Generation == "" {
		r.object = describe(r.object.Name, info)
	}
	if err := r.verify(); err != nil {
		return err
	}
	if offset > 0 {
		_, err = r.file.Seek(offset, io.SeekStart)
	}
	return err
}

// verify returns ErrChanged when the file is not any more what was pinned.
func (r *localReader) verify() error {
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	if describe(r.object.Name, info).Generation != r.object.Generation {
		return fmt.Errorf("read %s: %w", r.object.Name, ErrChanged)
	}
	return nil
}

// Read reads of the range. At its end, or the file's, it verifies before it says io.EOF.
func (r *localReader) Read(p []byte) (int, error) {
	if r.left >= 0 && int64(len(p)) > r.left {
		p = p[:r.left]
		if len(p) == 0 {
			return 0, r.end()
		}
	}
	n, err := r.file.Read(p)
	if r.left >= 0 {
		r.left -= int64(n)
	}
	if err == io.EOF {
		return n, r.end()
	}
	return n, err
}

func (r *localReader) end() error {
	if err := r.verify(); err != nil {
		return err
	}
	return io.EOF
}

// Close verifies once more and closes the file.
func (r *localReader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.verify()
	if closing := r.file.Close(); err == nil {
		err = closing
	}
	return err
}
