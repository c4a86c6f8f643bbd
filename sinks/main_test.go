package sinks_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	first  = pipeline.SplitID("00000-of-00002")
	second = pipeline.SplitID("00001-of-00002")
)

var began = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

// begin begins a run of two splits.
func begin(t *testing.T, store objects.Store, folder string) *runs.Run {
	t.Helper()
	plan, err := runs.NewPlan("job", began, runs.Digest{}, []pipeline.PlannedSplit{{ID: first}, {ID: second}})
	if err != nil {
		t.Fatal(err)
	}
	run, err := runs.Begin(t.Context(), store, folder, plan, runs.Versions{})
	if err != nil {
		t.Fatal(err)
	}
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
	var r io.Reader = bytes.NewReader(data)
	switch filepath.Ext(name) {
	case ".gz":
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	case ".zst":
		decoder, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer decoder.Close()
		r = decoder
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// names are the files of a folder, without the plan and the records.
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
		if strings.HasPrefix(rel, "_cpr-batch/.tmp-") || filepath.Base(rel) == "process.json" || strings.HasSuffix(rel, "plan.jsonl") || strings.HasPrefix(rel, "_cpr-batch/commits/") {
			continue
		}
		out = append(out, rel)
	}
	return out, nil
}
