package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// refresh is the time between two looks of the bar.
const refresh = 200 * time.Millisecond

// The widths between which the bar proper is drawn, its ends not counted.
const (
	minBar = 10
	maxBar = 40
)

// bar is one line at the foot of a terminal. Progress guards its Write.
type bar struct {
	out       io.Writer
	container *mpb.Progress
	row       *mpb.Bar
	rest      []byte // of a line that has not ended
}

func startBar(out io.Writer, m *meter) *bar {
	b := &bar{out: out, container: mpb.New(mpb.WithOutput(out), mpb.WithAutoRefresh(), mpb.WithRefreshRate(refresh))}
	b.row = b.container.New(0, filler{m}, mpb.BarFillerTrim())
	return b
}

// filler draws the line of a meter.
type filler struct{ meter *meter }

// Build makes the filler of the only bar.
func (f filler) Build() mpb.BarFiller { return f }

// Fill draws the line for a terminal of a width.
func (f filler) Fill(w io.Writer, stat decor.Statistics) error {
	_, err := io.WriteString(w, draw(f.meter.read(time.Now()), stat.AvailableWidth))
	return err
}

// draw fits a reading into a width: the text first, the bar where there is room.
func draw(r reading, width int) string {
	text := r.String()
	room := min(maxBar, width-len(text)-len("[] "))
	if r.percent >= 0 && room >= minBar {
		done := min(room, int(r.fraction*float64(room)))
		text = fmt.Sprintf("[%s%s] %s", strings.Repeat("=", done), strings.Repeat(" ", room-done), text)
	}
	return text[:max(0, min(len(text), width))]
}

// Write writes lines above the bar. What has no line break yet is kept: it would be drawn
// over.
func (b *bar) Write(text []byte) (int, error) {
	end := bytes.LastIndexByte(text, '\n') + 1
	if end == 0 {
		b.rest = append(b.rest, text...)
		return len(text), nil
	}
	lines := append(b.rest, text[:end]...)
	if err := b.above(lines); err != nil {
		return 0, err
	}
	b.rest = append([]byte(nil), text[end:]...)
	return len(text), nil
}

// above writes whole lines, also when the bar could not be drawn any more.
func (b *bar) above(lines []byte) error {
	if _, err := b.container.Write(lines); err == nil {
		return nil
	}
	_, err := b.out.Write(lines)
	return err
}

// stop clears the bar away.
func (b *bar) stop() {
	b.row.Abort(true)
	b.container.Wait()
	if len(b.rest) > 0 {
		// As with any log line: there is nobody to tell of an output that is gone.
		_, _ = b.out.Write(append(b.rest, '\n'))
		b.rest = nil
	}
}
