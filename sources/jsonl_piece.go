package sources

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// opener opens a piece's file at an offset.
type opener func(ctx context.Context, p pipeline.Piece, offset int64) (io.ReadCloser, error)

// openIn opens pieces in a store.
func openIn(store objects.Store) opener {
	return func(ctx context.Context, p pipeline.Piece, offset int64) (io.ReadCloser, error) {
		return store.Open(ctx, objectOf(p), offset, -1)
	}
}

func objectOf(p pipeline.Piece) objects.Object {
	name := p.Name
	if name == "" {
		name = p.URI
	}
	return objects.Object{Name: name, Size: p.Size, Generation: p.Generation, Sum: p.Sum}
}

// pieceReader reads the lines that begin in a piece. It is used for one piece after the
// other.
type pieceReader struct {
	lines  lines
	open   opener
	max    int
	piece  pipeline.Piece
	begin  int64 // of the piece's first line
	file   io.ReadCloser
	stored storedReader
	peek   *bufio.Reader
	kind   compression
	free   func() // what decompressing needs
}

// storedReader counts what is read of a file, and keeps the file's own error.
type storedReader struct {
	file  io.Reader
	count int64
	err   error
}

func (s *storedReader) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	s.count += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// start opens a piece.
func (r *pieceReader) start(ctx context.Context, p pipeline.Piece) error {
	r.piece, r.begin, r.kind, r.free = p, p.Start, uncompressed, func() {}
	offset := max(p.Start-1, 0)
	file, err := r.open(ctx, p, offset)
	if err != nil {
		return r.explain(err)
	}
	r.file = file
	r.stored = storedReader{file: file}
	var stream io.Reader = &r.stored
	if p.Start == 0 && p.End == p.Size {
		if r.peek == nil {
			r.peek = bufio.NewReaderSize(nil, 32<<10)
		}
		r.peek.Reset(&r.stored)
		content, kind, free, err := decompress(r.peek)
		r.kind = kind
		if err != nil {
			return r.fail(err)
		}
		stream, r.free = content, free
	}
	r.lines.reset(stream, offset, r.max)
	if p.Start > 0 {
		// The line that begins at Start is the piece's own if the byte before ends a line.
		if _, err := r.lines.passLine(ctx, func([]byte) {}); err != nil {
			return r.fail(err)
		}
		r.begin = r.lines.offset
	}
	return nil
}

// next returns the next line of the piece, or io.EOF, when the file has been verified
// and closed.
func (r *pieceReader) next(ctx context.Context) (line, error) {
	if r.kind == uncompressed && r.lines.offset >= r.piece.End {
		return line{}, r.finish()
	}
	ln, err := r.lines.next(ctx)
	switch {
	case err == io.EOF:
		return line{}, r.finish()
	case err != nil:
		return line{}, r.fail(err)
	}
	ln.text = withoutMark(ln.text, ln.offset)
	return ln, nil
}

// finish ends a piece that was read as far as it is wanted.
func (r *pieceReader) finish() error {
	if err := r.close(); err != nil {
		return r.explain(err)
	}
	return io.EOF
}

// fail ends a piece that can not be read further. What became of the file comes before
// what was made of it: data that changed while it was read looks corrupt.
func (r *pieceReader) fail(err error) error {
	if r.stored.err != nil {
		err = r.stored.err
	}
	if closing := r.close(); closing != nil && r.stored.err == nil {
		r.stored.err, err = closing, closing
	}
	return r.explain(err)
}

// close closes the piece's file. It may be called twice.
func (r *pieceReader) close() error {
	if r.file == nil {
		return nil
	}
	r.free()
	err := r.file.Close()
	r.file = nil
	return err
}

// extent is how far the piece was read.
func (r *pieceReader) extent() pipeline.Extent {
	if r.kind == uncompressed {
		return pipeline.Extent{Lines: r.lines.count, Bytes: r.lines.offset - r.begin}
	}
	return pipeline.Extent{Lines: r.lines.count, Bytes: r.stored.count}
}

// forget makes the extent that of a piece not begun.
func (r *pieceReader) forget() {
	r.lines.count, r.stored.count, r.begin = 0, 0, r.lines.offset
}

// origin is where a line of the piece comes from.
func (r *pieceReader) origin(ln line) pipeline.Origin {
	o := pipeline.Origin{URI: r.piece.URI, Line: r.lines.count, Offset: ln.offset}
	if r.kind != uncompressed {
		o.Offset = -1
	}
	return o
}

// explain says what an error of the piece's file means.
func (r *pieceReader) explain(err error) error {
	e := &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhaseRead, Err: err}
	switch {
	case errors.Is(err, objects.ErrChanged):
		e.Message, e.Err = r.piece.URI+" has changed since the run was planned", nil
		e.Hint = "Nothing of this split was committed. Put the file back as it was, or run with --overwrite to begin anew with the input as it is now."
	case errors.Is(err, objects.ErrNotExist):
		e.Message, e.Err = r.piece.URI+" was there when the run was planned and is not any more", nil
		e.Hint = "Put the file back as it was, or run with --overwrite to begin anew with the input as it is now."
	case errors.Is(err, errSum):
		e.Message = r.piece.URI + " is damaged"
	case objects.Hint(err) != "":
		e.Remedy, e.Message, e.Hint = pipeline.TryAgain, "read "+r.piece.URI, objects.Hint(err)
	case errors.Is(err, fs.ErrPermission):
		e.Message = "read " + r.piece.URI
		e.Hint = "Give the user who runs this the right to read the file."
	case r.kind != uncompressed && r.stored.err == nil && errors.Is(err, io.ErrUnexpectedEOF):
		e.Message = fmt.Sprintf("read %s: the %s data ends too early: the file is cut", r.piece.URI, r.kind)
		e.Err, e.Hint = nil, "Make or copy the file again. What the rest of it held can not be known, so nothing of this split was committed."
	case r.kind != uncompressed && r.stored.err == nil:
		e.Message = fmt.Sprintf("read %s: the %s data is corrupt", r.piece.URI, r.kind)
		e.Hint = "Make or copy the file again. What the rest of it held can not be known, so nothing of this split was committed."
	default:
		e.Remedy, e.Message = pipeline.TryAgain, "read "+r.piece.URI
		e.Hint = "Look at the disk or the connection that the file is on, and run again."
	}
	return e
}

// wholeOf is a piece that is all of a stream of unknown length.
func wholeOf(uri string) pipeline.Piece {
	return pipeline.Piece{URI: uri, Size: math.MaxInt64, End: math.MaxInt64}
}
