package report_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/report"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func TestAReportAddsUpAllAttempts(t *testing.T) {
	t.Parallel()
	r := report.Build(finished())
	if r.PeakMemory.Program < 1<<20 {
		t.Errorf("the program held %d bytes", r.PeakMemory.Program)
	}
	r.PeakMemory.Program = 1 << 21
	got, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"run_id":"r1","name":"churn-nightly","started":"2026-11-22T02:00:00Z","ended":"2026-11-22T03:03:12Z","status":"done",
		"output":"out/","errors_files":"out/errors-*.jsonl.gz","config_digest":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"instances":{"read":300000,"predicted":299996,"failed":4},
		"failures":[
			{"phase":"predict","type":"ValueError","count":3,"first":{"source":{"uri":"extra/a.jsonl","line":17,"offset":2210},"message":"could not convert string to float: 'n/a'"}},
			{"phase":"read","type":"InvalidJSON","count":1,"first":{"source":{"uri":"extra/b.jsonl.gz","line":10},"message":"Expecting value\nat \u001b[31mcolumn 3"}}],
		"batches":{"count":300,"mean_size":1000,"further_calls":40},
		"workers":{"count":4,"started":5,"died":1,"timeouts":0},
		"seconds":{"load":1.5,"read":1.5,"decode":2.123,"predict":3,"encode":4,"write":5,"idle":1},
		"bytes":{"read":1500,"written":2200},"splits":{"total":2,"done":2,"skipped":1},
		"peak_memory":{"program":2097152,"workers":1048576},
		"versions":{"cpr_batch":"0.1.0","go":"go1.26","python":"3.12.1"},
		"attempt":{"started":"2026-11-22T03:00:00Z","instances":100000}}`
	if diff := cmp.Diff(decoded(t, want), decoded(t, string(got))); diff != "" {
		t.Error(diff)
	}
}

func decoded(t *testing.T, text string) map[string]json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	for name, raw := range fields {
		var compact strings.Builder
		encoder := json.NewEncoder(&compact)
		if err := encoder.Encode(raw); err != nil {
			t.Fatal(err)
		}
		fields[name] = json.RawMessage(compact.String())
	}
	return fields
}

func TestAReportOfARunWithoutAPlanHasAllFields(t *testing.T) {
	t.Parallel()
	r := report.Build(report.Input{Status: report.Failed, Err: errors.New("no such class"), Began: began, Ended: began})
	got, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	fields := decoded(t, string(got))
	for _, name := range strings.Fields("run_id name started ended status config_digest instances failures batches workers seconds bytes splits peak_memory versions error") {
		if _, ok := fields[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	if got := string(fields["failures"]); got != "[]\n" {
		t.Errorf("failures: %s", got)
	}
}

func TestAnErrorKeepsItsWordsInTheReport(t *testing.T) {
	t.Parallel()
	in := hopeless()
	in.Err = fmt.Errorf("run: %w", &pipeline.Error{Phase: pipeline.PhaseWrite, Message: "write out/x", Err: syscall.ENOSPC, Hint: "make room"})
	want := &report.Error{Phase: pipeline.PhaseWrite, Message: "write out/x: no space left on device", Hint: "make room"}
	if diff := cmp.Diff(want, report.Build(in).Error); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNotCommittedIsToldApart(t *testing.T) {
	t.Parallel()
	in := half()
	in.Status = report.Stopped
	in.Uncommitted = pipeline.Tally{Read: 10, Predicted: 8, Failed: 1}
	r := report.Build(in)
	if r.Instances.Read != 200_010 || r.Uncommitted == nil || *r.Uncommitted != (report.Instances{Read: 10, Predicted: 8, Failed: 1}) || r.Attempt.Instances != 10 {
		t.Errorf("%+v, uncommitted %+v, attempt %+v", r.Instances, r.Uncommitted, r.Attempt)
	}
	in.Resumed = 6
	if r := report.Build(in); r.Attempt.Instances != 4 {
		t.Errorf("the attempt has predicted %d of 10 instances of which 6 were sealed", r.Attempt.Instances)
	}
	in = finished()
	in.Uncommitted = pipeline.Tally{Read: 10} // of a part that somebody else committed first
	if r := report.Build(in); r.Instances.Read != 300_000 || r.Uncommitted != nil {
		t.Errorf("a run that is done counts more than its parts: %+v", r.Instances)
	}
}

func TestPartsMadeByDifferentModelsAreToldApart(t *testing.T) {
	t.Parallel()
	in := without()
	if r := report.Build(in); r.MadeBy != nil {
		t.Errorf("made by %+v", r.MadeBy)
	}
	in.Summary.Makers = []runs.Maker{{Digest: "d1", Parts: 1, First: "00000-of-00002"}, {Digest: "d2", Parts: 1, First: "00001-of-00002"}}
	r := report.Build(in)
	text, err := r.JSON()
	if err != nil || !strings.Contains(string(text), `"config_digest": "d2"`) {
		t.Errorf("%s, %v", text, err)
	}
	if got := summary(t, in); !strings.Contains(got, "made by        2 versions of the model") {
		t.Error(got)
	}
}

func TestTheClosingSummary(t *testing.T) {
	t.Parallel()
	stopped := half()
	stopped.Status, stopped.Err = report.Stopped, errors.New("ended by SIGTERM")
	stopped.Uncommitted = pipeline.Tally{Read: 5000, Predicted: 4500, Failed: 1}
	unplanned := report.Input{Name: "x", Status: report.Failed, Began: began, Ended: began.Add(time.Second), Output: "out",
		Err: &pipeline.Error{Phase: pipeline.PhaseImport, Type: "ModuleNotFoundError", Message: "No module named 'numpy'", Hint: "install it"}}
	for name, tt := range map[string]struct {
		in   report.Input
		want string
	}{
		"done, all predicted": {without(), `
