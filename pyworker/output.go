package pyworker

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// The bounds of what is kept of a worker's output.
const (
	longestLine = 8 << 10
	tailLines   = 20
	tailBytes   = 8 << 10
)

// Stream is one of a worker's two streams.
type Stream string

// The streams.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Line is one line that a worker has written, without its end and cut at 8 KiB.
type Line struct {
	Worker int // its number in the pool, from 0
	Stream Stream
	Text   string
}

// output keeps the last lines of a worker.
type output struct {
	mu   sync.Mutex
	last map[Stream][]string
}

// capture hands each line of a stream to sink until the stream ends. What is longer than
// a line may be is read and dropped, so that the child never waits.
func (o *output) capture(r io.Reader, number int, stream Stream, sink func(Line)) {
	chunk := make([]byte, 32<<10)
	var line []byte
	finish := func() {
		text := strings.ToValidUTF8(strings.TrimRight(string(line), "\r"), "\uFFFD")
		line = line[:0]
		for len(text) > longestLine { // what stands for a wrong byte is longer than it
			_, n := utf8.DecodeLastRuneInString(text)
			text = text[:len(text)-n]
		}
		o.keep(stream, text)
		if sink != nil {
			sink(Line{Worker: number, Stream: stream, Text: text})
		}
	}
	for {
		n, err := r.Read(chunk)
		rest := chunk[:n]
		for len(rest) > 0 {
			piece, after, ended := bytes.Cut(rest, []byte{'\n'})
			line = append(line, piece[:min(len(piece), longestLine-len(line))]...)
			rest = after
			if ended {
				finish()
			}
		}
		if err != nil {
			if len(line) > 0 {
				finish()
			}
			return
		}
	}
}

func (o *output) keep(stream Stream, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := append(o.last[stream], text)
	size := 0
	for i := len(lines) - 1; i >= 0; i-- {
		size += len(lines[i]) + 1
		if len(lines)-i > tailLines || size > tailBytes && i < len(lines)-1 {
			lines = append(lines[:0], lines[i+1:]...)
			break
		}
	}
	if o.last == nil {
		o.last = make(map[Stream][]string)
	}
	o.last[stream] = lines
}

// tail is the last lines of standard error, or where there are none, of standard output.
func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range []Stream{Stderr, Stdout} {
		if lines := o.last[s]; len(lines) > 0 {
			return strings.Join(lines, "\n")
		}
	}
	return ""
}
