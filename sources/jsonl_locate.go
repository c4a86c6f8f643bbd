package sources

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// maxCounts is how many splits' lines are held at a time.
const maxCounts = 1 << 16

// lineCounts tells how many lines of a cut file lie before a split, and counts those that
// nobody knows.
type lineCounts struct {
	work Work
	open opener

	mu     sync.Mutex
	lines  map[int]int64    // that begin in a split
	before map[int]int64    // of its file before a split
	turns  map[string]*turn // by the name of the file
}

// turn lets one at a time count the lines of a file: nobody counts them twice.
type turn struct {
	free  chan struct{} // holds something while nobody counts
	users int
}

func newLineCounts(work Work, open opener) *lineCounts {
	return &lineCounts{work: work, open: open, lines: map[int]int64{}, before: map[int]int64{}, turns: map[string]*turn{}}
}

func isWhole(p pipeline.Piece) bool { return p.Start == 0 && p.End == p.Size }

// isCut is true for a split that is a stretch of a file.
func isCut(s *pipeline.PlannedSplit) bool { return len(s.Pieces) == 1 && !isWhole(s.Pieces[0]) }

// add notes how many lines begin in a split.
func (c *lineCounts) add(i int, lines int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep(c.lines, i, lines)
}

// keep makes room where there is none: what is forgotten is counted again.
func keep(m map[int]int64, i int, n int64) {
	for other := range m {
		if len(m) < maxCounts {
			break
		}
		delete(m, other)
	}
	m[i] = n
}

func (c *lineCounts) known(m map[int]int64, i int) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := m[i]
	return n, ok
}

// locate adds to the line of o, which counts from the begin of split number i, the lines
// before.
func (c *lineCounts) locate(ctx context.Context, i int, split *pipeline.PlannedSplit, o *pipeline.Origin) error {
	if !isCut(split) || split.Pieces[0].Start == 0 {
		return nil
	}
	base, ok := c.known(c.before, i)
	if !ok {
		var err error
		if base, err = c.countBefore(ctx, i, split.Pieces[0]); err != nil {
			return err
		}
	}
	o.Line += base
	return nil
}

// countBefore walks back from split number i, which holds piece, to where the lines of
// its file before a split are known.
func (c *lineCounts) countBefore(ctx context.Context, i int, piece pipeline.Piece) (int64, error) {
	leave, err := c.enter(ctx, objectOf(piece).Name)
	if err != nil {
		return 0, err
	}
	defer leave()
	var sum int64
	for k := i; piece.Start > 0; k-- {
		if n, ok := c.known(c.before, k); ok {
			sum += n
			break
		}
		var n int64
		if piece, n, err = c.previous(ctx, k, piece); err != nil {
			return 0, err
		}
		sum += n
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	keep(c.before, i, sum)
	return sum, nil
}

// previous is what lies before split number i of the same file, which begins with piece,
// and its lines: the split before, or all where the plan has none.
func (c *lineCounts) previous(ctx context.Context, i int, piece pipeline.Piece) (pipeline.Piece, int64, error) {
	if i > 0 {
		split, err := c.work.At(i - 1)
		if err != nil {
			return pipeline.Piece{}, 0, err
		}
		if isCut(&split) && precedes(split.Pieces[0], piece) {
			n, err := c.linesOf(ctx, i-1, split.Pieces[0])
			return split.Pieces[0], n, err
		}
	}
	rest := piece
	rest.Start, rest.End = 0, piece.Start
	n, err := c.count(ctx, rest)
	return rest, n, err
}

// precedes is true for a stretch behind which another one of the same content begins.
func precedes(p, other pipeline.Piece) bool {
	return objectOf(p).Name == objectOf(other).Name && p.Generation == other.Generation && p.End == other.Start
}

// linesOf is how many lines begin in split number i, which is a piece of a file.
func (c *lineCounts) linesOf(ctx context.Context, i int, p pipeline.Piece) (int64, error) {
	if n, ok := c.known(c.lines, i); ok {
		return n, nil
	}
	if n, ok := c.work.Lines(i); ok {
		return n, nil
	}
	n, err := c.count(ctx, p)
	if err == nil {
		c.add(i, n)
	}
	return n, err
}

// enter waits for the turn to count the lines of a file, and returns what ends it.
func (c *lineCounts) enter(ctx context.Context, name string) (leave func(), err error) {
	c.mu.Lock()
	t := c.turns[name]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		c.turns[name] = t
	}
	t.users++
	c.mu.Unlock()
	forget := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(c.turns, name)
		}
	}
	select {
	case <-t.free:
		return func() { t.free <- struct{}{}; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, context.Cause(ctx)
	}
}

// count counts the lines that begin in a piece: at the file's begin and behind newlines.
func (c *lineCounts) count(ctx context.Context, p pipeline.Piece) (lines int64, err error) {
	explain := (&pieceReader{piece: p}).explain
	from, to := max(p.Start-1, 0), p.End-1
	if p.Start == 0 && p.End > 0 {
		lines = 1
	}
	r, err := c.open(ctx, p, from)
	if err != nil {
		return 0, explain(err)
	}
	defer func() {
		if closing := r.Close(); closing != nil && err == nil {
			err = explain(closing)
		}
	}()
	buf := make([]byte, chunkSize)
	for left := to - from; left > 0; {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		n, err := r.Read(buf[:min(left, chunkSize)])
		lines += int64(bytes.Count(buf[:n], []byte{'\n'}))
		left -= int64(n)
		switch {
		case err == nil || left == 0:
		case errors.Is(err, io.EOF):
			return 0, explain(io.ErrUnexpectedEOF)
		default:
			return 0, explain(err)
		}
	}
	return lines, nil
}
