package sinks

import (
	"context"
	"errors"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// resume takes up what is sealed of the part.
func (p *jsonlPart) resume(ctx context.Context) error {
	seal, err := p.sink.run.LastSeal(ctx, p.id)
	if err != nil || seal == nil || !seal.Consists(p.predictions.name, p.errors.name) {
		return err
	}
	p.seal, p.failed, p.resumed = *seal, seal.Failed, &seal.Tally
	return nil
}

// Sealed counts what earlier attempts have sealed.
func (p *jsonlPart) Sealed() *pipeline.Tally { return p.resumed }

// Seal makes what was written so far survive the end of the program. What is written next
// goes into new pieces.
func (p *jsonlPart) Seal(ctx context.Context, t *pipeline.Tally) error {
	var made []runs.WorkFile
	var ended []*lineFile
	for _, file := range p.files() {
		if file.piece == nil || file.piece.isEmpty() {
			continue
		}
		piece, err := file.commit(ctx)
		if err != nil {
			return errors.Join(p.explain(ctx, err), p.remove(ctx))
		}
		made, ended = append(made, piece), append(ended, file)
	}
	if len(made) == 0 {
		return nil
	}
	next := p.seal
	next.Split, next.Tally, next.Failed = p.id, *t, p.failed
	sealed, err := p.sink.run.Seal(ctx, next, made...)
	if err != nil {
		return errors.Join(err, p.remove(ctx))
	}
	p.seal = sealed
	for _, file := range ended {
		file.piece = nil
	}
	return nil
}

// assemble makes a file of its sealed pieces and the last one.
func (p *jsonlPart) assemble(ctx context.Context, f *lineFile) (*runs.PartFile, error) {
	var last *runs.WorkFile
	if f.piece != nil {
		made, err := f.commit(ctx)
		if err != nil {
			return nil, err
		}
		last = &made
	}
	p.assembled = append(p.assembled, p.sink.run.Work(f.name))
	whole, err := p.sink.run.Assemble(ctx, &p.seal, f.name, last)
	if err != nil {
		return nil, err
	}
	return &whole, nil
}

// commit makes the piece of a file durable where it was made.
func (f *lineFile) commit(ctx context.Context) (runs.WorkFile, error) {
	size, sum, err := f.piece.commit(ctx)
	if err != nil {
		return runs.WorkFile{}, err
	}
	return runs.WorkFile{Path: f.piece.path, File: runs.PartFile{Name: f.name, Size: size, CRC32C: sum}}, nil
}
