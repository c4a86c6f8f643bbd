package main

import (
	"context"
	"iter"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
	"github.com/cpr-batch/cpr-batch/sources"
)

// jobInput is what a job's source has now. It is a runs.Input.
type jobInput struct {
	store objects.Store
	job   *configs.Job
	limit int64 // instances; 0: all
}

// Plan yields the splits of a new run.
func (in *jobInput) Plan(ctx context.Context) iter.Seq2[pipeline.PlannedSplit, error] {
	return sources.PlanJSONL(ctx, in.store, in.job.Dir, *in.job.Source.JSONL, in.limit)
}

// Files yields the files that a new run would read.
func (in *jobInput) Files(ctx context.Context) iter.Seq2[pipeline.Piece, error] {
	if in.limit > 0 {
		return runs.FilesOf(in.Plan(ctx)) // how far the limit reaches is known by reading
	}
	return sources.FilesJSONL(ctx, in.store, in.job.Dir, *in.job.Source.JSONL)
}

// plannedInput is an input whose splits are known already.
type plannedInput struct {
	runs.Input
	splits *runs.Splits
}

// Plan yields the splits.
func (in plannedInput) Plan(context.Context) iter.Seq2[pipeline.PlannedSplit, error] {
	return in.splits.All()
}

// work is what a source reads of a run: it is a sources.Work.
type work struct {
	*runs.Share
	run *runs.Run
}

// Len is how many splits there are.
func (w work) Len() int { return w.run.Plan().Splits.Len() }

// At returns split number i.
func (w work) At(i int) (pipeline.PlannedSplit, error) { return w.run.Plan().Splits.At(i) }

// Lines is how many lines split number i has, where that is known.
func (w work) Lines(i int) (int64, bool) { return w.run.Lines(i) }
