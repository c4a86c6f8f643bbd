package sinks

import (
	"context"
	"errors"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// flushAt is how many bytes of lines are gathered before they are compressed and written.
const flushAt = 64 << 10

// partFile is one file of a part under way, or a piece of one: lines, compressed, counted,
// into an object that is not there before commit.
type partFile struct {
	path   string // where it is made
	object objects.Writer
	sum    counter
	pack   io.WriteCloser // nil where nothing is compressed
	lines  []byte         // gathered
	some   bool           // lines have been written
}

func createFile(ctx context.Context, store objects.Store, path, compression string) (*partFile, error) {
	f := &partFile{path: path}
	object, err := store.Create(ctx, f.path)
	if err != nil {
		return nil, runs.Fault(pipeline.PhaseWrite, "create", f.path, err)
	}
	f.object = object
	f.sum = counter{to: object, hash: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	if f.pack, err = compressor(&f.sum, compression); err != nil {
		return nil, errors.Join(err, object.Abort())
	}
	return f, nil
}

// compressor wraps w, or returns nil where nothing is compressed.
func compressor(w io.Writer, compression string) (io.WriteCloser, error) {
	switch compression {
	case gzipCompression:
		return gzip.NewWriter(w), nil
	case zstdCompression:
		// One goroutine and a small window a file: parts are written side by side. An empty
		// file is a frame too: the zstd program takes no bytes at all for a torn file.
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithZeroFrames(true))
	}
	return nil, nil
}

// spill writes what is gathered once it is worth it.
func (f *partFile) spill() error {
	if len(f.lines) < flushAt {
		return nil
	}
	return f.flush()
}

func (f *partFile) flush() error {
	var w io.Writer = &f.sum
	if f.pack != nil {
		w = f.pack
	}
	_, err := w.Write(f.lines)
	f.some = f.some || len(f.lines) > 0
	f.lines = f.lines[:0]
	return runs.Fault(pipeline.PhaseWrite, "write", f.path, err)
}

// isEmpty says whether no line is in the file.
func (f *partFile) isEmpty() bool { return !f.some && len(f.lines) == 0 }

// commit makes the file durable where it was made, and returns its size and CRC-32C.
func (f *partFile) commit(ctx context.Context) (int64, uint32, error) {
	if err := f.flush(); err != nil {
		return 0, 0, err
	}
	if f.pack != nil {
		if err := f.pack.Close(); err != nil {
			return 0, 0, runs.Fault(pipeline.PhaseWrite, "write", f.path, err)
		}
	}
	if err := f.object.Commit(ctx); err != nil {
		return 0, 0, runs.Fault(pipeline.PhaseWrite, "write", f.path, err)
	}
	return f.sum.n, f.sum.hash.Sum32(), nil
}

// counter passes bytes on and counts those that went through.
type counter struct {
	to   io.Writer
	n    int64
	hash hash.Hash32
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	c.hash.Write(p[:n])
	return n, err
}
