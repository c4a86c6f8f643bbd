package pipeline_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// memorySink keeps the lines of committed parts.
type memorySink struct {
	refuse string // predictions that hold it become failures of phase write
	onOpen func(pipeline.SplitID) error
	// onWrite and onCommit are called before a batch is written and a part committed,
	// onSeal when a seal is kept.
	onWrite  func(pipeline.SplitID, *pipeline.Batch) error
	onSeal   func(context.Context, pipeline.SplitID) error
	onCommit func(pipeline.SplitID, pipeline.Tally) error

	mu        sync.Mutex
	seals     map[pipeline.SplitID]seal // the last one of each split: it outlives a part
	sealed    []sealing                 // all, in order
	late      int                       // seals that were asked for when the part's context had ended
	parts     map[pipeline.SplitID][]string
	tallies   map[pipeline.SplitID]pipeline.Tally
	discarded int
	open      atomic.Int64
	mostOpen  int64
}

func (s *memorySink) Open(_ context.Context, id pipeline.SplitID) (pipeline.Part, error) {
	if s.onOpen != nil {
		if err := s.onOpen(id); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.parts[id]; there {
		return nil, pipeline.ErrCommitted
	}
	s.mostOpen = max(s.mostOpen, s.open.Add(1))
	part := &memoryPart{sink: s, id: id}
	if last, there := s.seals[id]; there {
		part.lines, part.sealed = slices.Clone(last.lines), &last.tally
	}
	return part, nil
}

// seal is what a seal keeps of a part.
type seal struct {
	lines []string
	tally pipeline.Tally
}

// sealing is one call of Seal.
type sealing struct {
	split pipeline.SplitID
	read  int64
	lines int64
	at    time.Time
}

func (s *memorySink) Close() error { return nil }

type memoryPart struct {
	sink   *memorySink
	id     pipeline.SplitID
	lines  []string
	sealed *pipeline.Tally
	done   bool
}

func (p *memoryPart) Sealed() *pipeline.Tally { return p.sealed }

// Seal keeps the lines and their tally, which must be of one mind.
func (p *memoryPart) Seal(ctx context.Context, t *pipeline.Tally) error {
	if err := p.agree(t); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	p.sink.mu.Lock()
	if ctx.Err() != nil {
		p.sink.late++
		p.sink.mu.Unlock()
		return context.Cause(ctx)
	}
	if p.sink.seals == nil {
		p.sink.seals = map[pipeline.SplitID]seal{}
	}
	p.sink.seals[p.id] = seal{slices.Clone(p.lines), *t}
	p.sink.sealed = append(p.sink.sealed, sealing{p.id, t.Read, t.Lines, time.Now()})
	p.sink.mu.Unlock()
	if p.sink.onSeal != nil {
		return p.sink.onSeal(ctx, p.id)
	}
	return nil
}

// agree compares a tally with the lines.
func (p *memoryPart) agree(t *pipeline.Tally) error {
	var failed, kinds int64
	for _, line := range p.lines {
		if isFailure(line) {
			failed++
		}
	}
	for _, f := range t.Failures {
		kinds += f.Count
	}
	// A tally tells no more than a hundred kinds apart.
	if n := int64(len(p.lines)); t.Read != n || t.Predicted != n-failed || t.Failed != failed || kinds != failed && len(t.Failures) < 100 {
		return fmt.Errorf("%d lines, %d of them failures, are counted as %d, %d predicted, %d failed, %d by kind", n, failed, t.Read, t.Predicted, t.Failed, kinds)
	}
	return nil
}

// isFailure tells the line of a failure from an echo.
func isFailure(line string) bool { return strings.Contains(line, ":") }

func (p *memoryPart) Write(_ context.Context, b *pipeline.Batch, o []pipeline.Outcome) error {
	if p.sink.onWrite != nil {
		if err := p.sink.onWrite(p.id, b); err != nil {
			return err
		}
	}
	if int64(len(p.lines)) != b.First {
		return fmt.Errorf("batch at %d came when %d lines were written", b.First, len(p.lines))
	}
	for i := range o {
		if o[i].Failure == nil && p.sink.refuse != "" && strings.Contains(string(o[i].Prediction), p.sink.refuse) {
			o[i] = pipeline.Outcome{Failure: &pipeline.Failure{Phase: pipeline.PhaseWrite, Type: "Refused", Message: "no"}}
		}
		if f := o[i].Failure; f != nil {
			p.lines = append(p.lines, fmt.Sprintf("%s:%s(%s)", f.Phase, f.Type, b.Instances[i].Echo))
			continue
		}
		p.lines = append(p.lines, string(o[i].Prediction))
	}
	return nil
}

func (p *memoryPart) Commit(_ context.Context, t *pipeline.Tally) error {
	if err := p.agree(t); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if p.sink.onCommit != nil {
		if err := p.sink.onCommit(p.id, *t); err != nil {
			return err
		}
	}
	p.sink.mu.Lock()
	defer p.sink.mu.Unlock()
	if p.sink.parts == nil {
		p.sink.parts, p.sink.tallies = map[pipeline.SplitID][]string{}, map[pipeline.SplitID]pipeline.Tally{}
	}
	if _, there := p.sink.parts[p.id]; there {
		return pipeline.ErrCommitted
	}
	p.sink.parts[p.id], p.sink.tallies[p.id] = p.lines, *t
	p.done = true
	return nil
}

func (p *memoryPart) Discard() error {
	p.sink.open.Add(-1)
	if !p.done {
		p.sink.mu.Lock()
		defer p.sink.mu.Unlock()
		p.sink.discarded++
	}
	return nil
}
