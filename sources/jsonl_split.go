package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"unicode/utf8"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

// jsonlSplit is one split of JSON Lines files.
type jsonlSplit struct {
	plan    pipeline.PlannedSplit
	number  int // in the plan
	rows    arranger
	maxLine pipeline.Bytes
	counts  *lineCounts
	settle  func(error)

	mu        sync.Mutex // held while the split is read, and for the rest
	settled   bool
	reader    pieceReader
	places    *failedPlaces   // nil: all instances are read
	piece     int             // number of the next piece to open
	passed    pipeline.Extent // in pieces that were read to their end
	instances int64
	err       error // what ended the reading, if anything
}

func newJSONLSplit(plan pipeline.PlannedSplit, cfg JSONLConfig, rows Rows, open opener) *jsonlSplit {
	s := &jsonlSplit{
		plan:    plan,
		rows:    newArranger(cfg.Field, rows),
		maxLine: cfg.MaxLine,
		settle:  func(error) {},
		reader:  pieceReader{open: open, max: int(min(cfg.MaxLine, math.MaxInt32))},
	}
	if plan.Failures != nil {
		s.places = newFailedPlaces(*plan.Failures, cfg.MaxLine, open)
	}
	return s
}

// ID returns the split's name in the plan.
func (s *jsonlSplit) ID() pipeline.SplitID { return s.plan.ID }

