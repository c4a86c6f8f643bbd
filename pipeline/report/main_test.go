package report_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/report"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

// finished is a run of two splits, the first of them committed by an earlier attempt.
func finished() report.Input {
	splits, err := runs.SplitsOf(context.Background(), pipeline.PlannedSplit{}, pipeline.PlannedSplit{})
	if err != nil {
		panic(err)
	}
	var first, second pipeline.Tally
	first = pipeline.Tally{Read: 200_000, Predicted: 199_998, Batches: 200, FurtherCalls: 40, BytesRead: 1000, BytesWritten: 1500,
		Seconds: pipeline.Seconds{Read: 1, Decode: 2, Predict: 3, Encode: 4, Write: 5}}
	value := pipeline.Failure{Phase: pipeline.PhasePredict, Type: "ValueError", Message: "could not convert string to float: 'n/a'"}
	first.Fail("00000-of-00002", 4, pipeline.Origin{URI: "extra/a.jsonl", Line: 17, Offset: 2210}, &value)
	first.Fail("00000-of-00002", 9, pipeline.Origin{URI: "extra/a.jsonl", Line: 21, Offset: 2500}, &value)
	second = pipeline.Tally{Read: 100_000, Predicted: 99_998, Batches: 100, BytesRead: 500, BytesWritten: 700,
		Seconds: pipeline.Seconds{Read: 0.5, Decode: 0.12345}}
	second.Fail("00001-of-00002", 3, pipeline.Origin{URI: "extra/b.jsonl.gz", Line: 8, Offset: -1}, &value)
	second.Fail("00001-of-00002", 5, pipeline.Origin{URI: "extra/b.jsonl.gz", Line: 10, Offset: -1},
		&pipeline.Failure{Phase: pipeline.PhaseRead, Type: pipeline.TypeInvalidJSON, Message: "Expecting value\nat \x1b[31mcolumn 3"})
	return report.Input{
		Name: "churn-nightly", Output: "out/", Retry: "cpr-batch retry --config job.yaml", Status: report.Done, Began: began, Ended: began.Add(192 * time.Second),
		Plan:     &runs.Plan{RunID: "r1", Name: "churn-nightly", Started: began.Add(-time.Hour), Splits: splits},
		Summary:  runs.Summary{Parts: 2, Own: 1, OwnRead: second.Read, Tally: sum(first, second), Errors: "jsonl.gz"},
		Workers:  report.Workers{Count: 4, Started: 5, Died: 1, Load: 1500 * time.Millisecond, Idle: time.Second, PeakMemory: 1 << 20},
		Versions: runs.Versions{CPRBatch: "0.1.0", Go: "go1.26", Python: "3.12.1"},
	}
}

func sum(tallies ...pipeline.Tally) pipeline.Tally {
	var total pipeline.Tally
	for i := range tallies {
		total.Add(&tallies[i])
	}
	return total
}

// half is finished without its second part.
func half() report.Input {
	in := finished()
	in.Summary = runs.Summary{Parts: 1, Errors: "jsonl.gz", Tally: pipeline.Tally{
		Read: 200_000, Predicted: 199_998, Failed: 2, Batches: 200, FurtherCalls: 40, Failures: in.Summary.Tally.Failures[:1]}}
	in.Summary.Tally.Failures[0].Count = 2
	return in
}

// without is finished, with no failure and no earlier attempt.
func without() report.Input {
	in := finished()
	t := &in.Summary.Tally
	t.Predicted, t.Failed, t.Failures = t.Read, 0, nil
	in.Summary.Own, in.Summary.OwnRead, in.Summary.Errors = 2, t.Read, ""
	in.Workers.Died = 0
	return in
}

// hopeless is a run that was given up in its first split.
func hopeless() report.Input {
	in := finished()
	in.Summary, in.Status = runs.Summary{}, report.Failed
	in.Uncommitted = pipeline.Tally{Read: 164, Batches: 1, FurtherCalls: 99}
	for n := range int64(100) {
		in.Uncommitted.Fail("00000-of-00002", n, pipeline.Origin{URI: "extra/a.jsonl", Line: n + 1}, &pipeline.Failure{
			Phase: pipeline.PhasePredict, Type: "KeyError", Message: "'amount'"})
	}
	in.Err = &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhasePredict, Type: "TooManyFailures",
		Message:   "100 of 100 instances failed (100 %), more than errors.max_failure_ratio (0.01) allows",
		Hint:      "mend the data or the Predictor and run the same command again",
		Traceback: "Traceback (most recent call last):\n  File \"predictor.py\", line 3, in predict\nKeyError: 'amount'\n", Stderr: "loading weights\n"}
	in.Ended = began.Add(2300 * time.Millisecond)
	return in
}

func summary(t *testing.T, in report.Input) string {
	t.Helper()
	var b strings.Builder
	if err := report.Summary(&b, report.Build(in)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// buffer is written by one goroutine and read by another.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
