package sources

import (
	"context"
	"io"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// countInstances counts up to limit instances in pieces, and returns the pieces that hold
// them: all, where there are fewer.
func countInstances(ctx context.Context, store objects.Store, cfg JSONLConfig, pieces []pipeline.Piece, limit int64) ([]pipeline.Piece, int64, error) {
	s := newJSONLSplit(pipeline.PlannedSplit{Pieces: pieces}, JSONLConfig{MaxLine: cfg.MaxLine}, Rows{}, openIn(store))
	defer func() { _ = s.Settle(ctx, nil) }()
	for n := range limit {
		_, _, err := s.nextInstance(ctx)
		if err == io.EOF {
			return pieces, n, nil
		}
		if err != nil {
			return nil, 0, err
		}
	}
	return pieces[:s.piece], limit, nil
}
