package sources

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// lineCounts knows how many lines begin in the pieces of cut files, and counts where it
// does not.
type lineCounts struct {
	open  opener
	files map[string]*cutFile // by URI

	mu    sync.Mutex
	known map[pipeline.SplitID]int64
}

// cutFile is a file whose pieces are splits of their own, in order.
type cutFile struct {
	counting sync.Mutex // held while its lines are counted: nobody counts them twice
	splits   []pipeline.PlannedSplit
}

func newLineCounts(plan []pipeline.PlannedSplit, open opener) *lineCounts {
	c := &lineCounts{open: open, files: map[string]*cutFile{}, known: map[pipeline.SplitID]int64{}}
	for _, split := range plan {
		if len(split.Pieces) != 1 || isWhole(split.Pieces[0]) {
			continue
		}
		uri := split.Pieces[0].URI
		if c.files[uri] == nil {
			c.files[uri] = &cutFile{}
		}
		c.files[uri].splits = append(c.files[uri].splits, split)
	}
	return c
}

func isWhole(p pipeline.Piece) bool { return p.Start == 0 && p.End == p.Size }

// add notes how many lines a split has.
func (c *lineCounts) add(id pipeline.SplitID, lines int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[id] = lines
}

func (c *lineCounts) of(id pipeline.SplitID) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines, ok := c.known[id]
	return lines, ok
}

// locate adds to the line of o, which counts from the split's begin, the lines before.
func (c *lineCounts) locate(ctx context.Context, split pipeline.PlannedSplit, o *pipeline.Origin) error {
	if len(split.Pieces) != 1 || split.Pieces[0].Start == 0 {
		return nil
	}
	file := c.files[split.Pieces[0].URI]
	file.counting.Lock()
	defer file.counting.Unlock()
	var base int64
	for _, before := range file.splits {
		if before.ID == split.ID {
			break
		}
		lines, ok := c.of(before.ID)
		if !ok {
			var err error
			if lines, err = c.count(ctx, before.Pieces[0]); err != nil {
				return err
			}
			c.add(before.ID, lines)
		}
		base += lines
	}
	o.Line += base
	return nil
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
