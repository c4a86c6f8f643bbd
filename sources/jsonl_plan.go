package sources

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// sniffers is how many files are looked into at a time.
const sniffers = 16

// PlanJSONL makes the plan of a source: what its URIs stand for (relative to dir), in
// the order of the bytes of the names, each file once. Files of more than split_size are
// cut into equal ranges of at most that, unless they are compressed; smaller neighbours
// share a split. With a limit above 0 the plan ends behind so many instances, which are
// counted by reading. A plan without a split is that of an empty input.
//
// The error is a *pipeline.Error that names all files at fault, or the context's.
func PlanJSONL(ctx context.Context, store objects.Store, dir string, cfg JSONLConfig, limit int64) ([]pipeline.PlannedSplit, error) {
	var faults faults
	found, err := findAll(ctx, store, dir, cfg, &faults)
	if err != nil {
		return nil, err
	}
	kinds, err := sniffAll(ctx, store, found, &faults)
	if err != nil {
		return nil, err
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	plan := numbered(cut(found, kinds, max(int64(cfg.SplitSize), 1)))
	if limit > 0 {
		return limited(ctx, store, cfg, plan, limit)
	}
	return plan, nil
}

// findAll lists what the URIs stand for.
func findAll(ctx context.Context, store objects.Store, dir string, cfg JSONLConfig, faults *faults) ([]objects.Found, error) {
	var all []objects.Found
	for _, uri := range cfg.URIs {
		found, err := objects.Match(ctx, store, dir, uri)
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		switch {
		case errors.Is(err, objects.ErrPattern):
			faults.add(pipeline.FixConfig, err.Error(), "Correct the pattern: [ and { want their ] and }; a \\ before a character takes its meaning away.")
		case err != nil:
			for _, err := range unjoin(err) {
				faults.unreadable(uri, err)
			}
		case len(found) == 0 && !cfg.AllowEmpty:
			faults.add(pipeline.TryAgain, uri+" matches no file"+seenFrom(dir, uri),
				"Correct the path, or run again when the input is there; with source.jsonl.allow_empty: true it may be missing. A folder stands for all files below it but _* and .*; a * matches names within one folder, ** crosses folders.")
		}
		all = append(all, found...)
	}
	seen := make(map[string]bool, len(all))
	all = slices.DeleteFunc(all, func(f objects.Found) bool {
		twice := seen[f.Object.Name]
		seen[f.Object.Name] = true
		return twice
	})
	slices.SortFunc(all, func(a, b objects.Found) int {
		return strings.Compare(a.Object.Name, b.Object.Name)
	})
	return all, nil
}

func seenFrom(dir, uri string) string {
	if dir == "" || dir == "." || objects.IsCloud(uri) {
		return ""
	}
	return " (seen from " + dir + ")"
}

func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// sniffAll tells the files' compressions, and with it whether they can be read.
func sniffAll(ctx context.Context, store objects.Store, found []objects.Found, faults *faults) ([]compression, error) {
	kinds, errs := make([]compression, len(found)), make([]error, len(found))
	var group errgroup.Group
	group.SetLimit(sniffers)
	for i, f := range found {
		group.Go(func() error {
			kinds[i], errs[i] = sniffObject(ctx, store, f.Object)
			return context.Cause(ctx)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, err := range errs {
		if err != nil {
			faults.unreadable(found[i].URI, err)
		}
	}
	return kinds, nil
}

func sniffObject(ctx context.Context, store objects.Store, o objects.Object) (compression, error) {
	r, err := store.Open(ctx, o, 0, sniffSize)
	if err != nil {
		return uncompressed, err
	}
	head, err := io.ReadAll(r)
	return sniff(head), errors.Join(err, r.Close())
}

// cut divides the files into splits.
func cut(found []objects.Found, kinds []compression, size int64) [][]pipeline.Piece {
	var splits [][]pipeline.Piece
	var shared []pipeline.Piece // small neighbours
	var sum int64
	share := func() {
		if len(shared) > 0 {
			splits = append(splits, shared)
		}
		shared, sum = nil, 0
	}
	for i, f := range found {
		o := f.Object
		piece := pipeline.Piece{URI: f.URI, Generation: o.Generation, Size: o.Size, Sum: o.Sum, End: o.Size}
		if o.Name != f.URI {
			piece.Name = o.Name
		}
		if sum+o.Size > size {
			share()
		}
		if o.Size <= size || kinds[i] != uncompressed {
			shared, sum = append(shared, piece), sum+o.Size
			continue
		}
		parts := (o.Size + size - 1) / size
		for k := range parts {
			piece.Start, piece.End = bound(o.Size, k, parts), bound(o.Size, k+1, parts)
			splits = append(splits, []pipeline.Piece{piece})
		}
	}
	share()
	return splits
}

// bound is size*k/parts, without overflow.
func bound(size, k, parts int64) int64 { return size/parts*k + size%parts*k/parts }

func numbered(splits [][]pipeline.Piece) []pipeline.PlannedSplit {
	plan := make([]pipeline.PlannedSplit, len(splits))
	for i, pieces := range splits {
		plan[i] = pipeline.PlannedSplit{ID: pipeline.NewSplitID(i, len(splits)), Pieces: pieces}
	}
	return plan
}
