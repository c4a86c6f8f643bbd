package report_test

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/report"
)

func workers(ready, total int) func() (int, int) { return func() (int, int) { return ready, total } }

func TestPlainProgressIsALineNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		var counters pipeline.Counters
		ready := 0
		p := report.NewProgress(&out, report.Auto) // no terminal
		p.Start(report.Watch{Counters: &counters, Bytes: 100_000, Workers: func() (int, int) { return ready, 4 }})
		pass := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		pass(2 * time.Second)
		ready = 4
		counters.Read.Add(1)
		counters.Failed.Add(1)
		for range 30 { // one percent a second
			counters.BytesRead.Add(1000)
			counters.Read.Add(120)
			counters.Predicted.Add(120)
			pass(time.Second)
		}
		if _, err := p.Write([]byte("a log line\n")); err != nil {
			t.Error(err)
		}
		p.Stop()
		p.Stop()
		pass(time.Minute)
		const want = `progress: starting: 0 of 4 workers ready
progress: 10 %, 1,200 predicted, 1 failed, 120/s, 1m30s left, workers 4/4
progress: 20 %, 2,400 predicted, 1 failed, 120/s, 1m20s left, workers 4/4
progress: 30 %, 3,600 predicted, 1 failed, 120/s, 1m10s left, workers 4/4
a log line
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReadingAheadIsNoProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		var counters pipeline.Counters
		p := report.NewProgress(&out, report.Plain)
		p.Start(report.Watch{Counters: &counters, Bytes: 1000, Workers: workers(1, 1)})
		counters.BytesRead.Store(1000) // all of it
		counters.Read.Store(400)
		counters.Predicted.Store(100)
		<-time.After(3 * time.Second)
		p.Stop()
		if !strings.Contains(out.String(), "25 %, 100 predicted") {
			t.Error(out.String())
		}
	})
}

func TestPlainProgressTakesTheLogsFormat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		var counters pipeline.Counters
		p := report.NewProgress(&out, report.Plain)
		log := slog.New(slog.NewJSONHandler(p, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		counters.Read.Store(10)
		counters.Predicted.Store(5)
		p.Start(report.Watch{Counters: &counters, Workers: workers(1, 2), Log: log})
		<-time.After(3 * time.Second)
		p.Stop()
		want := `{"level":"INFO","msg":"progress","predicted":5,"failed":0,"workers_ready":1,"workers":2,"instances_per_second":0}` + "\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNoProgressIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		p := report.NewProgress(&out, report.None)
		p.Start(report.Watch{Counters: new(pipeline.Counters)})
		<-time.After(time.Minute)
		p.Stop()
		if got := out.String(); got != "" {
			t.Error(got)
		}
	})
}

func TestModesAreRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"auto", "plain", "none"} {
		var m report.Mode
		if err := m.UnmarshalText([]byte(text)); err != nil || string(m) != text {
			t.Errorf("%s: %v, %v", text, m, err)
		}
	}
	var m report.Mode
	if err := m.UnmarshalText([]byte("loud")); err == nil || !strings.Contains(err.Error(), `"loud"`) {
		t.Errorf("got %v", err)
	}
}

func TestProgressTellsOfADownload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		var counters pipeline.Counters
		var got atomic.Int64
		p := report.NewProgress(&out, report.Auto)
		p.Start(report.Watch{
			Counters: &counters,
			Workers:  func() (int, int) { return 0, 0 },
			Download: func() (int64, int64) { return got.Load(), 4_200_000_000 },
		})
		for range 2 {
			<-time.After(10 * time.Second)
			synctest.Wait()
			got.Store(4_200_000_000)
		}
		p.Stop()
		const want = `progress: downloading the model: 0 MB of 4,200 MB
progress: starting
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	})
}
