package objects

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errSum says that what was read is not what is stored.
var errSum = errors.New("its checksum is not the stored one: it was damaged on the way")

// Open reads a range of one generation, some of it ahead. What is read whole is held
// against its checksum.
func (c *Cloud) Open(ctx context.Context, o Object, offset, length int64) (io.ReadCloser, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if o.Generation == "" {
		found, err := c.Stat(ctx, o.Name)
		if err != nil {
			return nil, err
		}
		o = found
	}
	r, err := c.newReader(ctx, o, offset, length)
	if err != nil {
		return nil, err
	}
	if err := r.open(); err != nil {
		_ = r.Close()
		return nil, err
	}
	if r.end-r.at <= aheadChunk {
		return r, nil
	}
	return startAhead(r), nil
}

// cloudReader reads a range of an object. When the service sends nothing for the limit, it
// is asked again from where it stopped.
type cloudReader struct {
	cloud      *Cloud
	ctx        context.Context //nolint:containedctx // the life of the reader: Read has no context
	stop       context.CancelFunc
	object     Object
	generation int64
	whole      bool  // the range is all of the object
	at, end    int64 // what is still to be read
	sum        uint32
	stalls     int   // in a row
	late       bool  // the limit ended the stream
	damage     error // for Close: what was read is not what is stored

	stream *storage.Reader // nil where there is nothing to read
	cancel context.CancelFunc
}

func (c *Cloud) newReader(ctx context.Context, o Object, offset, length int64) (*cloudReader, error) {
	generation, err := strconv.ParseInt(o.Generation, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read %s: generation %q is no number", o.Name, o.Generation)
	}
	end := o.Size
	if length >= 0 {
		end = min(end, offset+length)
	}
	ctx, stop := context.WithCancel(ctx)
	return &cloudReader{
		cloud: c, ctx: ctx, stop: stop, object: o, generation: generation, whole: offset == 0 && end == o.Size,
		at: offset, end: end, cancel: func() {},
	}, nil
}

// open asks for what is still to be read.
func (r *cloudReader) open() error {
	if r.at >= r.end {
		return nil
	}
	handle := r.cloud.object(r.object.Name).Generation(r.generation)
	var last error
	for range attempts {
		ctx, cancel := context.WithCancel(r.ctx)
		late := time.AfterFunc(r.cloud.limit, cancel)
		stream, err := handle.NewRangeReader(ctx, r.at, r.end-r.at)
		if err == nil && late.Stop() {
			r.stream, r.cancel, r.late = stream, cancel, false
			return nil
		}
		if err == nil {
			_ = stream.Close()
		}
		cancel()
		if late.Stop() || r.ctx.Err() != nil {
			return r.explain(err)
		}
		last = err
	}
	return r.cloud.explain(r.ctx, "read", r.object.Name, &limitError{limit: r.cloud.limit, times: attempts, last: last})
}

// Read reads on, behind a stall from where it stopped.
func (r *cloudReader) Read(p []byte) (int, error) {
	for r.at < r.end {
		if r.stream == nil {
			return 0, io.ErrClosedPipe
		}
		late := time.AfterFunc(r.cloud.limit, r.cancel)
		n, err := r.stream.Read(p[:min(int64(len(p)), r.end-r.at)])
		if !late.Stop() {
			r.late = true // which the next read meets, where this one has brought bytes
		}
		if n > 0 {
			r.sum = crc32.Update(r.sum, castagnoli, p[:n])
			r.at += int64(n)
			r.stalls = 0
			return n, r.verify(err)
		}
		if err = r.resume(err); err != nil {
			return 0, err
		}
	}
	return 0, r.verify(io.EOF)
}

