package pyworker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

func testFrame(h header, payload string) []byte {
	h.length = uint32(len(payload))
	b := make([]byte, headerSize)
	putHeader(b, h)
	return append(b, payload...)
}

// testAnswer is the payload of an answer with failures (place and text) and predictions.
func testAnswer(predictions string, failures ...string) string {
	b := make([]byte, 24)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(failures)))
	for i, text := range failures {
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	return string(b) + predictions
}

func TestReadFrameRefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	good := testFrame(header{kind: kindAnswer, sequence: 7, count: 2}, "payload")
	for what, test := range map[string]struct {
		in   []byte
		want error
	}{
		"nothing":                {nil, io.EOF},
		"half a header":          {good[:10], io.ErrUnexpectedEOF},
		"no payload":             {good[:headerSize], io.ErrUnexpectedEOF},
		"half a payload":         {good[:headerSize+3], io.ErrUnexpectedEOF},
		"another magic":          {append([]byte("X"), good[1:]...), errBroken},
		"an unknown kind":        {testFrame(header{kind: 99}, ""), errBroken},
		"a kind for workers":     {testFrame(header{kind: kindPredict}, ""), errBroken},
		"a payload that is long": {testFrame(header{kind: kindAnswer}, strings.Repeat("x", 1001)), errBroken},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			if f, err := readFrame(bytes.NewReader(test.in), 1000); !errors.Is(err, test.want) {
				t.Errorf("%+v, %v; want %v", f, err, test.want)
			}
		})
	}
	long := bytes.Repeat([]byte("x"), 5<<20)
	f, err := readFrame(bytes.NewReader(testFrame(header{kind: kindAnswer, sequence: 7, count: 2}, string(long))), 6<<20)
	if err != nil || f.sequence != 7 || f.count != 2 || !bytes.Equal(f.payload, long) {
		t.Errorf("a long frame: %+v, %v", f.header, err)
	}
}

func TestReadAnswerRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	for what, payload := range map[string]string{
		"nothing":                    "",
		"no predictions":             testAnswer(""),
		"one prediction too few":     testAnswer("[1]"),
		"one prediction too many":    testAnswer("[1,2,3]"),
		"an object":                  testAnswer(`{"a":1}`),
		"text that is no JSON":       testAnswer("[1,"),
		"text behind":                testAnswer("[1,2]3"),
		"bad UTF-8":                  testAnswer("[1,\"\xff\"]"),
		"a failure and all":          testAnswer("[1,2]", `{"phase":"read"}`),
		"a failure that is no JSON":  testAnswer("[1]", `{`),
		"a failure of another phase": testAnswer("[1]", `{"phase":"write"}`),
		"more failures than places":  testAnswer("[]", `{"phase":"read"}`, `{"phase":"read"}`, `{"phase":"read"}`),
		"a failure cut short":        testAnswer("", `{"phase":"read"}`)[:36],
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			o, _, err := readAnswer(newTestCall("1", "2"), frame{payload: []byte(payload)}, 0)
			if !errors.Is(err, errBroken) {
				t.Errorf("%q, %v", shown(o), err)
			}
		})
	}
	c := newTestCall("1", "2")
	o, _, err := readAnswer(c, frame{header: header{flags: flagNonFinite}, payload: []byte(testAnswer("[NaN]", `{"phase":"read","type":"T","message":"M"}`))}, values.AsNull)
	if diff := cmp.Diff([]string{"! read T: M", "null"}, shown(o)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// FuzzAnswer takes what a hostile worker may send: it must be refused, or give each
// instance one outcome.
func FuzzAnswer(f *testing.F) {
	f.Add(testFrame(header{kind: kindAnswer, count: 2}, testAnswer("[1,[2]]")))
	f.Add(testFrame(header{kind: kindAnswer, count: 2, flags: 1}, testAnswer("[NaN]", `{"phase":"encode","type":"T"}`)))
	f.Add(testFrame(header{kind: kindRaised}, `{"kind":"memory","message":"\ud800"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newTestCall("1", "2")
		fr, err := readFrame(bytes.NewReader(b), 1<<16)
		if err != nil {
			return
		}
		if told, err := readTold(fr.payload); err == nil && len(told.failure().Message) > longestText {
			t.Error("a message over its limit")
		}
		for _, as := range []values.NonFinite{0, values.AsNull, values.AsString} {
			o, _, err := readAnswer(c, fr, as)
			if err != nil {
				continue
			}
			if len(o) != len(c.Instances) {
				t.Fatalf("%d outcomes", len(o))
			}
			for _, one := range o {
				if (one.Failure == nil) == (one.Prediction == nil) {
					t.Errorf("outcome %+v", one)
				}
			}
		}
	})
}

// playHostile makes the test binary a worker that breaks the rules in the way that its
// environment names.
func playHostile() {
	dir := filepath.Dir(os.Args[len(os.Args)-2])
	requests, err := os.OpenFile(filepath.Join(dir, "requests"), os.O_RDONLY, 0)
	if err != nil {
		os.Exit(90)
	}
	answers, err := os.OpenFile(filepath.Join(dir, "answers"), os.O_WRONLY, 0)
	if err != nil {
		os.Exit(91)
	}
	say := func(k kind, sequence uint64, count uint32, payload string) {
		_, _ = answers.Write(testFrame(header{kind: k, sequence: sequence, count: count}, payload))
	}
	skip := func() { // one frame of the program's
		var b [headerSize]byte
		if _, err := io.ReadFull(requests, b[:]); err != nil {
			os.Exit(0)
		}
		_, _ = io.CopyN(io.Discard, requests, int64(binary.LittleEndian.Uint32(b[20:])))
	}
	greet := func() { say(kindGreeting, 0, 0, `{"protocol":1,"encoding":"json","python":"3.99"}`) }
	way := os.Getenv("HOSTILE")
	skip()
	skip()
	switch way {
	case "garbage":
		_, _ = answers.WriteString(strings.Repeat("garbage ", 1000))
	case "ready without a greeting":
		say(kindReady, 0, 0, "{}")
	case "another protocol":
		say(kindGreeting, 0, 0, `{"protocol":2,"encoding":"json"}`)
	default:
		greet()
		say(kindReady, 0, 0, "{}")
		skip()
		hostileAnswer(way, say)
	}
	skip() // until it is killed
}

func hostileAnswer(way string, say func(kind, uint64, uint32, string)) {
	switch way {
	case "a second ready":
		say(kindReady, 0, 0, "{}")
	case "another sequence":
		say(kindAnswer, 2, 1, testAnswer("[1]"))
	case "another count":
		say(kindAnswer, 1, 2, testAnswer("[1,2]"))
	case "too many predictions":
		say(kindAnswer, 1, 1, testAnswer("[1,2]"))
	case "an exception that is no JSON":
		say(kindRaised, 1, 1, "{")
	case "an answer and its end":
		say(kindAnswer, 1, 1, testAnswer("[1]"))
		os.Exit(3)
	case "half an answer":
		b := testFrame(header{kind: kindAnswer, sequence: 1, count: 1}, testAnswer("[1]"))
		file, err := os.OpenFile(filepath.Join(filepath.Dir(os.Args[len(os.Args)-2]), "answers"), os.O_WRONLY, 0)
		if err == nil {
			_, _ = file.Write(b[:len(b)-1])
		}
		os.Exit(3)
	}
}

func hostileConfig(t *testing.T, way string) PoolConfig {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := poolConfig(t, "echo")
	cfg.Interpreter = self
	cfg.Env = map[string]string{roleVariable: "hostile", "HOSTILE": way}
	return cfg
}

func TestPoolTakesAHostileWorkerForACrash(t *testing.T) {
	t.Parallel()
	for way, message := range map[string]string{
		"a second ready":               "broken frame: kind 66 out of turn",
		"another sequence":             "broken frame: answer 2 of 1 instances to no call",
		"another count":                "broken frame: answer 1 of 2 instances to no call",
		"too many predictions":         "broken frame: 2 predictions and 0 failures for 1 instances",
		"an exception that is no JSON": "broken frame: unexpected end of JSON input",
		"half an answer":               "exit status 3",
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			e := callError(t, startPool(t, hostileConfig(t, way)), newTestCall("1"))
			if e.Kind != pipeline.Crashed || !e.Died || e.Failure.Message != message {
				t.Errorf("call error: %+v", e)
			}
		})
	}
}

func TestPoolTakesAnAnswerThatAWorkerLeavesBehind(t *testing.T) {
	t.Parallel()
	p := startPool(t, hostileConfig(t, "an answer and its end"))
	for range 5 {
		if diff := cmp.Diff([]string{"1"}, predict(t, p, newTestCall("1"))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestPoolEndsWhenNoWorkerCanBeUnderstood(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"garbage", "ready without a greeting", "another protocol"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			cfg := hostileConfig(t, way)
			e := loadError(t, cfg)
			if e.Remedy != pipeline.FixInput || !strings.HasPrefix(e.Message, "the worker could not be understood: broken frame: ") {
				t.Errorf("error: %+v", e)
			}
		})
	}
}

func TestStuckLinesShowTheMainThread(t *testing.T) {
	t.Parallel()
	frames := func(n int) string { return strings.Repeat("  File \"/pkg/a.py\", line 3 in down\n", n) }
	dump := "Timeout (0:00:01)!\nThread 0x00000000000000aa (most recent call first):\n  File \"/pkg/old.py\", line 1 in old\n" +
		"Timeout (0:00:02)!\nThread 0x00000000000000bb (most recent call first):\n  File \"/pkg/b.py\", line 1 in other\n\n" +
		"Thread 0x00000000000000aa [python3] (most recent call first):\n  File \"/pkg/a.py\", line 7 in <module>\n" + frames(2) +
		"  ...\n  File \"/run/worker.py\", line 3 in predict\n\nThread 0x00000000000000cc (most recent call first):\n  <no Python frame>\n"
	strip := stripper{{"/pkg/", ""}}
	want := "Traceback (most recent call last):\n  ...\n" + strings.Repeat("  File \"a.py\", line 3, in down\n", 2) + "  File \"a.py\", line 7, in <module>\n"
	if diff := cmp.Diff(want, stuckLines(dump, 0xaa, "/run/worker.py", strip)); diff != "" {
		t.Error(diff)
	}
	if got := stuckLines("", 0xaa, "", strip); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestOutputKeepsTheLastLines(t *testing.T) {
	t.Parallel()
	o := &output{}
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "line %d\r\n", i)
	}
	o.capture(strings.NewReader(text.String()+"no end"), 0, Stdout, nil)
	lines := strings.Split(o.tail(), "\n")
	if len(lines) != tailLines || lines[0] != "line 81" || lines[19] != "no end" {
		t.Errorf("tail: %q", lines)
	}
	o.capture(strings.NewReader(strings.Repeat(strings.Repeat("x", 3000)+"\n", 5)+"\nlast\n"), 0, Stderr, nil)
	if got := o.tail(); len(got) > tailBytes || !strings.HasSuffix(got, "x\n\nlast") || !strings.HasPrefix(got, "xxx") {
		t.Errorf("tail of %d bytes", len(got))
	}
}

func TestStripperKnowsThePlacesOfARun(t *testing.T) {
	t.Parallel()
	s := newStripper(&PoolConfig{Dir: "/run/1", ModelDir: "/run/1/model", Paths: []string{"/run/1/p0", "/run/1/p0/src"}})
	in := "/run/1/p0/src/a.py /run/1/p0/b.py /run/1/model/w.bin '/run/1/model' /run/1/other /etc"
	if diff := cmp.Diff("a.py b.py model/w.bin 'model' other /etc", s.clean(in)); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	p := startPool(b, poolConfig(b, "echo"))
	if err := p.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			var texts []string
			for range n {
				texts = append(texts, `[0.1, 1.2, 2.3, 3.4, 4.5, 5.6, 6.7, 7.8, 8.9, 9.1]`)
			}
			c := newTestCall(texts...)
			var times pipeline.Times
			for b.Loop() {
				answer, err := p.Predict(b.Context(), c)
				if err != nil {
					b.Fatal(err)
				}
				times.Add(answer.Times)
			}
			b.ReportMetric(float64(times.Decode.Microseconds())/float64(b.N), "decode-µs/op")
			b.ReportMetric(float64(times.Encode.Microseconds())/float64(b.N), "encode-µs/op")
		})
	}
}
