package sources

import (
	"context"
	"io"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// limited cuts a plan behind its instance number limit.
func limited(ctx context.Context, store objects.Store, cfg JSONLConfig, plan []pipeline.PlannedSplit, limit int64) ([]pipeline.PlannedSplit, error) {
	var splits [][]pipeline.Piece
	left := limit
	for _, split := range plan {
		pieces, n, err := countInstances(ctx, store, cfg, split, left)
		if err != nil {
			return nil, err
		}
		splits = append(splits, pieces)
		if left -= n; left == 0 {
			cutPlan := numbered(splits)
			cutPlan[len(cutPlan)-1].Limit = n
			return cutPlan, nil
		}
	}
	return plan, nil
}

// countInstances counts up to limit instances of a split, and returns the pieces that
// hold them: all, where there are fewer.
func countInstances(ctx context.Context, store objects.Store, cfg JSONLConfig, split pipeline.PlannedSplit, limit int64) ([]pipeline.Piece, int64, error) {
	s := newJSONLSplit(split, JSONLConfig{MaxLine: cfg.MaxLine}, Rows{}, openIn(store))
	defer func() { _ = s.Settle(ctx, nil) }()
	var n int64
	for n < limit {
		ln, err := s.next(ctx)
		if err == io.EOF {
			return split.Pieces, n, nil
		}
		if err != nil {
			return nil, 0, err
		}
		if (ln.tooLong && !ln.blank) || (!ln.tooLong && !isBlank(ln.text)) {
			n++
		}
	}
	return split.Pieces[:s.piece], n, nil
}
