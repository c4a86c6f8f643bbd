package sinks

import (
	"context"
	"errors"

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

// Open begins the part of a split, or goes on with what is sealed of it. Of a part that is
// committed already it makes sure that it has its final names.
func (s *JSONL) Open(ctx context.Context, id pipeline.SplitID) (pipeline.Part, error) {
	p := &jsonlPart{sink: s, id: id}
	p.predictions.name, p.errors.name = s.name("predictions", id), s.name("errors", id)
	if err := p.resume(ctx); err != nil {
		return nil, err
	}
	// Asked for behind the seals: those of a part that is committed are removed.
	record, err := s.run.Record(ctx, id)
	switch {
	case err == nil:
		return nil, s.publish(ctx, record)
	case !errors.Is(err, objects.ErrNotExist):
		return nil, err
	}
	// There is a file of predictions also when there are none.
	if !p.seal.Holds(p.predictions.name) {
		if _, err := p.piece(ctx, &p.predictions); err != nil {
			return nil, err
		}
	}
	return p, nil
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
