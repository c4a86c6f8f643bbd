package report

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Mode is how progress is shown: the values of `--progress`.
type Mode string

// The modes.
const (
	Auto  Mode = "auto"  // a bar on a terminal, else plain
	Plain Mode = "plain" // a line now and then, without escapes
	None  Mode = "none"
)

// UnmarshalText reads a mode.
func (m *Mode) UnmarshalText(text []byte) error {
	switch mode := Mode(text); mode {
	case Auto, Plain, None:
		*m = mode
		return nil
	}
	return fmt.Errorf("%q is none of auto, plain and none", text)
}

// MarshalText writes a mode.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m), nil }

// The times between plain lines.
const (
	plainFirst = 2 * time.Second
	plainEvery = 10 * time.Second
)

// Progress shows how far a job is, on one output that it shares with the logs: they are
// written to it, and come out above the bar. Its methods are safe for concurrent use.
type Progress struct {
	out  io.Writer
	mode Mode

	mu   sync.Mutex // of what follows, and of writing to out
	bar  *bar       // nil when none is shown
	stop func()     // ends the lines; nil where there are none
}

// NewProgress shows progress on out, which is a terminal or not.
func NewProgress(out io.Writer, mode Mode) *Progress {
	if mode == Auto && !isTerminal(out) {
		mode = Plain
	}
	return &Progress{out: out, mode: mode}
}

// isTerminal says whether out can show a bar.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// Start shows the progress of a job until Stop. A second Start stops the first.
func (p *Progress) Start(watch Watch) {
	p.Stop()
	m := &meter{watch: watch}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.mode {
	case Auto:
		p.bar = startBar(p.out, m)
	case Plain:
		p.stop = p.startLines(m)
	}
}

// Stop ends what is shown, and leaves the output to whoever writes next. It may be called
// twice.
func (p *Progress) Stop() {
	p.mu.Lock()
	if b := p.bar; b != nil {
		b.stop() // under the lock: what is written before the bar is gone would be drawn over
	}
	stop := p.stop
	p.bar, p.stop = nil, nil
	p.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// Write writes logs, in whole lines.
func (p *Progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		return p.bar.Write(text)
	}
	return p.out.Write(text)
}

// startLines writes a line soon, and then now and then. It looks more often: a rate is
// taken from what was seen.
func (p *Progress) startLines(m *meter) (stop func()) {
	end := make(chan struct{})
	next := time.Now().Add(plainFirst)
	var wait sync.WaitGroup
	wait.Go(func() {
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case now := <-ticker.C:
				r := m.read(now)
				if !now.Before(next) {
					p.line(m.watch.Log, r)
					next = now.Add(plainEvery)
				}
			}
		}
	})
	return func() {
		close(end)
		wait.Wait()
	}
}

func (p *Progress) line(log *slog.Logger, r reading) {
	if log != nil {
		log.Info("progress", r.attributes()...)
		return
	}
	// Nobody is helped when the output is gone: the job goes on.
	_, _ = fmt.Fprintf(p, "progress: %s\n", r)
}

// attributes is the reading for a log.
func (r reading) attributes() []any {
	out := []any{"predicted", r.predicted, "failed", r.failed, "workers_ready", r.ready, "workers", r.total}
	if r.rate >= 0 {
		out = append(out, "instances_per_second", rounded(r.rate))
	}
	if r.want > 0 {
		out = append(out, "downloaded", r.got, "download", r.want)
	}
	if r.percent >= 0 {
		out = append(out, "percent", r.percent)
	}
	if r.left >= 0 {
		out = append(out, "left", r.left.Round(time.Second).String())
	}
	return out
}

func rounded(f float64) float64 { return float64(int64(10*f+0.5)) / 10 }
