package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// fileSource plays files: splits of given lines, read in order, given up when ctx ends.
type fileSource struct {
	splits [][]string
	next   int
	broken map[int]error // read error at the end of split i
	onRead func()
	onSkip func(ctx context.Context, n int64) error

	skipped atomic.Int64 // instances, over all splits

	mu      sync.Mutex
	settled map[pipeline.SplitID]error
}

func (s *fileSource) Next(ctx context.Context) (pipeline.Split, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if s.next == len(s.splits) {
		return nil, io.EOF
	}
	i := s.next
	s.next++
	return &fileSplit{source: s, id: pipeline.NewSplitID(i, len(s.splits)), lines: s.splits[i], err: s.broken[i]}, nil
}

func (s *fileSource) Close() error { return nil }

type fileSplit struct {
	source *fileSource
	id     pipeline.SplitID
	lines  []string // an empty one is blank: no instance
	at     int
	bytes  int64
	err    error
}

func (s *fileSplit) ID() pipeline.SplitID { return s.id }

func (s *fileSplit) Read(ctx context.Context, b *pipeline.Batch) error {
	if s.source.onRead != nil {
		s.source.onRead()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for s.at < len(s.lines) && len(b.Instances) < b.Limits.Instances {
		if line := s.pass(); line != "" {
			addLine(b, line, s.at-1)
		}
	}
	b.Extent = pipeline.Extent{Lines: int64(s.at), Bytes: s.bytes}
	if len(b.Instances) > 0 {
		return nil
	}
	if s.err != nil {
		return s.err
	}
	return io.EOF
}

// pass returns the next line.
func (s *fileSplit) pass() string {
	line := s.lines[s.at]
	s.at++
	s.bytes += int64(len(line)) + 1
	return line
}

func (s *fileSplit) Skip(ctx context.Context, n int64) error {
	if s.source.onSkip != nil {
		if err := s.source.onSkip(ctx, n); err != nil {
			return err
		}
	}
	s.source.skipped.Add(n)
	for ; n > 0; n-- {
		for {
			if s.at == len(s.lines) {
				return fmt.Errorf("%d instances fewer than were sealed", n)
			}
			if s.pass() != "" {
				break
			}
		}
	}
	return nil
}

// addLine appends an instance; a line "unreadable…" failed while it was read.
func addLine(b *pipeline.Batch, line string, at int) {
	from := len(b.Buffer)
	b.Buffer = append(b.Buffer, line...)
	text := b.Buffer[from:len(b.Buffer):len(b.Buffer)]
	in := pipeline.Instance{Origin: pipeline.Origin{URI: "f", Line: int64(at + 1)}, Echo: text, Shown: text, Input: text}
	if strings.HasPrefix(line, "unreadable") {
		in.Failure = &pipeline.Failure{Phase: pipeline.PhaseRead, Type: pipeline.TypeLineTooLong, Message: "too long"}
	}
	b.Instances = append(b.Instances, in)
}

func (s *fileSplit) Locate(_ context.Context, o *pipeline.Origin) error {
	o.URI = "located"
	return nil
}

func (s *fileSplit) Settle(_ context.Context, err error) error {
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	if s.source.settled == nil {
		s.source.settled = map[pipeline.SplitID]error{}
	}
	if _, twice := s.source.settled[s.id]; twice {
		return fmt.Errorf("split %s settled twice", s.id)
	}
	s.source.settled[s.id] = err
	return nil
}
