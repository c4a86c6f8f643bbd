package runs

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// Input is what a run reads.
type Input interface {
	// Plan yields the splits of a new run, in the order of the names of their files.
	Plan(ctx context.Context) iter.Seq2[pipeline.PlannedSplit, error]
	// Files yields the files that a new run would read, in the same order, as pieces that
	// are whole. It looks into none of them.
	Files(ctx context.Context) iter.Seq2[pipeline.Piece, error]
}

// opened is the name by which a piece's file is opened.
func opened(p pipeline.Piece) string {
	if p.Name != "" {
		return p.Name
	}
	return p.URI
}

// inputChange is how the input differs from the one that was planned.
type inputChange struct{ added, gone, changed change }

// stale says that files which the plan reads are not there any more as they were.
func (c *inputChange) stale() bool { return c.changed.count+c.gone.count > 0 }

// compareInput holds the files of a plan against those that are there now. Both come in
// the order of their names, and neither is held.
func compareInput(ctx context.Context, splits *Splits, input Input) (inputChange, error) {
	var c inputChange
	next, stop := iter.Pull2(input.Files(ctx))
	defer stop()
	now, err, more := next()
	for planned, planErr := range plannedFiles(splits) {
		if planErr != nil {
			return c, planErr
		}
		for more && err == nil && opened(now) < opened(planned) {
			c.added.note(now.URI)
			now, err, more = next()
		}
		if err != nil {
			return c, err
		}
		if !more || opened(now) != opened(planned) {
			c.gone.note(planned.URI)
			continue
		}
		if now.Generation != planned.Generation || now.Size != planned.Size {
			c.changed.note(planned.URI)
		}
		now, err, more = next()
	}
	for more && err == nil {
		c.added.note(now.URI)
		now, err, more = next()
	}
	return c, err
}

// plannedFiles yields the files of a plan, each once.
func plannedFiles(splits *Splits) iter.Seq2[pipeline.Piece, error] { return FilesOf(splits.All()) }

// FilesOf yields the files that splits read, each once, as the first piece of each.
func FilesOf(splits iter.Seq2[pipeline.PlannedSplit, error]) iter.Seq2[pipeline.Piece, error] {
	return func(yield func(pipeline.Piece, error) bool) {
		last := ""
		for s, err := range splits {
			if err != nil {
				yield(pipeline.Piece{}, err)
				return
			}
			for _, p := range s.Pieces {
				if name := opened(p); name != last {
					last = name
					if !yield(p, nil) {
						return
					}
				}
			}
		}
	}
}

// String tells what has changed.
func (c inputChange) String() string {
	var texts []string
	for _, kind := range []struct {
		change
		verb string
	}{{c.added, "added"}, {c.changed, "changed"}, {c.gone, "gone"}} {
		if kind.count > 0 {
			texts = append(texts, fmt.Sprintf("%d %s (%s)", kind.count, kind.verb, kind.examples()))
		}
	}
	return sourceFiles + ": " + strings.Join(texts, ", ")
}
