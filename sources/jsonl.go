package sources

import (
	"context"
	"io"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// JSONL is the source of JSON Lines files: those splits of a plan that its work gives out.
type JSONL struct {
	cfg    JSONLConfig
	rows   Rows
	open   opener
	work   Work
	counts *lineCounts
}

var _ pipeline.Source = (*JSONL)(nil)

// NewJSONL returns the source of a plan that PlanJSONL made, with the same config.
func NewJSONL(store objects.Store, cfg JSONLConfig, rows Rows, work Work) *JSONL {
	open := openIn(store)
	return &JSONL{cfg: cfg, rows: rows, open: open, work: work, counts: newLineCounts(work, open)}
}

// NewReader returns a source of one split that holds what r gives, compressed or not;
// uri names it. A read of r that blocks is left behind when the context of the split's
// first Read ends: it ends with r, which the caller closes.
func NewReader(r io.Reader, uri string, cfg JSONLConfig, rows Rows) *JSONL {
	open := func(ctx context.Context, _ pipeline.Piece, _ int64) (io.ReadCloser, error) {
		return startPatient(ctx, r), nil
	}
	work := InOrder(pipeline.PlannedSplit{Pieces: []pipeline.Piece{wholeOf(uri)}})
	return &JSONL{cfg: cfg, rows: rows, open: open, work: work, counts: newLineCounts(work, open)}
}

// Next returns the next split that is to be read here.
func (s *JSONL) Next(ctx context.Context) (pipeline.Split, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	i, err := s.work.Next(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := s.work.At(i)
	if err != nil {
		s.work.Settle(i, err)
		return nil, err
	}
	split := newJSONLSplit(plan, s.cfg, s.rows, s.open)
	split.number, split.counts = i, s.counts
	split.settle = func(err error) { s.work.Settle(i, err) }
	return split, nil
}

// Close releases nothing: splits release what they hold when they are read to their end
// or settled.
func (s *JSONL) Close() error { return nil }
