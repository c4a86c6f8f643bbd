package sources_test

import (
	"context"
	"io"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/sources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// config is a job file's with all defaults.
func config(uris ...string) sources.JSONLConfig {
	return sources.JSONLConfig{URIs: uris, SplitSize: 64 << 20, MaxLine: 16 << 20}
}

var limits = pipeline.Limits{Instances: 100, Bytes: 8 << 20}

// row is an instance, without the batch's memory.
type row struct {
	URI          string
	Line, Offset int64
	Echo         string
	Failure      string // its type
}

func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

func plan(t testing.TB, dir string, cfg sources.JSONLConfig) []pipeline.PlannedSplit {
	t.Helper()
	plan, err := collect(sources.PlanJSONL(t.Context(), objects.NewLocal(), dir, cfg, 0))
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// collect holds a plan, its splits under their IDs.
func collect(splits iter.Seq2[pipeline.PlannedSplit, error]) ([]pipeline.PlannedSplit, error) {
	var plan []pipeline.PlannedSplit
	for split, err := range splits {
		if err != nil {
			return nil, err
		}
		plan = append(plan, split)
	}
	for i := range plan {
		plan[i].ID = pipeline.NewSplitID(i, len(plan))
	}
	return plan, nil
}

// readSplit reads a split to its end, through one batch as the engine does, and locates
// its rows.
func readSplit(ctx context.Context, s pipeline.Split, limits pipeline.Limits) ([]row, pipeline.Extent, error) {
	var rows []row
	b := pipeline.Batch{Limits: limits}
	for {
		err := s.Read(ctx, &b)
		if err == io.EOF {
			return rows, b.Extent, s.Settle(ctx, nil)
		}
		if err != nil {
			_ = s.Settle(ctx, err)
			return rows, b.Extent, err
		}
		for _, in := range b.Instances {
			o := in.Origin
			if err := s.Locate(ctx, &o); err != nil {
				return rows, b.Extent, err
			}
			r := row{URI: o.URI, Line: o.Line, Offset: o.Offset, Echo: string(in.Echo)}
			if in.Failure != nil {
				r.Failure = in.Failure.Type
			}
			rows = append(rows, r)
		}
	}
}

// readAll reads all splits of a source.
func readAll(ctx context.Context, s pipeline.Source, limits pipeline.Limits) ([]row, error) {
	var rows []row
	for {
		split, err := s.Next(ctx)
		if err == io.EOF {
			return rows, s.Close()
		}
		if err != nil {
			return rows, err
		}
		more, _, err := readSplit(ctx, split, limits)
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
	}
}
