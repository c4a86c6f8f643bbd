package sources

import (
	"bytes"
	"context"
	"io"
)

const (
	// chunkSize is how much is read at a time.
	chunkSize = 256 << 10
	// headSize is how much is kept of a line that is too long.
	headSize = 1 << 10
	// maxEmptyReads is how many reads in a row may give nothing.
	maxEmptyReads = 100
)

// line is one line of a stream.
type line struct {
	text    []byte // without its newline; valid until the next line is read
	offset  int64  // of its first byte in the stream
	length  int64  // of the whole line, without its newline
	tooLong bool   // text is its begin only
	blank   bool   // a line that is too long has only blanks
}

// isInstance is false for a blank line.
func (ln line) isInstance() bool {
	if ln.tooLong {
		return !ln.blank
	}
	return !isBlank(ln.text)
}

// lines cuts a stream into lines in bounded memory.
type lines struct {
	stream   io.Reader
	max      int    // length of a line above which it is not held
	buf      []byte // what was read: buf[pos:end] is still to be looked at
	pos, end int
	err      error // of the stream, behind buf[:end]
	offset   int64 // of buf[pos] in the stream
	count    int64 // lines returned
	last     int   // bytes of the line returned last
	head     [headSize]byte
}

// reset begins with a stream whose first byte has the given offset.
func (l *lines) reset(stream io.Reader, offset int64, maxLine int) {
	if l.buf == nil {
		l.buf = make([]byte, chunkSize)
	}
	l.stream, l.max = stream, maxLine
	l.pos, l.end, l.err = 0, 0, nil
	l.offset, l.count, l.last = offset, 0, 0
}

// next returns the next line, or io.EOF.
func (l *lines) next(ctx context.Context) (line, error) {
	looked := 0
	for {
		i := bytes.IndexByte(l.buf[l.pos+looked:l.end], '\n')
		if i >= 0 {
			return l.take(looked+i, looked+i+1), nil
		}
		looked = l.end - l.pos
		switch {
		case looked > l.max:
			return l.passLong(ctx)
		case l.err == io.EOF && looked > 0:
			return l.take(looked, looked), nil
		case l.err != nil:
			return line{}, l.err
		}
		if err := l.fill(ctx); err != nil {
			return line{}, err
		}
	}
}

// take returns the line of length bytes that is at hand and goes on behind it.
func (l *lines) take(length, consumed int) line {
	ln := line{text: l.buf[l.pos : l.pos+length], offset: l.offset, length: int64(length)}
	if length > l.max {
		ln.tooLong, ln.blank = true, isBlank(withoutMark(ln.text, l.offset))
		ln.text = ln.text[:min(length, headSize)]
	}
	l.skip(consumed)
	l.count++
	l.last = consumed
	return ln
}

// unread makes the line that next returned last, not a long one, the next one again.
func (l *lines) unread() {
	l.skip(-l.last)
	l.count--
	l.last = 0
}

func (l *lines) skip(n int) {
	l.pos += n
	l.offset += int64(n)
}

// passLong passes over a line that is too long to be held.
func (l *lines) passLong(ctx context.Context) (line, error) {
	head := l.head[:copy(l.head[:], l.buf[l.pos:l.end])]
	ln := line{text: head, offset: l.offset, tooLong: true, blank: true}
	ended, err := l.passLine(ctx, func(part []byte) { ln.blank = ln.blank && isBlank(withoutMark(part, l.offset)) })
	if err != nil {
		return line{}, err
	}
	ln.length = l.offset - ln.offset
	if ended {
		ln.length--
	}
	l.count++
	l.last = 0
	return ln, nil
}

// passLine goes behind the next newline, or to the stream's end, whatever the distance;
// it reports whether there was one. What it passes over, it shows.
func (l *lines) passLine(ctx context.Context, show func(part []byte)) (ended bool, err error) {
	for {
		part := l.buf[l.pos:l.end]
		if i := bytes.IndexByte(part, '\n'); i >= 0 {
			show(part[:i])
			l.skip(i + 1)
			return true, nil
		}
		show(part)
		l.skip(len(part))
		switch {
		case l.err == io.EOF:
			return false, nil
		case l.err != nil:
			return false, l.err
		}
		if err := l.fill(ctx); err != nil {
			return false, err
		}
	}
}

// fill reads more behind what is at hand.
func (l *lines) fill(ctx context.Context) error {
	if l.pos > 0 {
		l.end = copy(l.buf, l.buf[l.pos:l.end])
		l.pos = 0
	}
	if l.end == len(l.buf) {
		grown := make([]byte, min(2*len(l.buf), max(l.max, len(l.buf))+chunkSize))
		copy(grown, l.buf)
		l.buf = grown
	}
	for range maxEmptyReads {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := l.stream.Read(l.buf[l.end:])
		l.end += n
		if err != nil {
			l.err = err
			return nil
		}
		if n > 0 {
			return nil
		}
	}
	l.err = io.ErrNoProgress
	return nil
}

var byteOrderMark = []byte{0xEF, 0xBB, 0xBF}

// withoutMark takes the byte order mark away that a file may begin with.
func withoutMark(text []byte, offset int64) []byte {
	if offset > 0 {
		return text
	}
	return bytes.TrimPrefix(text, byteOrderMark)
}

// trim takes the blanks around a line away: space, tab, CR.
func trim(text []byte) []byte {
	for len(text) > 0 && isBlankByte(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && isBlankByte(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}

func isBlankByte(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

func isBlank(text []byte) bool { return len(trim(text)) == 0 }
