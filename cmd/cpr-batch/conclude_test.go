package main

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// twoFiles is an input of two files, a split each.
type twoFiles struct{}

// Plan yields the splits.
func (f twoFiles) Plan(ctx context.Context) iter.Seq2[pipeline.PlannedSplit, error] {
	return func(yield func(pipeline.PlannedSplit, error) bool) {
		for p, err := range f.Files(ctx) {
			if !yield(pipeline.PlannedSplit{Pieces: []pipeline.Piece{p}}, err) {
				return
			}
		}
	}
}

// Files yields the files.
func (twoFiles) Files(context.Context) iter.Seq2[pipeline.Piece, error] {
	return func(yield func(pipeline.Piece, error) bool) {
		_ = yield(pipeline.Piece{URI: "a.jsonl", Size: 2, End: 2}, nil) && yield(pipeline.Piece{URI: "b.jsonl", Size: 2, End: 2}, nil)
	}
}

func TestWhatAnotherTaskHasReadIsNotUnread(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	begin := func() *runs.Run {
		t.Helper()
		run, err := runs.Begin(t.Context(), runs.Config{Store: store, Folder: "gs://b/out", Name: "job", Input: twoFiles{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = run.Close() })
		return run
	}
	r, other := &jobRun{run: begin()}, begin()
	for _, uri := range []string{"a.jsonl", "b.jsonl"} {
		cause := &pipeline.Error{Remedy: pipeline.FixInput, Message: uri + " has changed since the run was planned"}
		r.result.Unread = append(r.result.Unread, &pipeline.SplitError{ID: pipeline.NewSplitID(len(r.result.Unread), 2), Err: cause})
	}
	for i, want := range []string{
		"2 splits could not be read to their end:\na.jsonl has changed since the run was planned\nb.jsonl has changed since the run was planned",
		"b.jsonl has changed since the run was planned", "",
	} {
		if err := r.refresh(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		got := ""
		var e *pipeline.Error
		if errors.As(r.unread(), &e) {
			got = e.Message
		}
		if got != want {
			t.Errorf("with %d of the splits committed: %q, want %q", i, got, want)
		}
		if i == 2 {
			break
		}
		id := pipeline.NewSplitID(i, 2)
		name := "predictions-" + string(id) + ".jsonl"
		store.Put(other.Work(name), nil)
		if _, err := other.Commit(t.Context(), runs.Record{Split: id, Files: []runs.PartFile{{Name: name}}}); err != nil {
			t.Fatal(err)
		}
	}
}
