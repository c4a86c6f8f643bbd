package sinks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// jsonlPart is one part under way.
type jsonlPart struct {
	sink        *JSONL
	id          pipeline.SplitID
	predictions lineFile
	errors      lineFile
	failed      runs.Ordinals   // of all that is written, sealed or not
	resumed     *pipeline.Tally // of what earlier attempts have sealed
	seal        runs.Seal       // of all that is sealed; without segments: nothing is
	assembled   []string        // paths of what Commit has made of segments
}

// lineFile is one file of a part: what is written of it behind the sealed pieces.
type lineFile struct {
	name  string    // final
	piece *partFile // nil: nothing
}

func (p *jsonlPart) files() []*lineFile { return []*lineFile{&p.predictions, &p.errors} }

// lastPiece begins the names of pieces that come behind sealed ones: the final name is
// that of what all of them are made into.
const lastPiece = "last-"

// piece is what is written of a file, begun when it is needed first.
func (p *jsonlPart) piece(ctx context.Context, f *lineFile) (*partFile, error) {
	if f.piece != nil {
		return f.piece, nil
	}
	path := p.sink.run.Work(f.name)
	if p.seal.Holds(f.name) {
		path = p.sink.run.Work(lastPiece + f.name)
	}
	piece, err := createFile(ctx, p.sink.store, path, p.sink.compression)
	if err != nil {
		return nil, err
	}
	f.piece = piece
	return piece, nil
}

// Write appends a line an outcome.
func (p *jsonlPart) Write(ctx context.Context, b *pipeline.Batch, o []pipeline.Outcome) error {
	if len(o) != len(b.Instances) {
		return fmt.Errorf("write split %s: %d outcomes for %d instances", p.id, len(o), len(b.Instances))
	}
	for i := range o {
		if err := p.write(ctx, b, i, &o[i]); err != nil {
			return err
		}
	}
	return nil
}

func (p *jsonlPart) write(ctx context.Context, b *pipeline.Batch, i int, o *pipeline.Outcome) error {
	ordinal, in := b.First+int64(i), &b.Instances[i]
	failure, err := failureOf(in, o)
	if err != nil {
		return fmt.Errorf("write split %s: instance %d: %w", p.id, ordinal, err)
	}
	file := &p.predictions
	if failure != nil {
		file = &p.errors
	}
	piece, err := p.piece(ctx, file)
	if err != nil {
		return err
	}
	before := len(piece.lines)
	if failure != nil {
		p.failed.Add(ordinal)
		piece.lines, err = appendFailure(piece.lines, in, failure)
	} else {
		piece.lines, err = appendPrediction(piece.lines, in, o.Prediction, p.sink.echo)
	}
	if err != nil {
		piece.lines = piece.lines[:before]
		return fmt.Errorf("write split %s: instance %d: %w", p.id, ordinal, err)
	}
	return piece.spill()
}

// failureOf is why an instance has no prediction, or nil when it has one.
func failureOf(in *pipeline.Instance, o *pipeline.Outcome) (*pipeline.Failure, error) {
	failure := o.Failure
	if failure == nil {
		failure = in.Failure
	}
	if failure != nil && o.Prediction != nil {
		return nil, errors.New("it has a prediction and a failure")
	}
	return failure, nil
}

// Commit makes the files durable, commits the part by its record and gives the files
// their final names. It sets t.BytesWritten.
func (p *jsonlPart) Commit(ctx context.Context, t *pipeline.Tally) error {
	record := runs.Record{Split: p.id, Failed: p.failed}
	t.BytesWritten = 0
	for _, file := range p.files() {
		done, err := p.complete(ctx, file)
		if err != nil {
			return errors.Join(p.explain(ctx, err), p.remove(ctx))
		}
		if done != nil {
			record.Files = append(record.Files, *done)
			t.BytesWritten += done.Size
		}
	}
	record.Tally = *t
	record, err := p.sink.run.Commit(ctx, record)
	switch {
	case err == nil:
		return p.publish(ctx, record)
	case errors.Is(err, runs.ErrUnsure):
		return err // the record may stand, and need the files
	case errors.Is(err, pipeline.ErrCommitted):
		err = p.sink.publish(ctx, record)
	}
	return errors.Join(err, p.remove(ctx))
}

// publish gives the files of the part, which is committed, their final names.
func (p *jsonlPart) publish(ctx context.Context, record runs.Record) error {
	if err := p.sink.run.Publish(ctx, record); err != nil {
		return err
	}
	if len(p.seal.Segments) > 0 {
		p.sink.run.DropSeals(ctx, p.id)
	}
	return nil
}

// complete makes a file whole and durable under its name for work; nil where the part has
// no such file.
func (p *jsonlPart) complete(ctx context.Context, f *lineFile) (*runs.PartFile, error) {
	if p.seal.Holds(f.name) {
		return p.assemble(ctx, f)
	}
	if f.piece == nil {
		return nil, nil
	}
	made, err := f.commit(ctx)
	if err != nil {
		return nil, err
	}
	return &made.File, nil
}

// explain looks whether something could not be done because another process, which has
// committed the part, or finished the run, has removed what it takes.
func (p *jsonlPart) explain(ctx context.Context, err error) error {
	record, recordErr := p.sink.run.Record(ctx, p.id)
	if recordErr != nil {
		return err
	}
	return p.sink.publish(ctx, record)
}

// tidying bounds how long the files of a part that is given up are removed: where the
// store is away they stay until the run is finished, and a run that is to end ends.
const tidying = 10 * time.Second

// remove removes the files of a part that was neither sealed nor committed, also when the
// run is being ended.
func (p *jsonlPart) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	errs := []error{p.Discard()}
	paths := p.assembled
	for _, file := range p.files() {
		if file.piece != nil {
			paths = append(paths, file.piece.path)
		}
	}
	for _, path := range paths {
		errs = append(errs, runs.Fault(pipeline.PhaseWrite, "remove", path, p.sink.store.Remove(ctx, path)))
	}
	return errors.Join(errs...)
}

// Discard gives up the files that are not whole. Whole ones Commit and Seal have seen to.
func (p *jsonlPart) Discard() error {
	var errs []error
	for _, file := range p.files() {
		if file.piece != nil {
			errs = append(errs, runs.Fault(pipeline.PhaseWrite, "remove", file.piece.path, file.piece.object.Abort()))
		}
	}
	return errors.Join(errs...)
}
