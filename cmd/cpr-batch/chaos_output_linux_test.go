package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

// chaosOutput is where a run's output is. read gives nil for what is not there.
type chaosOutput interface {
	names(t *testing.T) []string // of all that is below it, as seen from it, ordered
	read(t *testing.T, name string) []byte
}

// outputFolder is an output on disk.
type outputFolder string

func (o outputFolder) names(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(string(o), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // not begun, or removed meanwhile
		case err != nil || d.IsDir():
			return err
		}
		rel, err := filepath.Rel(string(o), path)
		names = append(names, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func (o outputFolder) read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(string(o), filepath.FromSlash(name)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return content
}

// outputBucket is an output in Cloud Storage, below a prefix that ends in a slash.
type outputBucket struct {
	server         *cloudtest.Server
	bucket, prefix string
}

func (o outputBucket) names(*testing.T) []string {
	var names []string
	for _, name := range o.server.Names(o.bucket) {
		if rest, ok := strings.CutPrefix(name, o.prefix); ok {
			names = append(names, rest)
		}
	}
	return names
}

// read takes the server's refusal of a name for its answer: a program that is at work may
// remove what was listed.
func (o outputBucket) read(t *testing.T, name string) (content []byte) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil && r != any(absent{}) {
			panic(r)
		}
	}()
	return o.server.Content(refusing{t}, o.bucket, o.prefix+name)
}

// refusing ends a look at the server, and not the test.
type refusing struct{ testing.TB }

type absent struct{}

func (refusing) Fatalf(string, ...any) { panic(absent{}) }

// results are the parts of an output by their names without the ending of a compression,
// decompressed and without the failures' tracebacks.
func results(t *testing.T, o chaosOutput) map[string]string {
	t.Helper()
	traceback := regexp.MustCompile(`"traceback":"(\\.|[^"\\])*"`)
	found := make(map[string]string)
	for _, name := range o.names(t) {
		if !strings.HasPrefix(name, "predictions-") && !strings.HasPrefix(name, "errors-") {
			continue
		}
		plain, text, err := decompressed(name, o.read(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		found[plain] = traceback.ReplaceAllString(string(text), `"traceback":""`)
	}
	return found
}

func decompressed(name string, content []byte) (string, []byte, error) {
	if plain, ok := strings.CutSuffix(name, ".gz"); ok {
		r, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return plain, nil, err
		}
		text, err := io.ReadAll(r)
		return plain, text, err
	}
	if plain, ok := strings.CutSuffix(name, ".zst"); ok {
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return plain, nil, err
		}
		defer r.Close()
		text, err := r.DecodeAll(content, nil)
		return plain, text, err
	}
	return name, content, nil
}

// wantResults compares an output with that of an undisturbed run, byte for byte.
func wantResults(t *testing.T, o chaosOutput, want map[string]string) {
	t.Helper()
	got := results(t, o)
	for name, text := range want {
		if other, ok := got[name]; !ok {
			t.Errorf("there is no %s", name)
		} else if other != text {
			wanted, lines := strings.SplitAfter(text, "\n"), strings.SplitAfter(other, "\n")
			i := 0
			for i < min(len(wanted), len(lines)) && wanted[i] == lines[i] {
				i++
			}
			around := func(all []string) []string { return all[min(i, len(all)):min(i+2, len(all))] }
			t.Errorf("%s has %d lines, want %d; from line %d on (-want +got):\n%s", name, len(lines)-1, len(wanted)-1, i+1, cmp.Diff(around(wanted), around(lines)))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("there is also %s", name)
		}
	}
}

// wantFinished demands that an output is that of a finished run and holds nothing else.
func wantFinished(t *testing.T, o chaosOutput) {
	t.Helper()
	names := o.names(t)
	if !slices.Contains(names, "_SUCCESS") || !slices.Contains(names, "report.json") {
		t.Errorf("_SUCCESS or the report is missing among %q", names)
	}
	for _, name := range names {
		top, _, _ := strings.Cut(name, "/")
		switch {
		case strings.HasPrefix(name, "predictions-"), strings.HasPrefix(name, "errors-"), name == "_SUCCESS", name == "report.json":
		case strings.HasPrefix(name, "_cpr-batch/commits/"), strings.HasPrefix(name, "_cpr-batch/logs/"), strings.HasPrefix(name, "_cpr-batch/removals/"):
		case strings.HasPrefix(name, "_cpr-batch/.tmp-"): // of one who was killed while it wrote one of these:
		case name == "_cpr-batch/plan.jsonl", name == "_cpr-batch/job.yaml", name == "_cpr-batch/report.json":
		case top == "_cpr-batch":
			t.Errorf("left behind: %s", name)
		default:
			t.Errorf("there is also %s", name)
		}
	}
}

// wantOnlyCommitted demands of an output of a run under way that a final name belongs to a
// committed part, and that the run does not pass for finished.
func wantOnlyCommitted(t *testing.T, o chaosOutput) {
	t.Helper()
	names := o.names(t)
	split := regexp.MustCompile(`^(predictions|errors)-([0-9]+-of-([0-9]+))\.`)
	published, total := 0, 0
	for _, name := range names {
		m := split.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		if !slices.Contains(names, "_cpr-batch/commits/"+m[2]+".json") {
			t.Errorf("%s is no committed part's", name)
		}
		if m[1] == "predictions" {
			published++
		}
		total, _ = strconv.Atoi(m[3])
	}
	if slices.Contains(names, "_FAILED") {
		t.Errorf("the run passes for failed: %s", o.read(t, "_FAILED"))
	}
	if slices.Contains(names, "_SUCCESS") && (total == 0 || published != total) {
		t.Errorf("the run passes for finished with %d of %d parts", published, total)
	}
}
