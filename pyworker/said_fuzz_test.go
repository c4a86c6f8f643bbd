package pyworker

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// FuzzFrames reads a stream of frames, whole and byte by byte: both give the same frames,
// no payload is over its limit, and all that is told is text within its bounds.
func FuzzFrames(f *testing.F) {
	greeting := testFrame(header{kind: kindGreeting}, `{"protocol":1,"encoding":"json","python":"3.11.7","thread":18446744073709551615}`)
	ready := testFrame(header{kind: kindReady}, `{"seconds":0.1}`)
	raised := testFrame(header{kind: kindRaised, sequence: 1, count: 2}, `{"kind":"retry","phase":"predict","type":"a.B","message":"\udc00","traceback":null}`)
	f.Add(append(append(greeting, ready...), raised...))
	f.Add(append(testFrame(header{kind: kindFailed}, `{"phase":"load","hint":"h"}`), "CPRB"...))
	f.Add(testFrame(header{kind: kindAnswer, sequence: 1<<64 - 1, count: 1<<32 - 1, flags: 255}, testAnswer("[]")))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1 << 12
		whole, slow := bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream))
		w := &worker{process: &process{output: &output{}}}
		for {
			a, err := readFrame(whole, limit)
			b, slowErr := readFrame(slow, limit)
			if diff := cmp.Diff(a, b, cmp.AllowUnexported(frame{}, header{})); diff != "" || !sameFault(err, slowErr) {
				t.Fatalf("%v, byte by byte %v: %s", err, slowErr, diff)
			}
			if err != nil {
				return
			}
			if len(a.payload) != int(a.length) || a.kind == kindAnswer && len(a.payload) > limit || len(a.payload) > longestNote {
				t.Fatalf("a payload of %d bytes", len(a.payload))
			}
			checkTold(t, w, a.payload)
		}
	})
}

func sameFault(a, b error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, errBroken} {
		if errors.Is(a, e) != errors.Is(b, e) {
			return false
		}
	}
	return (a == nil) == (b == nil)
}

// checkTold reads what a worker may say of an exception.
func checkTold(t *testing.T, w *worker, payload []byte) {
	t.Helper()
	told, err := readTold(payload)
	if err != nil {
		if !errors.Is(err, errBroken) {
			t.Fatalf("error %v", err)
		}
		return
	}
	e := told.callError(w)
	if e.Kind != pipeline.Raised && e.Kind != pipeline.Retry && e.Kind != pipeline.Memory || e.Died {
		t.Errorf("call error %+v", e)
	}
	for _, text := range []string{e.Failure.Type, e.Failure.Message, e.Failure.Traceback} {
		if len(text) > longestText || !utf8.ValidString(text) {
			t.Errorf("a text of %d bytes: %.100q", len(text), text)
		}
	}
}

// FuzzTrace takes what may stand in the file for stack traces: the Predictor may write
// there too.
func FuzzTrace(f *testing.F) {
	f.Add("Timeout (0:00:02)!\nThread 0x00000000000000aa (most recent call first):\n  File \"/pkg/a.py\", line 7 in <module>\n  ...\n")
	f.Add("Thread 0xaa [python3] (most recent call first):\n  File \"/pkg/../etc/passwd\", line 1 in f\n  File \"/run/worker.py\", line 3 in predict\n")
	f.Add("Current thread 0x00000000000000aa (most recent call first):\n  File \"/pkg/\", line 99999999999999999999 in \xff\n  <no Python frame>\n")
	f.Fuzz(func(t *testing.T, dump string) {
		text := stuckLines(dump, 0xaa, "/run/worker.py", stripper{{"/pkg/", ""}})
		if text == "" {
			return
		}
		if !strings.HasPrefix(text, "Traceback (most recent call last):\n") || len(text) > longestText || !utf8.ValidString(text) {
			t.Errorf("%q gives %q", dump, text)
		}
	})
}

// FuzzOutput takes what a worker may print, in pieces of any size.
func FuzzOutput(f *testing.F) {
	f.Add([]byte("one\r\ntwo\n\nthree"), uint16(2))
	f.Add([]byte("\xff\xe2\x82\n\x00"), uint16(1))
	f.Add(bytes.Repeat([]byte("long "), 2000), uint16(7000))
	f.Fuzz(func(t *testing.T, printed []byte, size uint16) {
		var lines []string
		o := &output{}
		o.capture(&pieces{rest: printed, size: int(size) + 1}, 3, Stderr, func(l Line) {
			if l.Worker != 3 || l.Stream != Stderr {
				t.Errorf("line %+v", l)
			}
			lines = append(lines, l.Text)
		})
		want := strings.Split(string(printed), "\n")
		if last := len(want) - 1; want[last] == "" {
			want = want[:last]
		}
		if len(lines) != len(want) {
			t.Fatalf("%d lines of %d", len(lines), len(want))
		}
		for i, line := range lines {
			whole := strings.ToValidUTF8(strings.TrimRight(want[i][:min(len(want[i]), longestLine)], "\r"), "\uFFFD")
			if line != whole && (len(line) < longestLine-2 || len(line) > longestLine || !strings.HasPrefix(whole, line)) {
				t.Errorf("line %d is %.100q, want %.100q", i, line, whole)
			}
		}
		if tail := o.tail(); len(tail) > tailBytes || strings.Count(tail, "\n") >= tailLines || !utf8.ValidString(tail) {
			t.Errorf("the tail has %d bytes: %q", len(tail), tail)
		}
	})
}

// pieces gives at most size bytes at a time.
type pieces struct {
	rest []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(len(p.rest), p.size)])
	p.rest = p.rest[n:]
	return n, nil
}
