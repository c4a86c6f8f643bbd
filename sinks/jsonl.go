package sinks

import (
	"context"
	"errors"
	"fmt"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// The values of `compression`.
const (
	gzipCompression = "gzip"
	zstdCompression = "zstd"
)

// JSONL keeps each split's outcomes as lines of JSON: a file of predictions, and one of
// failures where there are any (JOB 3). It is a pipeline.Sink.
type JSONL struct {
	run         *runs.Run
	store       objects.Store
	compression string
	echo        pipeline.Echo
}

// NewJSONL keeps outcomes in the folder of run, which is in store.
func NewJSONL(run *runs.Run, store objects.Store, config JSONLConfig, output OutputConfig) *JSONL {
	return &JSONL{run: run, store: store, compression: config.Compression, echo: output.Instance}
}

// Open begins the part of a split. Of a part that is committed already it makes sure that
// it has its final names.
func (s *JSONL) Open(ctx context.Context, id pipeline.SplitID) (pipeline.Part, error) {
	record, err := s.run.Record(ctx, id)
	switch {
	case err == nil:
		return nil, s.publish(ctx, record)
	case !errors.Is(err, objects.ErrNotExist):
		return nil, err
	}
	predictions, err := createFile(ctx, s.store, s.run, s.name("predictions", id), s.compression)
	if err != nil {
		return nil, err
	}
	return &jsonlPart{sink: s, id: id, predictions: predictions}, nil
}

// publish gives a part that an earlier attempt, or somebody else, has committed its final
// names, and says that it is committed.
func (s *JSONL) publish(ctx context.Context, record runs.Record) error {
	if err := s.run.Publish(ctx, record); err != nil {
		return err
	}
	return pipeline.ErrCommitted
}

// Close does nothing: parts hold all there is to release.
func (s *JSONL) Close() error { return nil }

func (s *JSONL) name(kind string, id pipeline.SplitID) string {
	name := kind + "-" + string(id) + ".jsonl"
	switch s.compression {
	case gzipCompression:
		return name + ".gz"
	case zstdCompression:
		return name + ".zst"
	}
	return name
}

// jsonlPart is one part under way.
type jsonlPart struct {
	sink        *JSONL
	id          pipeline.SplitID
	predictions *partFile
	errors      *partFile // nil before the first failure
	failed      runs.Ordinals
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
	file := p.predictions
	if failure != nil {
		if file, err = p.failures(ctx); err != nil {
			return err
		}
	}
	before := len(file.lines)
	if failure != nil {
		p.failed.Add(ordinal)
		file.lines, err = appendFailure(file.lines, in, failure)
	} else {
		file.lines, err = appendPrediction(file.lines, in, o.Prediction, p.sink.echo)
	}
	if err != nil {
		file.lines = file.lines[:before]
		return fmt.Errorf("write split %s: instance %d: %w", p.id, ordinal, err)
	}
	return file.spill()
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

// failures is the file of failures, made when it is needed first.
func (p *jsonlPart) failures(ctx context.Context) (*partFile, error) {
	if p.errors == nil {
		file, err := createFile(ctx, p.sink.store, p.sink.run, p.sink.name("errors", p.id), p.sink.compression)
		if err != nil {
			return nil, err
		}
		p.errors = file
	}
	return p.errors, nil
}

// Commit makes the files durable, commits the part by its record and gives the files
// their final names. It sets t.BytesWritten.
func (p *jsonlPart) Commit(ctx context.Context, t *pipeline.Tally) error {
	record := runs.Record{Split: p.id, Failed: p.failed}
	t.BytesWritten = 0
	for _, file := range p.files() {
		done, err := file.commit(ctx)
		if err != nil {
			return errors.Join(p.explain(ctx, err), p.remove(ctx))
		}
		record.Files = append(record.Files, done)
		t.BytesWritten += done.Size
	}
	record.Tally = *t
	record, err := p.sink.run.Commit(ctx, record)
	switch {
	case err == nil:
		return p.sink.run.Publish(ctx, record)
	case errors.Is(err, runs.ErrUnsure):
		return err // the record may stand, and need the files
	case errors.Is(err, pipeline.ErrCommitted):
		err = p.sink.publish(ctx, record)
	}
	return errors.Join(err, p.remove(ctx))
}

// explain looks whether a file could not be made because another process, which has
// finished the run, has removed it.
func (p *jsonlPart) explain(ctx context.Context, err error) error {
	record, recordErr := p.sink.run.Record(ctx, p.id)
	if recordErr != nil {
		return err
	}
	return p.sink.publish(ctx, record)
}

// remove removes the files of a part that was not committed, also when the run is being
// ended.
func (p *jsonlPart) remove(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	errs := []error{p.Discard()}
	for _, file := range p.files() {
		errs = append(errs, runs.Fault(pipeline.PhaseWrite, "remove", file.path, p.sink.store.Remove(ctx, file.path)))
	}
	return errors.Join(errs...)
}

func (p *jsonlPart) files() []*partFile {
	files := []*partFile{p.predictions}
	if p.errors != nil {
		files = append(files, p.errors)
	}
	return files
}

// Discard gives up the files that are not whole. Whole ones Commit has seen to.
func (p *jsonlPart) Discard() error {
	var errs []error
	for _, file := range p.files() {
		errs = append(errs, runs.Fault(pipeline.PhaseWrite, "remove", file.path, file.object.Abort()))
	}
	return errors.Join(errs...)
}
