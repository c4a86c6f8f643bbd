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
	plan, err := runs.NewPlan("job", time.Unix(1, 0), runs.Digest{}, splits)
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
	if diff := cmp.Diff(splits, read.Splits); diff != "" {
		t.Error(diff)
	}
}
