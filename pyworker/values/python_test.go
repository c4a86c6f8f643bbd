package values_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// oracle answers each text with three: 1 or 0 for whether json.loads takes it, the text
// decoded with replacement characters and written by json.dumps, and what was loaded,
// written by json.dumps, where that is a string (surrogates escaped).
const oracle = `
import json, struct, sys
def answer(b):
    sys.stdout.buffer.write(struct.pack("<I", len(b)) + b)
def dumps(s):
    return "".join("\\u%04x" % ord(c) if 0xd800 <= ord(c) < 0xe000 else c for c in json.dumps(s, ensure_ascii=False)).encode("utf-8")
while True:
    head = sys.stdin.buffer.read(4)
    if not head:
        break
    text = sys.stdin.buffer.read(struct.unpack("<I", head)[0])
    value = None
    try:
        value = json.loads(text.decode("utf-8"))
        answer(b"1")
    except RecursionError:
        answer(b"1")
    except ValueError as e:
        answer(b"1" if "Exceeds the limit" in str(e) else b"0")
    answer(dumps(text.decode("utf-8", "replace")))
    answer(dumps(value) if isinstance(value, str) else b"")
`

// TestPythonAgrees compares with a real Python on random and mutated texts.
func TestPythonAgrees(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	texts := randomTexts(rand.New(rand.NewPCG(seed, 1)), 20000)
	var in bytes.Buffer
	for _, text := range texts {
		in.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(text))))
		in.Write(text)
	}
	python := exec.Command("python3", "-c", oracle)
	python.Stdin, python.Stderr = &in, os.Stderr
	out, err := python.Output()
	if err != nil {
		t.Fatalf("run python3: %v", err)
	}
	answers, taken := bufio.NewReader(bytes.NewReader(out)), 0
	for _, text := range texts {
		ok := string(read(t, answers)) == "1"
		if err := values.Check(text); (err == nil) != ok {
			t.Errorf("%q: Python takes it: %v; Check: %v", text, ok, err)
		}
		if ok {
			taken++
		}
		if diff := cmp.Diff(string(read(t, answers)), string(values.AppendString(nil, values.Repair(text)))); diff != "" {
			t.Errorf("%q: repaired and quoted: %s", text, diff)
		}
		if s := read(t, answers); len(s) > 0 {
			got := values.AppendString(nil, values.AppendUnquoted(nil, bytes.TrimSpace(text)))
			if diff := cmp.Diff(string(s), string(got)); diff != "" {
				t.Errorf("%q: unquoted and quoted: %s", text, diff)
			}
		}
	}
	t.Logf("%d of %d taken", taken, len(texts))
	if taken < len(texts)/10 || taken > len(texts)*9/10 {
		t.Errorf("%d of %d texts taken: the texts do not probe the border", taken, len(texts))
	}
}

func read(t *testing.T, r *bufio.Reader) []byte {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.LittleEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}

var scalars = []string{
	"0", "-0", "1", "-12", "1.5", "-0.0", "1e5", "1E+5", "2e-7", "1E400", "123456789012345678901234567890", "true", "false", "null",
	"NaN", "Infinity", "-Infinity", `""`, `"a"`, `"\u00e9\n\\\"\/"`, `"é😀"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`,
	`"\ud83d\ud83d\ude00"`, `"\ud83d\n"`, "\"\x7f\u2028\"", `"a long string of more than eight bytes"`,
}

var spoilers = []string{
	"01", "1.", ".5", "+1", "-", "-NaN", "nan", "True", "1e", "1e+", "'a'", "\"\x00\"", "\"\x1f\"", `"\q"`, `"\u12"`, `"\u12g4"`, `"\ud83d\u12"`,
	"\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82", "\ufeff", "\v", "\f", "\u00a0", ",", ":", "]", "}", "[", "{", `"`, `\`, "١", "1_0", "0x1",
}

// randomTexts makes texts about half of which are JSON.
func randomTexts(r *rand.Rand, n int) [][]byte {
	pick := func(s []string) string { return s[r.IntN(len(s))] }
	space := func() string { return pick([]string{"", "", "", " ", "\t", "\n", "\r", "  "}) }
	var value func(depth int) string
	value = func(depth int) string {
		s := ""
		switch k := r.IntN(6); {
		case depth > 4 || k > 1:
			return space() + pick(scalars) + space()
		case k == 0:
			for i := range r.IntN(4) {
				if i > 0 {
					s += ","
				}
				s += value(depth + 1)
			}
			return space() + "[" + s + space() + "]" + space()
		}
		for i := range r.IntN(4) {
			if i > 0 {
				s += ","
			}
			s += space() + pick([]string{`"a"`, `"b"`, `"\u0061"`, `"é"`, `""`}) + space() + ":" + value(depth+1)
		}
		return "{" + space() + s + "}"
	}
	texts := make([][]byte, 0, n)
	for range n {
		text := []byte(value(0))
		for r.IntN(2) == 0 && len(text) > 0 {
			at := r.IntN(len(text))
			switch r.IntN(4) {
			case 0: // cut
				text = text[:at]
			case 1: // drop a byte
				text = append(text[:at:at], text[at+1:]...)
			case 2: // any byte
				text[at] = byte(r.IntN(256))
			case 3: // something wrong
				text = append(append(append([]byte{}, text[:at]...), pick(spoilers)...), text[at:]...)
			}
		}
		texts = append(texts, text)
	}
	return texts
}
