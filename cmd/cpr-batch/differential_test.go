package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cpr-batch/cpr-batch/pyworker/pythontest"
)

// longestLine is source.jsonl.max_line in these runs.
const longestLine = 64 << 10

// expectation is what expect.py has to know of a job.
type expectation struct {
	URI            string   `json:"uri"`
	Offsets        bool     `json:"offsets"`
	MaxLine        int      `json:"max_line"`
	MaxLineShown   string   `json:"max_line_shown"`
	NonFinite      string   `json:"non_finite"`
	KeyField       string   `json:"key_field"`
	IncludedFields []string `json:"included_fields"`
	ExcludedFields []string `json:"excluded_fields"`
	InstanceType   string   `json:"instance_type"`
	Instance       []string `json:"instance"`
	Bare           bool     `json:"bare"` // output.instance: none
}

// TestDifferential runs random lines, good and broken, through a Predictor that returns
// its instances, and compares all that is written, byte for byte, with what Python's json
// gives line by line.
//
// CPR_BATCH_DIFFERENTIAL_SEED repeats a run; CPR_BATCH_DIFFERENTIAL_LINES makes it longer.
func TestDifferential(t *testing.T) {
	t.Parallel()
	seed := fromEnvironment(t, "CPR_BATCH_DIFFERENTIAL_SEED", uint64(time.Now().UnixNano()))
	count := int(fromEnvironment(t, "CPR_BATCH_DIFFERENTIAL_LINES", 3000))
	found, err := pythontest.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ab := []string{"a", "b"}
	for i, c := range []struct {
		name string
		more string // of the job file
		want expectation
	}{
		{"as they are", "batch: {size: 7}", expectation{}},
		{"NaN is null", "output: {non_finite: \"null\"}", expectation{NonFinite: "null"}},
		{"NaN is a string", "output: {non_finite: string}\nbatch: {size: 1}", expectation{NonFinite: "string"}},
		{"compressed", "", expectation{URI: "in.jsonl.gz"}},
		{"with a key", "instance: {key_field: id}", expectation{KeyField: "id"}},
		{"with a key and some fields", "instance: {key_field: id, included_fields: [b, a]}\noutput: {non_finite: \"null\"}",
			expectation{KeyField: "id", IncludedFields: []string{"b", "a"}, NonFinite: "null"}},
		{"fields as an array", "instance: {instance_type: array, included_fields: [a, b]}\noutput: {non_finite: string}",
			expectation{InstanceType: "array", IncludedFields: ab, NonFinite: "string"}},
		{"rows as arrays", "instance: {instance_type: array}", expectation{InstanceType: "array"}},
		{"without some fields", "instance: {excluded_fields: [a, b]}", expectation{ExcludedFields: ab}},
		{"some fields are shown", "output: {instance: [b, id]}", expectation{Instance: []string{"b", "id"}}},
		{"no instance is shown", "output: {instance: none}", expectation{Bare: true}},
	} {
		python := found[i%len(found)] // what is compared is Python's: any will do, so each has its turn
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			t.Logf("CPR_BATCH_DIFFERENTIAL_SEED=%d, Python %s", seed, python.Version())
			g := &generator{Rand: rand.New(rand.NewPCG(seed, uint64(i))), deepest: 900}
			if i < 4 {
				g.deepest = 1 << 20
			}
			d := differential{dir: t.TempDir(), python: python.Path, want: c.want}
			d.write(t, g.file(count), c.more)
			d.run(t)
			d.compare(t)
		})
	}
}

func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// differential is one run and what it is compared with.
type differential struct {
	dir    string
	python string
	want   expectation
}

func (d *differential) path(name string) string { return filepath.Join(d.dir, name) }

// write writes the input, the Predictor and the job.
func (d *differential) write(t *testing.T, content []byte, more string) {
	t.Helper()
	w := &d.want
	w.MaxLine, w.MaxLineShown = longestLine, "64KiB"
	if w.NonFinite == "" {
		w.NonFinite = "error"
	}
	w.Offsets = w.URI == ""
	for _, fields := range []*[]string{&w.IncludedFields, &w.ExcludedFields, &w.Instance} {
		*fields = append([]string{}, *fields...) // null would be no list
	}
	files := map[string]string{"in.jsonl": string(content)}
	if w.URI == "" {
		w.URI = "in.jsonl"
	} else {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		files[w.URI] = b.String()
	}
	files["code/predictor.py"] = "class P:\n    @classmethod\n    def from_path(cls, model_dir):\n        return cls()\n\n" +
		"    def predict(self, instances):\n        return instances\n"
	// An odd size, so that ranges end anywhere; there are some 20 of them.
	files["job.yaml"] = fmt.Sprintf(`model: {package_uris: [code/], prediction_class: predictor.P}
source: {jsonl: {uris: [%s], split_size: %dB, max_line: 64KiB}}
sink: {jsonl: {uri: out/}}
python: {interpreter: %s}
workers: {count: 2}
errors: {max_failure_ratio: 1}
%s
`, w.URI, len(content)/20+1, d.python, more)
	writeAll(t, d.dir, files)
}

// run runs the job, and then the script that says what it must have written.
func (d *differential) run(t *testing.T) {
	t.Helper()
	program := exec.CommandContext(t.Context(), "cpr-batch", "run", "--config", d.path("job.yaml"))
	program.Env = append(os.Environ(), "HOME="+d.dir, "TMPDIR="+d.dir)
	if out, err := program.CombinedOutput(); err != nil {
		t.Fatalf("run the job: %v\n%s", err, out)
	}
	options, err := json.Marshal(d.want)
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join("testdata", "differential", "expect.py")
	expect := exec.CommandContext(t.Context(), d.python, script, d.path("in.jsonl"), string(options), d.path("predictions"), d.path("errors"))
	if out, err := expect.CombinedOutput(); err != nil {
		t.Fatalf("say what is expected: %v\n%s", err, out)
	}
}

// compare compares the parts, put together, with what is expected.
func (d *differential) compare(t *testing.T) {
	t.Helper()
	counts := map[string]int{}
	for _, kind := range []string{"predictions", "errors"} {
		want, err := os.ReadFile(d.path(kind))
		if err != nil {
			t.Fatal(err)
		}
		parts, err := filepath.Glob(d.path("out/" + kind + "-*.jsonl")) // in the order of their names
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, part := range parts {
			text, err := os.ReadFile(part)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, text...)
		}
		counts[kind] = bytes.Count(want, []byte("\n"))
		if !bytes.Equal(want, got) {
			t.Errorf("%s: %s", kind, firstDifference(want, got))
		}
	}
	if counts["predictions"] < 100 || counts["errors"] < 100 {
		t.Errorf("expected were %v: the lines do not probe the border", counts)
	}
}

// firstDifference shows the first lines that differ.
func firstDifference(want, got []byte) string {
	wanted, gotten := strings.SplitAfter(string(want), "\n"), strings.SplitAfter(string(got), "\n")
	for i := range min(len(wanted), len(gotten)) {
		if wanted[i] != gotten[i] {
			return fmt.Sprintf("line %d is\n\t%.2000q\nwant\n\t%.2000q", i+1, gotten[i], wanted[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(gotten), len(wanted))
}
