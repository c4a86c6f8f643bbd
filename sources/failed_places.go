package sources

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"strconv"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

// retryHint is what to do about failures that can not be run again.
const retryHint = "Failures are run again by the file that the first run left of them. Put that file and the input back as they were when it ended; where that can not be done, repeat the first run into another output."

// errSum says that a file is not what was written.
var errSum = errors.New("the content has another checksum than what was written")

// place is where an instance that failed is read again.
type place struct {
	uri    string
	line   int64 // from the file's begin
	offset int64 // -1: none, the file is compressed
}

// failedPlaces are those that the lines of a file of failures name, one after the other.
type failedPlaces struct {
	file    pipeline.Piece
	reader  pieceReader
	begun   bool
	ended   bool
	number  int64 // lines of the file passed
	current place
	again   bool // current is the next one
	members []values.Member
}

// newFailedPlaces reads the places of a file of failures. A line of it has an instance, which
// may have been escaped, and what was said of it.
func newFailedPlaces(file pipeline.Piece, maxLine pipeline.Bytes, open opener) *failedPlaces {
	file.Start, file.End = 0, file.Size
	if file.URI == "" {
		file.URI = file.Name
	}
	longest := min(8*min(max(maxLine, 16<<20), math.MaxInt32), math.MaxInt32)
	return &failedPlaces{file: file, reader: pieceReader{open: openSummed(open), max: int(longest)}}
}

// next returns the next place, or io.EOF, when the file has been verified and closed.
func (p *failedPlaces) next(ctx context.Context) (place, error) {
	if p.again {
		p.again = false
		return p.current, nil
	}
	if !p.begun {
		if err := p.reader.start(ctx, p.file); err != nil {
			return place{}, advised(err)
		}
		p.begun = true
	}
	for !p.ended {
		ln, err := p.reader.next(ctx)
		switch {
		case err == io.EOF:
			p.ended = true
			p.reader.lines.buf = nil
			if p.reader.kind == uncompressed && p.reader.lines.offset != p.file.Size {
				return place{}, p.damaged(fmt.Sprintf("ends behind %d of %d bytes", p.reader.lines.offset, p.file.Size))
			}
			return place{}, io.EOF
		case err != nil:
			return place{}, advised(err)
		}
		if p.number++; !ln.isInstance() {
			continue
		}
		if p.current, err = p.parse(ln); err != nil {
			return place{}, p.damaged(fmt.Sprintf("line %d is no failure line: %v", p.number, err))
		}
		return p.current, nil
	}
	return place{}, io.EOF
}

// unread makes the place that next returned last the next one again.
func (p *failedPlaces) unread() { p.again = true }

// close closes the file. It may be called twice.
func (p *failedPlaces) close() {
	p.ended = true
	p.reader.lines.buf = nil
	_ = p.reader.close() // what it has become is of no matter any more
}

// parse returns the place that a failure line names.
func (p *failedPlaces) parse(ln line) (place, error) {
	if ln.tooLong {
		return place{}, fmt.Errorf("it has %d bytes", ln.length)
	}
	var err error
	if p.members, err = values.Members(p.members[:0], trim(ln.text)); err != nil {
		return place{}, err
	}
	failure, source := find(p.members, "error"), find(p.members, "source")
	if values.KindOf(failure) != values.Object || values.KindOf(source) != values.Object {
		return place{}, errors.New("it has no error with a source")
	}
	p.members, _ = values.Members(p.members[:0], source) // checked with the line
	at := place{offset: -1}
	uri := find(p.members, "uri")
	if values.KindOf(uri) != values.String {
		return place{}, errors.New("its source has no uri")
	}
	at.uri = unquote(uri)
	if at.line, err = strconv.ParseInt(string(find(p.members, "line")), 10, 64); err != nil || at.line < 1 {
		return place{}, errors.New("its source has no line")
	}
	if offset := find(p.members, "offset"); offset != nil {
		if at.offset, err = strconv.ParseInt(string(offset), 10, 64); err != nil || at.offset < 0 {
			return place{}, errors.New("its source has no offset that is one")
		}
	}
	return at, nil
}

// damaged says what is wrong with the file.
func (p *failedPlaces) damaged(what string) error {
	return &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhaseRead, Message: p.file.URI + " " + what, Hint: retryHint}
}

// absent says that the last place is not in the input.
func (p *failedPlaces) absent(why string) error {
	where := fmt.Sprintf("%s line %d", p.current.uri, p.current.line)
	if p.current.offset >= 0 {
		where += fmt.Sprintf(" (byte %d)", p.current.offset)
	}
	return p.damaged(fmt.Sprintf("names in line %d an instance that is not there: %s: %s", p.number, where, why))
}

// advised says what to do about a file of failures that is not what it was.
func advised(err error) error {
	var e *pipeline.Error
	if errors.As(err, &e) && e.Remedy == pipeline.FixInput {
		e.Hint = retryHint
	}
	return err
}

// openSummed opens files that are to be what their checksums say, where they have some
// and are read from begin to end.
func openSummed(open opener) opener {
	return func(ctx context.Context, p pipeline.Piece, offset int64) (io.ReadCloser, error) {
		file, err := open(ctx, p, offset)
		if err != nil || p.Sum == "" || offset > 0 {
			return file, err
		}
		return &summed{ReadCloser: file, piece: p, hash: crc32.New(crc32.MakeTable(crc32.Castagnoli))}, nil
	}
}

// summed looks at the checksum of what is read.
type summed struct {
	io.ReadCloser
	piece pipeline.Piece
	hash  hash.Hash32
	count int64
}

func (s *summed) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	_, _ = s.hash.Write(b[:n]) // which never fails
	s.count += int64(n)
	return n, err
}

// Close closes the file, and reports what all of it has shown.
func (s *summed) Close() error {
	err := s.ReadCloser.Close()
	if err == nil && s.count == s.piece.Size && fmt.Sprintf("%08x", s.hash.Sum32()) != s.piece.Sum {
		return errSum
	}
	return err
}
