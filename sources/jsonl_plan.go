package sources

import (
	"context"
	"iter"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// maxShared is how many files share a split at most.
const maxShared = 10_000

// PlanJSONL makes the plan of a source: what its URIs stand for (relative to dir), in
// the order of the bytes of the names, each file once. Files of more than split_size are
// cut into equal ranges of at most that, unless they are compressed; smaller neighbours
// share a split, up to 10,000 of them. With a limit above 0 the plan ends behind so many
// instances, which are counted by reading. A plan without a split is that of an empty input.
//
// The splits come as the files are listed, without IDs: how many there are is known at the
// end. An error comes last, and nothing of the plan counts then: it is a *pipeline.Error
// that names the files at fault, or the context's.
func PlanJSONL(ctx context.Context, store objects.Store, dir string, cfg JSONLConfig, limit int64) iter.Seq2[pipeline.PlannedSplit, error] {
	return func(yield func(pipeline.PlannedSplit, error) bool) {
		faults := new(faults)
		size := max(int64(cfg.SplitSize), 1)
		found := matches{store: store, dir: dir, uris: cfg.URIs, allowEmpty: cfg.AllowEmpty, faults: faults}
		left := limit
		for pieces := range cut(sniffEach(ctx, store, found.all(ctx), size), size, faults) {
			if !faults.none() || context.Cause(ctx) != nil {
				continue // what else is wrong is to be known
			}
			split := pipeline.PlannedSplit{Pieces: pieces}
			if limit > 0 {
				pieces, n, err := countInstances(ctx, store, cfg, pieces, left)
				if err != nil {
					yield(pipeline.PlannedSplit{}, err)
					return
				}
				if left -= n; left == 0 {
					yield(pipeline.PlannedSplit{Pieces: pieces, Limit: n}, nil)
					return
				}
			}
			if !yield(split, nil) {
				return
			}
		}
		if err := context.Cause(ctx); err != nil {
			yield(pipeline.PlannedSplit{}, err)
		} else if err := faults.err(); err != nil {
			yield(pipeline.PlannedSplit{}, err)
		}
	}
}

// FilesJSONL lists the files that PlanJSONL would plan, in its order, and looks into none
// of them. An error comes last, and is of the same kind; that nothing is there is none.
func FilesJSONL(ctx context.Context, store objects.Store, dir string, cfg JSONLConfig) iter.Seq2[pipeline.Piece, error] {
	return func(yield func(pipeline.Piece, error) bool) {
		faults := new(faults)
		found := matches{store: store, dir: dir, uris: cfg.URIs, allowEmpty: true, faults: faults}
		for f := range found.all(ctx) {
			if faults.none() && !yield(pieceOf(f), nil) {
				return
			}
		}
		if err := context.Cause(ctx); err != nil {
			yield(pipeline.Piece{}, err)
		} else if err := faults.err(); err != nil {
			yield(pipeline.Piece{}, err)
		}
	}
}

// pieceOf is all of a file.
func pieceOf(f objects.Found) pipeline.Piece {
	o := f.Object
	piece := pipeline.Piece{URI: f.URI, Generation: o.Generation, Size: o.Size, Sum: o.Sum, End: o.Size}
	if o.Name != f.URI {
		piece.Name = o.Name
	}
	return piece
}

// cut divides files into splits. Those that can not be read are added to faults.
func cut(files iter.Seq[*sniffed], size int64, faults *faults) iter.Seq[[]pipeline.Piece] {
	return func(yield func([]pipeline.Piece) bool) {
		var shared []pipeline.Piece // small neighbours
		var sum int64
		share := func() bool {
			pieces := shared
			shared, sum = nil, 0
			return len(pieces) == 0 || yield(pieces)
		}
		for f := range files {
			if f.err != nil {
				faults.unreadable(f.URI, f.err)
				continue
			}
			o := &f.Object
			if (o.Size > size-sum || len(shared) == maxShared) && !share() {
				return
			}
			if o.Size <= size || f.kind != uncompressed {
				shared, sum = append(shared, pieceOf(f.Found)), sum+o.Size
			} else if !ranges(pieceOf(f.Found), size, yield) {
				return
			}
		}
		share()
	}
}

// ranges cuts one file.
func ranges(file pipeline.Piece, size int64, yield func([]pipeline.Piece) bool) bool {
	parts := (file.Size + size - 1) / size
	for k := range parts {
		file.Start, file.End = bound(file.Size, k, parts), bound(file.Size, k+1, parts)
		if !yield([]pipeline.Piece{file}) {
			return false
		}
	}
	return true
}

// bound is size*k/parts, without overflow.
func bound(size, k, parts int64) int64 { return size/parts*k + size%parts*k/parts }
