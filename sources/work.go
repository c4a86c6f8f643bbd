package sources

import (
	"context"
	"io"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// Work is the plan that a source of files reads, and who takes which split of it.
// Next is called by one goroutine, the rest by several at the same time.
type Work interface {
	// Next returns the number of the next split to read, or io.EOF when there is none,
	// ever. It may block, and returns context.Cause(ctx) when ctx ends.
	Next(ctx context.Context) (int, error)
	// Settle says, once for each split that Next gave out, what became of it: nil after
	// its part was committed.
	Settle(i int, err error)
	// Len is how many splits the plan has.
	Len() int
	// At returns split number i of the plan, from 0.
	At(i int) (pipeline.PlannedSplit, error)
	// Lines is how many lines begin in split number i, where its commit record tells it:
	// they need not be counted when the line of a failure is wanted.
	Lines(i int) (int64, bool)
}

// InOrder is the work of one who reads all splits, one after the other. Those without an
// ID get the one that their place gives them.
func InOrder(splits ...pipeline.PlannedSplit) Work { return &inOrder{splits: splits} }

type inOrder struct {
	splits []pipeline.PlannedSplit
	next   int
}

func (w *inOrder) Next(ctx context.Context) (int, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	if w.next == len(w.splits) {
		return 0, io.EOF
	}
	w.next++
	return w.next - 1, nil
}

func (w *inOrder) Settle(int, error) {}

func (w *inOrder) Len() int { return len(w.splits) }

func (w *inOrder) At(i int) (pipeline.PlannedSplit, error) {
	split := w.splits[i]
	if split.ID == "" {
		split.ID = pipeline.NewSplitID(i, len(w.splits))
	}
	return split, nil
}

func (w *inOrder) Lines(int) (int64, bool) { return 0, false }
