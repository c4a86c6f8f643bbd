package runs_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func TestAPlanKeepsEveryByteOfAName(t *testing.T) {
	t.Parallel()
	names := []string{"in/a.jsonl", "in/\xff\xfe.jsonl", "in/a\nb\x1b[31m.jsonl", "in/\ufffd.jsonl", "in/<&>\u2028.jsonl"}
	var splits []pipeline.PlannedSplit
	for i, name := range names {
		splits = append(splits, pipeline.PlannedSplit{
			ID:     pipeline.NewSplitID(i, len(names)),
			Pieces: []pipeline.Piece{{URI: name, Name: "/data/" + name, Generation: "1", Size: 7, End: 7}, {URI: name, Size: 7, End: 7}},
			Limit:  int64(i),
		})
	}
	spooled, err := runs.SplitsOf(t.Context(), splits...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = spooled.Close() }()
	plan, err := runs.NewPlan("job", time.Unix(1, 0), runs.Digest{}, spooled)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := plan.Write(&file); err != nil {
		t.Fatal(err)
	}
	read, err := runs.ReadPlan(&file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Splits.Close() }()
	if diff := cmp.Diff(splits, all(t, read.Splits)); diff != "" {
		t.Error(diff)
	}
}

// all are the splits of a plan.
func all(t testing.TB, splits *runs.Splits) []pipeline.PlannedSplit {
	t.Helper()
	var out []pipeline.PlannedSplit
	for s, err := range splits.All() {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}
