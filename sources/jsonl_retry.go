package sources

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// nextPlace returns the next instance that is to be read again, or io.EOF. Its origin is
// that of its failure.
func (s *jsonlSplit) nextPlace(ctx context.Context) (line, pipeline.Origin, error) {
	if s.err != nil {
		return line{}, pipeline.Origin{}, s.err
	}
	ln, at, err := s.findPlace(ctx)
	if err != nil {
		s.err = err
		return line{}, pipeline.Origin{}, s.fault(ctx)
	}
	return ln, pipeline.Origin{URI: s.reader.piece.URI, Line: at.line, Offset: at.offset}, nil
}

// findPlace goes to the next place. What the split has before it is passed over, files
// without being opened.
func (s *jsonlSplit) findPlace(ctx context.Context) (line, place, error) {
	at, err := s.places.next(ctx)
	if err == io.EOF {
		return line{}, at, s.leaveAll()
	}
	if err == nil {
		err = s.enter(ctx, at)
	}
	if err != nil {
		return line{}, at, err
	}
	for {
		ln, err := s.reader.next(ctx)
		if err == io.EOF {
			return line{}, at, s.places.absent("the file, or this part of it, ends before")
		}
		if err != nil {
			return line{}, at, err
		}
		here, wanted := ln.offset, at.offset
		if at.offset < 0 {
			here, wanted = s.reader.lines.count, at.line
		}
		switch {
		case here < wanted:
		case here > wanted:
			return line{}, at, s.places.absent("no line begins there, or the places are out of order")
		case !ln.isInstance():
			return line{}, at, s.places.absent("the line is blank")
		default:
			return ln, at, nil
		}
	}
}

// enter opens the file that a place is in, if it is not the one that is open.
func (s *jsonlSplit) enter(ctx context.Context, at place) error {
	if s.reader.file == nil || !isShownAs(s.reader.piece.URI, at.uri) {
		next := s.piece
		for next < len(s.plan.Pieces) && !isShownAs(s.plan.Pieces[next].URI, at.uri) {
			next++
		}
		if next == len(s.plan.Pieces) {
			return s.places.absent("the split has no such file, or the places are out of order")
		}
		if s.isAmbiguous(at.uri) {
			return s.places.absent("several files of the split have names that are shown so")
		}
		if err := s.leave(next); err != nil {
			return err
		}
		if err := s.reader.start(ctx, s.plan.Pieces[next]); err != nil {
			return err
		}
		s.piece++
	}
	switch {
	case at.offset >= 0 && s.reader.kind != uncompressed:
		return s.places.absent(fmt.Sprintf("the file is compressed (%s), and bytes are not counted there", s.reader.kind))
	case at.offset < 0 && s.reader.piece.Start > 0:
		return s.places.absent("its byte is not said, and the file is read from its middle")
	}
	return nil
}

// isAmbiguous is true for what stands for several files: of bytes that are not UTF-8 all
// are shown alike.
func (s *jsonlSplit) isAmbiguous(shown string) bool {
	if !strings.ContainsRune(shown, utf8.RuneError) {
		return false
	}
	n := 0
	for i := range s.plan.Pieces {
		if isShownAs(s.plan.Pieces[i].URI, shown) {
			n++
		}
	}
	return n > 1
}

// leave ends the file that is open and passes over those up to number next.
func (s *jsonlSplit) leave(next int) error {
	if s.reader.file != nil {
		s.passed.Lines += s.reader.extent().Lines
		s.passed.Bytes += s.reader.piece.End - s.reader.piece.Start
		if err := s.reader.finish(); err != io.EOF {
			return err
		}
		s.reader.forget()
	}
	for ; s.piece < next; s.piece++ {
		s.passed.Bytes += s.plan.Pieces[s.piece].End - s.plan.Pieces[s.piece].Start
	}
	return nil
}

// leaveAll ends the split: no instance behind here has failed.
func (s *jsonlSplit) leaveAll() error {
	if err := s.leave(len(s.plan.Pieces)); err != nil {
		return err
	}
	s.reader.lines.buf = nil
	return io.EOF
}

// isShownAs compares a name with how a failure line shows it: as UTF-8.
func isShownAs(name, shown string) bool {
	return name == shown || !utf8.ValidString(name) && string([]rune(name)) == shown
}
