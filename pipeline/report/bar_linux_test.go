package report_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/report"
)

// terminal is a pseudoterminal of 100 columns, and the screen that stands behind it.
func terminal(t *testing.T) (screen *os.File, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

// readUntil reads the screen until it has shown a text, and returns all it has shown.
func readUntil(t *testing.T, screen *os.File, text string) string {
	t.Helper()
	var seen strings.Builder
	chunk := make([]byte, 4096)
	for !strings.Contains(seen.String(), text) {
		n, err := screen.Read(chunk)
		if err != nil {
			t.Fatalf("%v behind %q", err, seen.String())
		}
		seen.Write(chunk[:n])
	}
	return seen.String()
}

// rows is what a terminal shows after obeying text: carriage returns, line feeds, the
// cursor moved up, and lines cleared to their end or whole.
func rows(t *testing.T, text string) []string {
	t.Helper()
	screen, row, column := []string{""}, 0, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\r':
			column = 0
		case '\n':
			row++
			if row == len(screen) {
				screen = append(screen, "")
			}
		case '\x1b':
			end := i + strings.IndexAny(text[i:], "ABCDJKhl")
			n := 1
			_, _ = fmt.Sscanf(text[i:end], "\x1b[%d", &n)
			switch text[end] {
			case 'A':
				row = max(0, row-n)
			case 'J': // from the cursor on
				screen = append(screen[:row:row], screen[row][:min(column, len(screen[row]))])
			case 'K':
				screen[row] = ""
			default:
				t.Fatalf("unknown escape %q", text[i:end+1])
			}
			i = end
		default:
			screen[row] = (screen[row] + strings.Repeat(" ", max(0, column-len(screen[row]))))[:column] + string(c)
			column++
		}
	}
	return screen
}

func TestTheBarLeavesOnlyTheLogsBehind(t *testing.T) {
	t.Parallel()
	screen, tty := terminal(t)
	var counters pipeline.Counters
	counters.Read.Store(1000)
	counters.BytesRead.Store(50)
	counters.Predicted.Store(999)
	counters.Failed.Store(1)
	p := report.NewProgress(tty, report.Auto)
	write := func(text string) {
		if _, err := p.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n")
	p.Start(report.Watch{Counters: &counters, Bytes: 100, Workers: workers(2, 2)})
	shown := readUntil(t, screen, "50 %, 999 predicted, 1 failed, workers 2/2")
	if !strings.Contains(shown, "[====================                    ] 50 %") {
		t.Errorf("no bar in %q", shown)
	}
	write("in two ")
	write("pieces\nand one unfinished")
	shown += readUntil(t, screen, "pieces")
	counters.Predicted.Store(1999)
	counters.Read.Store(2000)
	shown += readUntil(t, screen, "1,999 predicted")
	p.Stop()
	p.Stop()
	write("after\n")
	shown += readUntil(t, screen, "after\r\n")

	want := []string{"before", "in two pieces", "and one unfinished", "after", ""}
	got := rows(t, shown)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the screen shows %q after %q", got, shown)
	}
}
