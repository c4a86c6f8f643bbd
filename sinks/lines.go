package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// Lines writes the outcomes of one split to a writer as they come: a line an instance,
// the bare prediction, or a failure line in its place. It is a pipeline.Sink.
type Lines struct {
	w    io.Writer
	open atomic.Bool
}

// NewLines writes to w, once a batch.
func NewLines(w io.Writer) *Lines { return &Lines{w: w} }

// Open begins the only part there can be: the lines of several would mix.
func (s *Lines) Open(_ context.Context, id pipeline.SplitID) (pipeline.Part, error) {
	if !s.open.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("open split %s: lines hold one split only", id)
	}
	return &linesPart{w: s.w}, nil
}

// Close does nothing: the writer belongs to the caller.
func (s *Lines) Close() error { return nil }

type linesPart struct {
	w     io.Writer
	lines []byte
}

// Sealed is nil: what was written before belongs to who reads it.
func (p *linesPart) Sealed() *pipeline.Tally { return nil }

// Seal does nothing: the lines are written.
func (p *linesPart) Seal(context.Context, *pipeline.Tally) error { return nil }

// Write writes the lines of one batch at once.
func (p *linesPart) Write(_ context.Context, b *pipeline.Batch, o []pipeline.Outcome) error {
	if len(o) != len(b.Instances) {
		return fmt.Errorf("write predictions: %d outcomes for %d instances", len(o), len(b.Instances))
	}
	bare := pipeline.Echo{None: true}
	var wrong error
	p.lines = p.lines[:0]
	for i := range o {
		in := b.Instances[i]
		failure, err := failureOf(&in, &o[i])
		before := len(p.lines)
		switch {
		case err != nil:
		case failure != nil:
			p.lines, err = appendFailure(p.lines, &in, failure)
		default:
			in.Key = nil
			p.lines, err = appendPrediction(p.lines, &in, o[i].Prediction, bare)
		}
		if err != nil {
			p.lines = p.lines[:before]
			wrong = fmt.Errorf("write predictions: instance %d: %w", b.First+int64(i), err)
			break
		}
	}
	if _, err := p.w.Write(p.lines); err != nil {
		return errors.Join(wrong, fmt.Errorf("write predictions: %w", err))
	}
	return wrong
}

// Commit does nothing: the lines are written.
func (p *linesPart) Commit(context.Context, *pipeline.Tally) error { return nil }

// Discard does nothing: what is written stays.
func (p *linesPart) Discard() error { return nil }
