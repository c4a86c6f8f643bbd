package sources

import (
	"context"
	"io"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// JSONL is the source of JSON Lines files: the splits of a plan, one after the other.
type JSONL struct {
	cfg    JSONLConfig
	rows   Rows
	open   opener
	plan   []pipeline.PlannedSplit
	next   int
	counts *lineCounts
}

var _ pipeline.Source = (*JSONL)(nil)

// NewJSONL returns the source of a plan that PlanJSONL made, with the same config.
func NewJSONL(store objects.Store, cfg JSONLConfig, rows Rows, plan []pipeline.PlannedSplit) *JSONL {
	open := openIn(store)
	return &JSONL{cfg: cfg, rows: rows, open: open, plan: plan, counts: newLineCounts(plan, open)}
}

// NewReader returns a source of one split that holds what r gives, compressed or not;
// uri names it. A read of r that blocks is left behind when the context of the split's
// first Read ends: it ends with r, which the caller closes.
func NewReader(r io.Reader, uri string, cfg JSONLConfig, rows Rows) *JSONL {
	open := func(ctx context.Context, _ pipeline.Piece, _ int64) (io.ReadCloser, error) {
		return startPatient(ctx, r), nil
	}
	plan := []pipeline.PlannedSplit{{ID: pipeline.NewSplitID(0, 1), Pieces: []pipeline.Piece{wholeOf(uri)}}}
	return &JSONL{cfg: cfg, rows: rows, open: open, plan: plan}
}

// Next returns the next split of the plan.
func (s *JSONL) Next(ctx context.Context) (pipeline.Split, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if s.next == len(s.plan) {
		return nil, io.EOF
	}
	split := newJSONLSplit(s.plan[s.next], s.cfg, s.rows, s.open)
	split.counts = s.counts
	s.next++
	return split, nil
}

// Known tells how many lines a split of the plan has, blank ones too (Extent.Lines at
// its end), as a commit record of an earlier attempt says: they need not be counted when
// the line of a failure is wanted. It is safe for concurrent use.
func (s *JSONL) Known(id pipeline.SplitID, lines int64) {
	if s.counts != nil {
		s.counts.add(id, lines)
	}
}

// Close releases nothing: splits release what they hold when they are read to their end
// or settled.
func (s *JSONL) Close() error { return nil }
