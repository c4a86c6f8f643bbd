package sinks_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/sinks"
)

// recorder keeps each write.
type recorder struct{ writes []string }

func (r *recorder) Write(p []byte) (int, error) {
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

func TestLinesAreWrittenInPlaceABatchAtATime(t *testing.T) {
	t.Parallel()
	var out recorder
	sink := sinks.NewLines(&out)
	part := open(t, sink, first)
	keyed := row("2")
	keyed.Key = []byte(`"k"`)
	write(t, part, 0, []pipeline.Instance{row("1"), keyed, keyed}, predicted("10"), failed(raised), predicted("30"))
	write(t, part, 3, []pipeline.Instance{row("4")}, predicted(`{"a":1}`))
	if err := part.Commit(t.Context(), &pipeline.Tally{}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"10\n" + `{"instance":2,"key":"k","error":{"phase":"predict","type":"ValueError","message":"no","traceback":"Traceback"},` +
			`"source":{"uri":"in/a.jsonl","line":17,"offset":2210}}` + "\n30\n",
		`{"a":1}` + "\n",
	}
	if diff := cmp.Diff(want, out.writes); diff != "" {
		t.Error(diff)
	}
	if err := errors.Join(part.Discard(), sink.Close()); err != nil {
		t.Error(err)
	}
}

func TestLinesHoldOneSplit(t *testing.T) {
	t.Parallel()
	sink := sinks.NewLines(&recorder{})
	open(t, sink, first)
	if _, err := sink.Open(t.Context(), second); err == nil || !strings.Contains(err.Error(), string(second)) {
		t.Errorf("got %v", err)
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestLinesTellOfAWriterThatIsGoneAndOfBrokenText(t *testing.T) {
	t.Parallel()
	part := open(t, sinks.NewLines(closedPipe{}), first)
	err := part.Write(t.Context(), &pipeline.Batch{Instances: []pipeline.Instance{row("1")}}, []pipeline.Outcome{predicted("1")})
	if err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("got %v", err)
	}
	var out recorder
	part = open(t, sinks.NewLines(&out), first)
	err = part.Write(t.Context(), &pipeline.Batch{First: 5, Instances: []pipeline.Instance{row("1"), row("2")}}, []pipeline.Outcome{predicted("1"), {}})
	if err == nil || !strings.Contains(err.Error(), "instance 6") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"1\n"}, out.writes); diff != "" {
		t.Error(diff)
	}
	if err := part.Write(t.Context(), &pipeline.Batch{}, []pipeline.Outcome{{}}); err == nil {
		t.Error("outcomes without instances")
	}
}
