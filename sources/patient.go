package sources

import (
	"context"
	"io"
)

// patient reads a stream that may block for long (a terminal, a pipe) in a goroutine of
// its own, so that the end of a context is noticed meanwhile.
type patient struct {
	ended  <-chan struct{}
	cause  func() error
	chunks chan []byte   // what was read
	free   chan []byte   // buffers to read into
	closed chan struct{} // nobody reads any more
	err    error         // of the stream, once chunks is closed
	rest   []byte
	buffer []byte // that rest is of
}

func startPatient(ctx context.Context, stream io.Reader) *patient {
	p := &patient{
		ended:  ctx.Done(),
		cause:  func() error { return context.Cause(ctx) },
		chunks: make(chan []byte),
		free:   make(chan []byte, 2),
		closed: make(chan struct{}),
	}
	p.free <- make([]byte, chunkSize/4)
	p.free <- make([]byte, chunkSize/4)
	go p.run(stream)
	return p
}

// run reads until the stream or the reader ends.
func (p *patient) run(stream io.Reader) {
	defer close(p.chunks)
	for {
		var buffer []byte
		select {
		case buffer = <-p.free:
		case <-p.closed:
			return
		}
		n, err := stream.Read(buffer)
		p.err = err
		select {
		case p.chunks <- buffer[:n]:
		case <-p.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

// Read reads what has come.
func (p *patient) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.buffer != nil {
			p.free <- p.buffer
			p.buffer = nil
		}
		select {
		case chunk, ok := <-p.chunks:
			if !ok {
				return 0, p.err
			}
			p.rest, p.buffer = chunk, chunk[:cap(chunk)]
		case <-p.ended:
			return 0, p.cause()
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// Close lets the goroutine end, which it does when its read returns.
func (p *patient) Close() error {
	close(p.closed)
	return nil
}