// verify looks at what a read has brought that also brought bytes: its error, if that is
// no end too early, is met again by the next one.
func (r *cloudReader) verify(err error) error {
	if r.at < r.end {
		return nil
	}
	if r.whole && r.object.Sum != "" && fmt.Sprintf("%08x", r.sum) != r.object.Sum {
		r.damage = fmt.Errorf("read %s: %w", r.object.Name, errSum)
		return r.damage
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return nil
}

// resume asks again where a read has brought nothing because of a stall, or because the
// stream ended too early; else it returns why not.
func (r *cloudReader) resume(err error) error {
	early := errors.Is(err, io.EOF)
	switch {
	case err == nil:
		return nil
	case r.ctx.Err() != nil, !r.late && !early:
		return r.explain(err)
	}
	if r.stalls++; r.stalls >= attempts {
		if early {
			return r.explain(io.ErrUnexpectedEOF)
		}
		return r.explain(fmt.Errorf("no byte within %s, %d times", r.cloud.limit, attempts))
	}
	r.leave()
	return r.open()
}

// explain tells an object that is not the pinned one any more from one that is gone.
func (r *cloudReader) explain(err error) error {
	var reply *googleapi.Error
	gone := errors.Is(err, storage.ErrObjectNotExist) || errors.As(err, &reply) &&
		(reply.Code == http.StatusNotFound || reply.Code == http.StatusPreconditionFailed || reply.Code == http.StatusRequestedRangeNotSatisfiable)
	if !gone || r.ctx.Err() != nil {
		return r.cloud.explain(r.ctx, "read", r.object.Name, err)
	}
	if _, err := r.cloud.Stat(r.ctx, r.object.Name); err != nil {
		return err
	}
	return fmt.Errorf("read %s: %w", r.object.Name, ErrChanged)
}

// leave ends the stream.
func (r *cloudReader) leave() {
	r.cancel()
	if r.stream != nil {
		_ = r.stream.Close() // what was read of a pinned generation is verified
		r.stream = nil
	}
}

// Close ends the reading. It tells of damage also who read no further than the last byte,
// once.
func (r *cloudReader) Close() error {
	r.stop()
	r.leave()
	err := r.damage
	r.damage = nil
	return err
}

const (
	aheadChunk  = 256 << 10 // bytes read at a time
	aheadChunks = 8         // that are held at most
)

// ahead reads ahead of who reads from it, in a goroutine of its own.
type ahead struct {
	reader *cloudReader
	chunks chan []byte   // what was read; closed behind err
	free   chan []byte   // to be used again
	closed chan struct{} // nobody reads any more
	err    error         // of the reader, once chunks is closed
	rest   []byte
	buffer []byte // that rest is of
	done   bool
}

func startAhead(r *cloudReader) *ahead {
	a := &ahead{reader: r, chunks: make(chan []byte, aheadChunks-2), free: make(chan []byte, aheadChunks), closed: make(chan struct{})}
	go a.run()
	return a
}

func (a *ahead) run() {
	defer close(a.chunks)
	for {
		var b []byte
		select {
		case b = <-a.free:
		default:
			b = make([]byte, aheadChunk)
		}
		n, err := a.reader.Read(b)
		select {
		case a.chunks <- b[:n]:
		case <-a.closed:
			return
		}
		if err != nil {
			a.err = err
			return
		}
	}
}

// Read gives what was read.
func (a *ahead) Read(p []byte) (int, error) {
	if a.done {
		return 0, io.ErrClosedPipe
	}
	for len(a.rest) == 0 {
		if a.buffer != nil {
			a.free <- a.buffer // has room for all there are
			a.buffer = nil
		}
		chunk, ok := <-a.chunks
		if !ok {
			return 0, a.err
		}
		a.rest, a.buffer = chunk, chunk[:cap(chunk)]
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close ends the reading and waits for it. It may be called twice.
func (a *ahead) Close() error {
	if a.done {
		return nil
	}
	a.done = true
	close(a.closed)
	a.reader.stop()
	for range a.chunks { // until the goroutine has ended
	}
	return a.reader.Close()
}
