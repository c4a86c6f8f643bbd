package sinks_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start")) // of a library of cloudtest
}

const (
	first  = pipeline.SplitID("00000-of-00002")
	second = pipeline.SplitID("00001-of-00002")
)

var began = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

// input is that of a run of two splits.
type input struct{}

// Plan yields a split a file.
func (i input) Plan(ctx context.Context) iter.Seq2[pipeline.PlannedSplit, error] {
	return func(yield func(pipeline.PlannedSplit, error) bool) {
		for p, err := range i.Files(ctx) {
			if !yield(pipeline.PlannedSplit{Pieces: []pipeline.Piece{p}}, err) {
				return
			}
		}
	}
}

// Files yields two files.
func (input) Files(context.Context) iter.Seq2[pipeline.Piece, error] {
	return func(yield func(pipeline.Piece, error) bool) {
		for _, uri := range []string{"in/a.jsonl", "in/b.jsonl"} {
			if !yield(pipeline.Piece{URI: uri, Generation: "1", Size: 10, End: 10}, nil) {
				return
			}
		}
	}
}

// config is that of a run of two splits.
func config(store objects.Store, folder string) runs.Config {
	return runs.Config{Store: store, Folder: folder, Name: "job", Started: began, Input: input{}}
}

// begin begins a run of two splits.
func begin(t *testing.T, store objects.Store, folder string) *runs.Run {
	t.Helper()
	run, err := runs.Begin(t.Context(), config(store, folder))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run.Close(); err != nil {
			t.Error(err)
		}
	})
	return run
}

// row is an instance whose line is text.
func row(text string) pipeline.Instance {
	return pipeline.Instance{
		Echo: []byte(text), Shown: []byte(text), Input: []byte(text),
		Origin: pipeline.Origin{URI: "in/a.jsonl", Line: 17, Offset: 2210},
	}
}

func predicted(text string) pipeline.Outcome { return pipeline.Outcome{Prediction: []byte(text)} }

func failed(f pipeline.Failure) pipeline.Outcome { return pipeline.Outcome{Failure: &f} }

var raised = pipeline.Failure{Phase: pipeline.PhasePredict, Type: "ValueError", Message: "no", Traceback: "Traceback"}

// unpacked is the content of a file in the clear.
func unpacked(t *testing.T, folder, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	text, err := unpack(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// unpack is what is in a file of this name.
func unpack(name string, data []byte) (string, error) {
	var r io.Reader = bytes.NewReader(data)
	switch filepath.Ext(name) {
	case ".gz":
		unzipped, err := gzip.NewReader(r)
		if err != nil {
			return "", err
		}
		r = unzipped
	case ".zst":
		decoder, err := zstd.NewReader(r)
		if err != nil {
			return "", err
		}
		defer decoder.Close()
		r = decoder
	}
	text, err := io.ReadAll(r)
	return string(text), err
}

// names are the files of a folder, without the plan, the report that is kept and the records.
func names(t *testing.T, folder string) []string {
	t.Helper()
	out, err := list(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func list(ctx context.Context, folder string) ([]string, error) {
	var out []string
	for o, err := range objects.NewLocal().List(ctx, folder) {
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(folder, o.Name)
		if err != nil {
			return nil, err
		}
		// A process killed while it made the plan or a record leaves that behind, unnamed.
		if strings.HasPrefix(rel, "_cpr-batch/.tmp-") || filepath.Base(rel) == "process.json" || rel == "_cpr-batch/plan.jsonl" || rel == "_cpr-batch/report.json" || strings.HasPrefix(rel, "_cpr-batch/commits/") {
			continue
		}
		out = append(out, rel)
	}
	return out, nil
}