// Read fills b with the next instances. Their size is that of the row's own text,
// whatever of it the Predictor sees: it is what has to be held.
func (s *jsonlSplit) Read(ctx context.Context, b *pipeline.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	b.Split, b.First = s.plan.ID, s.instances
	b.Instances, b.Buffer = b.Instances[:0], b.Buffer[:0]
	room := s.room(b.Limits)
	var size int64
	for int64(len(b.Instances)) < room {
		ln, origin, err := s.nextInstance(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if ln.tooLong {
			b.Instances = append(b.Instances, pipeline.Instance{Origin: origin, Failure: s.tooLong(ln)})
			continue
		}
		text := trim(ln.text)
		if b.Limits.Bytes > 0 && size > 0 && size+int64(len(text)) > b.Limits.Bytes {
			s.unread()
			break
		}
		size += int64(len(text))
		begin := len(b.Buffer)
		b.Buffer = append(b.Buffer, text...)
		b.Instances = append(b.Instances, pipeline.Instance{Origin: origin})
		s.rows.arrange(b, b.Buffer[begin:len(b.Buffer):len(b.Buffer)])
	}
	s.instances += int64(len(b.Instances))
	b.Extent = s.extent()
	if len(b.Instances) == 0 {
		return s.end()
	}
	return nil
}

// Skip passes over the first n instances.
func (s *jsonlSplit) Skip(ctx context.Context, n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for ; s.instances < n; s.instances++ {
		err := io.EOF
		if s.plan.Limit == 0 || s.instances < s.plan.Limit {
			_, _, err = s.nextInstance(ctx)
		}
		if err == io.EOF {
			s.err = s.tooFew(n)
			return s.err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tooFew says that the split has not the n instances that are to be skipped.
func (s *jsonlSplit) tooFew(n int64) error {
	what := string(s.plan.ID)
	if len(s.plan.Pieces) > 0 {
		what = s.plan.Pieces[0].URI
	}
	if more := len(s.plan.Pieces) - 1; more > 0 {
		what = fmt.Sprintf("%s (with %d more files in the split)", what, more)
	}
	return &pipeline.Error{
		Remedy: pipeline.FixInput, Phase: pipeline.PhaseRead,
		Message: fmt.Sprintf("%s has fewer instances than an earlier attempt sealed: %d of %d", what, s.instances, n),
		Hint:    "What was sealed can not have been made of what is there now. Put the input back as it was, or run with --overwrite to begin anew with the input as it is now.",
	}
}

// nextInstance returns the next line that is an instance, or io.EOF.
func (s *jsonlSplit) nextInstance(ctx context.Context) (line, pipeline.Origin, error) {
	if s.places != nil {
		return s.nextPlace(ctx)
	}
	for {
		ln, err := s.next(ctx)
		if err != nil {
			return line{}, pipeline.Origin{}, err
		}
		if ln.isInstance() {
			return ln, s.reader.origin(ln), nil
		}
	}
}

// unread makes the instance that nextInstance returned last the next one again.
func (s *jsonlSplit) unread() {
	s.reader.lines.unread()
	if s.places != nil {
		s.places.unread()
	}
}

// room is how many instances the next batch may have.
func (s *jsonlSplit) room(limits pipeline.Limits) int64 {
	room := int64(math.MaxInt64)
	if limits.Instances > 0 {
		room = int64(limits.Instances)
	}
	if s.plan.Limit > 0 {
		room = min(room, s.plan.Limit-s.instances)
	}
	return room
}

// next returns the next line of the split, or io.EOF.
func (s *jsonlSplit) next(ctx context.Context) (line, error) {
	for s.err == nil {
		if s.reader.file == nil {
			if s.piece == len(s.plan.Pieces) {
				s.err = io.EOF
				s.reader.lines.buf = nil
				break
			}
			if s.err = s.reader.start(ctx, s.plan.Pieces[s.piece]); s.err != nil {
				break
			}
			s.piece++
		}
		ln, err := s.reader.next(ctx)
		switch {
		case err == nil:
			return ln, nil
		case err == io.EOF:
			s.passed = s.extent()
			s.reader.forget()
		default:
			s.err = err
		}
	}
	return line{}, s.fault(ctx)
}

// fault is what ended the reading, or the context, where that was why.
func (s *jsonlSplit) fault(ctx context.Context) error {
	if s.err != io.EOF && context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	return s.err
}

// extent is how far the split was read.
func (s *jsonlSplit) extent() pipeline.Extent {
	e := s.reader.extent()
	return pipeline.Extent{Lines: s.passed.Lines + e.Lines, Bytes: s.passed.Bytes + e.Bytes}
}

// end ends the reading: all was read, or as much as the plan wants.
func (s *jsonlSplit) end() error {
	if s.err == io.EOF && s.counts != nil && s.places == nil && isCut(&s.plan) {
		s.counts.add(s.number, s.passed.Lines)
	}
	if s.err == nil {
		s.err = io.EOF
		if err := s.reader.close(); err != nil {
			s.err = s.reader.explain(err)
		}
	}
	return s.err
}

var errSettled = errors.New("the split was settled")

func (s *jsonlSplit) tooLong(ln line) *pipeline.Failure {
	return &pipeline.Failure{
		Phase:   pipeline.PhaseRead,
		Type:    pipeline.TypeLineTooLong,
		Message: fmt.Sprintf("the line has %d bytes, more than source.jsonl.max_line (%s) allows", ln.length, s.maxLine),
		Text:    values.Repair(trim(wholeCharacters(ln.text))),
		NotJSON: true,
	}
}

// Locate makes the line of an origin count from the begin of its file.
func (s *jsonlSplit) Locate(ctx context.Context, o *pipeline.Origin) error {
	if s.counts == nil || s.plan.Failures != nil {
		return nil // what was counted for the failures counts
	}
	return s.counts.locate(ctx, s.number, &s.plan, o)
}

// Settle closes what is still open, and passes on what became of the split.
func (s *jsonlSplit) Settle(_ context.Context, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.settled {
		s.settled = true
		s.settle(err)
	}
	if s.err == nil {
		s.err = errSettled
	}
	if s.places != nil {
		s.places.close()
	}
	s.reader.lines.buf = nil
	// What the file has become is of no matter any more: what was read of it and counts
	// was verified when it ended.
	_ = s.reader.close()
	return nil
}

// wholeCharacters takes away a character at the end of which there is only the begin.
func wholeCharacters(text []byte) []byte {
	for n := 1; n <= min(utf8.UTFMax, len(text)); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return text[:len(text)-n]
			}
			break
		}
	}
	return text
}
