package report

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// Watch is what progress is read from, while the job runs.
type Watch struct {
	Counters *pipeline.Counters
	Workers  func() (ready, total int)
	Download func() (done, total int64) // bytes of the model and the packages; nil: there is none
	Bytes    int64                      // of the source, that are to be read
	Log      *slog.Logger               // where plain lines go, in its format; nil: to the output as they are
}

// The time over which a rate is taken, and the least between two looks that are kept.
const (
	rateWindow   = 30 * time.Second
	sampleEvery  = time.Second
	steadyEnough = 3 * time.Second // how long it must have gone on for a time left
)

// sample is how far a job was at a time.
type sample struct {
	at       time.Time
	done     int64   // instances
	fraction float64 // of the whole
}

// meter turns looks at a running job into rates. One goroutine uses it.
type meter struct {
	watch   Watch
	samples []sample // the last ones, oldest first
}

// reading is what progress shows.
type reading struct {
	started      bool // the first instances have been read
	predicted    int64
	failed       int64
	percent      int // -1: not known
	fraction     float64
	rate         float64       // instances a second; -1: not known
	left         time.Duration // -1: not known
	ready, total int           // workers
	got, want    int64         // bytes of a download
}

// read looks at the job.
func (m *meter) read(now time.Time) reading {
	c := m.watch.Counters
	read, predicted, failed := c.Read.Load(), c.Predicted.Load(), c.Failed.Load()
	r := reading{started: read > 0, predicted: predicted, failed: failed, percent: -1, rate: -1, left: -1}
	if m.watch.Workers != nil {
		r.ready, r.total = m.watch.Workers()
	}
	if !r.started {
		if m.watch.Download != nil {
			r.got, r.want = m.watch.Download()
		}
		return r
	}
	s := sample{at: now, done: predicted + failed}
	if m.watch.Bytes > 0 {
		// Reading runs ahead of predicting.
		ahead := min(1, float64(s.done)/float64(read))
		s.fraction = min(1, float64(c.BytesRead.Load())/float64(m.watch.Bytes)) * ahead
		r.fraction, r.percent = s.fraction, int(100*s.fraction)
	}
	m.keep(s)
	first := m.samples[0]
	passed := s.at.Sub(first.at)
	if passed <= 0 {
		return r
	}
	r.rate = float64(s.done-first.done) / passed.Seconds()
	if speed := (s.fraction - first.fraction) / passed.Seconds(); speed > 0 && passed >= steadyEnough {
		r.left = time.Duration((1 - s.fraction) / speed * float64(time.Second))
	}
	return r
}

func (m *meter) keep(s sample) {
	if n := len(m.samples); n == 0 || s.at.Sub(m.samples[n-1].at) >= sampleEvery {
		m.samples = append(m.samples, s)
	}
	for len(m.samples) > 2 && s.at.Sub(m.samples[1].at) >= rateWindow {
		m.samples = m.samples[1:]
	}
}

// String is the reading as one line, without a percentage where it is not known.
func (r reading) String() string {
	if !r.started {
		switch {
		case r.want > 0 && r.got < r.want:
			return fmt.Sprintf("downloading the model: %s of %s", megabytes(r.got), megabytes(r.want))
		case r.total == 0:
			return "starting"
		}
		return fmt.Sprintf("starting: %d of %s ready", r.ready, counted(int64(r.total), "worker"))
	}
	fields := []string{number(r.predicted) + " predicted"}
	if r.failed > 0 {
		fields = append(fields, number(r.failed)+" failed")
	}
	if r.rate >= 0 {
		fields = append(fields, rate(r.rate)+"/s")
	}
	if r.left >= 0 {
		fields = append(fields, duration(r.left.Round(time.Second))+" left")
	}
	if r.total > 0 {
		fields = append(fields, fmt.Sprintf("workers %d/%d", r.ready, r.total))
	}
	text := strings.Join(fields, ", ")
	if r.percent >= 0 {
		text = fmt.Sprintf("%d %%, %s", r.percent, text)
	}
	return text
}