churn-nightly done in 3m12s

  read           300,000  instances
  predicted      300,000
  no prediction        0

  speed          1,563 instances a second, 4 workers
  output         out/  (2 parts)
`},
		"done, with failures": {finished(), `
churn-nightly done in 3m12s, 4 instances without a prediction

  read           300,000  instances
  predicted      299,996
  no prediction        4  (below 0.01 %), with the reasons in out/errors-*.jsonl.gz

  reasons        3  ValueError (predict): could not convert string to float: 'n/a'
                    first at extra/a.jsonl line 17
                 1  InvalidJSON (read): Expecting value at ` + "\uFFFD" + `[31mcolumn 3
                    at extra/b.jsonl.gz line 10

  speed          521 instances a second, 4 workers
  workers        1 died
  output         out/  (2 parts, 1 from before)
  to try again   those without a prediction: cpr-batch retry --config job.yaml
`},
		"failed": {hopeless(), `
churn-nightly FAILED after 2.3s: predict: TooManyFailures: 100 of 100 instances failed (100 %), more than errors.max_failure_ratio (0.01) allows

  read           164  instances
  predicted        0
  no prediction  100  (60.9 %), no errors file: no part with a failure was finished
  not reached     64
  unfinished     164  of those read are in unfinished parts: what is not sealed is predicted again next time

  reasons        100  KeyError (predict): 'amount'
                      first at extra/a.jsonl line 1

  speed          71 instances a second, 4 workers
  workers        1 died
  output         out/  (0 of 2 parts done)
  what to do     mend the data or the Predictor and run the same command again
`},
		"stopped": {stopped, `
churn-nightly STOPPED after 3m12s with work left: ended by SIGTERM

  read           205,000  instances
  predicted      204,498
  no prediction        3  (below 0.01 %), those of finished parts in out/errors-*.jsonl.gz
  not reached        499
  unfinished       5,000  of those read are in unfinished parts: what is not sealed is predicted again next time

  reasons        2  ValueError (predict): could not convert string to float: 'n/a'
                    first at extra/a.jsonl line 17

  speed          26 instances a second, 4 workers
  workers        1 died
  output         out/  (1 of 2 parts done, 1 from before)
  to go on       run the same command again: what is done stays
`},
		"failed before there was a plan": {unplanned, `
x FAILED after 1.0s: import: ModuleNotFoundError: No module named 'numpy'

  read           0  instances
  predicted      0
  no prediction  0

  output         out  (0 parts)
  what to do     install it
`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), summary(t, tt.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOfManyKindsOfFailuresTheSummaryShowsSome(t *testing.T) {
	t.Parallel()
	in := finished()
	var tally pipeline.Tally
	for n := range int64(300) {
		tally.Fail("00000-of-00002", n, pipeline.Origin{URI: "a", Line: n + 1}, &pipeline.Failure{
			Phase: pipeline.PhasePredict, Type: fmt.Sprintf("Error%d", n), Message: strings.Repeat("m", 500)})
	}
	in.Summary.Tally = tally
	r := report.Build(in)
	if len(r.Failures) != 100 || len([]rune(r.Failures[0].First.Message)) > 201 {
		t.Errorf("%d kinds, a message of %d", len(r.Failures), len(r.Failures[0].First.Message))
	}
	text := summary(t, in)
	if strings.Count(text, "Error") != 5 || !strings.Contains(text, "95 more kinds, in report.json") {
		t.Error(text)
	}
}

func TestAnErrorIsExplained(t *testing.T) {
	t.Parallel()
	traceback := "Traceback (most recent call last):\n  File \"predictor.py\", line 3, in from_path\nKeyError: 0\n"
	for name, tt := range map[string]struct {
		err  pipeline.Error
		want string
	}{
		"a fault of the disk": {pipeline.Error{Phase: pipeline.PhaseWrite, Message: "write out/x", Err: syscall.ENOSPC, Hint: "make room"},
			"error: write: write out/x: no space left on device\n  what to do: make room\n"},
		"an exception while loading": {pipeline.Error{Phase: pipeline.PhaseLoad, Type: "KeyError", Message: "0", Traceback: traceback, Stderr: "warning: old\n\x1b[2J\r\n"},
			"error: load: KeyError: 0\n\n  the Predictor's traceback:\n    Traceback (most recent call last):\n" +
				"      File \"predictor.py\", line 3, in from_path\n    KeyError: 0\n\n  the worker's last lines:\n    warning: old\n    \uFFFD[2J\n"},
		"a traceback that is on stderr too": {pipeline.Error{Type: "KeyError", Traceback: traceback, Stderr: "KeyError: 0\n"},
			"error: KeyError\n\n  the Predictor's traceback:\n    Traceback (most recent call last):\n" +
				"      File \"predictor.py\", line 3, in from_path\n    KeyError: 0\n"},
		"several problems": {pipeline.Error{Phase: pipeline.PhaseConfigure, Message: "job.yaml:\nline 3: a\nline 4: b"},
			"error: configure: job.yaml:\n  line 3: a\n  line 4: b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := report.Explain(&b, &tt.err); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestAnOutputThatIsGoneIsAnError(t *testing.T) {
	t.Parallel()
	if err := report.Summary(full{}, report.Build(finished())); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("summary: %v", err)
	}
	if err := report.Explain(full{}, &pipeline.Error{Message: "m"}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("explain: %v", err)
	}
}
