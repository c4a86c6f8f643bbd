package sources_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/sources"
)

// failureLine is what an errors file has of a row.
func failureLine(r row) string {
	instance, key := r.Echo, ""
	if !json.Valid([]byte(instance)) {
		text, _ := json.Marshal(instance)
		instance = `null,"text":` + string(text)
	} else if r.Line%2 == 0 {
		key = `,"key":{"source":1}`
	}
	uri, _ := json.Marshal(r.URI)
	source := fmt.Sprintf(`{"uri":%s,"line":%d`, uri, r.Line)
	if r.Offset >= 0 {
		source += fmt.Sprintf(`,"offset":%d`, r.Offset)
	}
	return fmt.Sprintf(`{"instance":%s%s,"error":{"phase":"predict","type":"ValueError","message":"{\"source\":{}}"},"source":%s}}`, instance, key, source) + "\n"
}

// failuresFile stores an errors file, and pins it.
func failuresFile(t *testing.T, content string) *pipeline.Piece {
	t.Helper()
	o, err := objects.NewLocal().Stat(t.Context(), write(t, t.TempDir(), "errors", content))
	if err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%08x", crc32.Checksum([]byte(content), crc32.MakeTable(crc32.Castagnoli)))
	return &pipeline.Piece{URI: o.Name, Generation: o.Generation, Size: o.Size, End: o.Size, Sum: sum}
}

// packed compresses as a sink may: in several members that are one file.
func packed(t *testing.T, r *rand.Rand, content string) string {
	t.Helper()
	half := strings.Index(content, "\n") + 1
	switch r.IntN(3) {
	case 0:
		return gzipped(t, content[:half]) + gzipped(t, content[half:])
	case 1:
		return zstandard(t, content[:half]) + zstandard(t, content[half:])
	}
	return content
}

// TestOnlyFailuresAreReadAgain compares with an undisturbed reading without the others.
func TestOnlyFailuresAreReadAgain(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	for range 40 {
		cfg, splits := randomInput(t, r)
		for i := range splits {
			all, _, err := readSplit(t.Context(), open(t, cfg, splits, i), limits)
			if err != nil {
				t.Fatal(err)
			}
			var want []row
			var lines strings.Builder
			for _, one := range all {
				if r.IntN(3) == 0 {
					want = append(want, one)
					lines.WriteString(failureLine(one))
				}
			}
			again := splits[i]
			again.Limit, again.Failures = 0, failuresFile(t, packed(t, r, lines.String()))
			retry := []pipeline.PlannedSplit{again}
			got, extent, err := readSplit(t.Context(), &numbered{open(t, cfg, retry, 0), t, 0}, randomLimits(r))
			if err != nil {
				t.Fatal(err)
			}
			if diff := firstDiff(want, got); diff != "" {
				t.Errorf("%+v: %s", again, diff)
			}
			var size int64
			for _, p := range again.Pieces {
				size += p.End - p.Start
			}
			if extent.Bytes != size {
				t.Errorf("%+v: %d of %d bytes are passed", again, extent.Bytes, size)
			}
			checkSkips(t, r, cfg, retry, 0, want, extent)
		}
	}
}

func TestAFailureKeepsItsLineAndItsTooLongText(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "in.jsonl", "[1]\n"+strings.Repeat("x", 60)+"\n[2]\n{oops\n")
	cfg := config("in.jsonl")
	cfg.MaxLine = 50
	splits := plan(t, dir, cfg)
	splits[0].Failures = failuresFile(t, failureLine(row{URI: "in.jsonl", Line: 1002, Offset: 4})+failureLine(row{URI: "in.jsonl", Line: 1004, Offset: 69, Echo: "{oops"}))
	split := open(t, cfg, splits, 0)
	b := pipeline.Batch{Limits: limits}
	if err := split.Read(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Instances) != 2 || b.Instances[0].Failure == nil || b.Instances[0].Failure.Text != strings.Repeat("x", 60) || string(b.Instances[1].Input) != "{oops" {
		t.Fatalf("%+v", b.Instances)
	}
	o := b.Instances[1].Origin
	if err := split.Locate(t.Context(), &o); err != nil || o != (pipeline.Origin{URI: "in.jsonl", Line: 1004, Offset: 69}) {
		t.Errorf("%+v, %v", o, err)
	}
	if err := split.Settle(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestFilesWithoutAFailureAreNotOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 50 {
		write(t, dir, fmt.Sprintf("in/%02d", i), "1\n2\n")
	}
	cfg := config("in")
	splits := plan(t, dir, cfg)
	splits[0].Failures = failuresFile(t, failureLine(row{"in/07", 2, 2, "2", ""})+failureLine(row{"in/31", 1, 0, "1", ""}))
	store := &countingStore{Store: objects.NewLocal()}
	rows, err := readAll(t.Context(), sources.NewJSONL(store, cfg, sources.Rows{}, sources.InOrder(splits...)), limits)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]row{{"in/07", 2, 2, "2", ""}, {"in/31", 1, 0, "1", ""}}, rows); diff != "" {
		t.Error(diff)
	}
	if n := store.opened.Load(); n != 3 {
		t.Errorf("%d files were opened; want these two and the failures", n)
	}
}

// A name that is not UTF-8 is shown with something in place of what is not.
func TestAFailureOfAFileWithABrokenName(t *testing.T) {
	t.Parallel()
	const shown = "in/a\ufffd\ufffdb"
	store := memtest.New()
	store.Put("in/a\xff\xfeb", []byte("1\n"))
	retry := func() ([]row, error) {
		splits, err := collect(sources.PlanJSONL(t.Context(), store, "", config("in"), 0))
		if err != nil {
			t.Fatal(err)
		}
		splits[0].Failures = stored(store, failureLine(row{shown, 1, 0, "1", ""}))
		return readAll(t.Context(), sources.NewJSONL(store, config("in"), sources.Rows{}, sources.InOrder(splits...)), limits)
	}
	rows, err := retry()
	if diff := cmp.Diff([]row{{"in/a\xff\xfeb", 1, 0, "1", ""}}, rows); diff != "" || err != nil {
		t.Error(err, diff)
	}
	store.Put("in/a\xfe\xfeb", []byte("1\n"))
	_, err = retry()
	checkRetryFault(t, err, "several files")
}

// stored keeps an errors file in a store in memory.
func stored(store *memtest.Store, content string) *pipeline.Piece {
	store.Put("errors", []byte(content))
	return &pipeline.Piece{URI: "errors", Size: int64(len(content)), End: int64(len(content))}
}

func checkRetryFault(t *testing.T, err error, parts ...string) {
	t.Helper()
	var e *pipeline.Error
	if !errors.As(err, &e) || e.Remedy != pipeline.FixInput || e.Phase != pipeline.PhaseRead || e.Hint == "" {
		t.Fatalf("%#v", err)
	}
	for _, part := range parts {
		if !strings.Contains(e.Message, part) {
			t.Errorf("%q is not in %s", part, e)
		}
	}
}

func TestPlacesThatAreNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "in/a", "1\n\n22\n3\n")
	write(t, dir, "in/b.gz", gzipped(t, "1\n\n2\n"))
	cfg := config("in")
	whole := plan(t, dir, cfg)[0]
	middle := whole
	middle.Pieces = []pipeline.Piece{whole.Pieces[0]}
	middle.Pieces[0].Start = 2
	a := func(line, offset int64) string { return failureLine(row{"in/a", line, offset, "1", ""}) }
	b := func(line, offset int64) string { return failureLine(row{"in/b.gz", line, offset, "1", ""}) }
	for _, tc := range []struct {
		name  string
		split pipeline.PlannedSplit
		lines string
		part  string
	}{
		{"no line begins there", whole, a(1, 0) + a(3, 4), "in line 2 an instance that is not there: in/a line 3 (byte 4): no line begins there"},
		{"the line is blank", whole, a(2, 2), "in/a line 2 (byte 2): the line is blank"},
		{"the file ends before", whole, a(4, 8), "the file, or this part of it, ends before"},
		{"the places are out of order", whole, a(3, 3) + a(1, 0), "in line 2 an instance that is not there: in/a line 1"},
		{"a place comes twice", whole, a(3, 3) + a(3, 3), "out of order"},
		{"the files are out of order", whole, b(1, -1) + a(1, 0), "no such file, or the places are out of order"},
		{"the file is another one", whole, failureLine(row{"in/c", 1, 0, "1", ""}), "in/c line 1 (byte 0): the split has no such file"},
		{"the line of a compressed file is blank", whole, b(1, -1) + b(2, -1), "in/b.gz line 2: the line is blank"},
		{"a compressed file ends before", whole, b(4, -1), "ends before"},
		{"a compressed file has no bytes", whole, b(1, 0), "compressed (gzip)"},
		{"a part of a file has no lines", middle, a(3, -1), "its byte is not said"},
		{"a place is before its part", middle, a(1, 0), "no line begins there"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.split.Failures = failuresFile(t, tc.lines)
			_, _, err := readSplit(t.Context(), open(t, cfg, []pipeline.PlannedSplit{tc.split}, 0), limits)
			checkRetryFault(t, err, tc.split.Failures.URI, tc.part)
		})
	}
}

func TestDamagedFailures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "in", "1\n2\n3\n")
	cfg := config("in")
	split := plan(t, dir, cfg)[0]
	line := failureLine(row{"in", 1, 0, "1", ""})
	second := failureLine(row{"in", 2, 2, "2", ""})
	const broken = `"error":{"phase":"predict"}`
	for _, tc := range []struct {
		name, content string
		damage        func(p *pipeline.Piece)
		part          string
	}{
		{"not JSON", line + second[:40] + "\n", nil, "line 2 is no failure line"},
		{"another kind of line", line + `{"instance":1,"prediction":2}` + "\n", nil, "line 2 is no failure line: it has no error with a source"},
		{"no object", "[1]\n", nil, "line 1 is no failure line"},
		{"no uri", `{` + broken + `,"source":{"line":1}}`, nil, "no uri"},
		{"no line", `{` + broken + `,"source":{"uri":"in","offset":0}}`, nil, "no line"},
		{"a line that is no number", `{` + broken + `,"source":{"uri":"in","line":1.5}}`, nil, "no line"},
		{"an offset that is none", `{` + broken + `,"source":{"uri":"in","line":1,"offset":-3}}`, nil, "no offset"},
		{"a file that is cut", gzipped(t, line+second)[:60], nil, "ends too early"},
		{"a file that is shorter than planned", line + second, func(p *pipeline.Piece) { p.Size += 10; p.Sum = "" }, fmt.Sprintf("ends behind %d of", len(line+second))},
		{"a file with another checksum", line + second, func(p *pipeline.Piece) { p.Sum = "00000001" }, "is damaged"},
		{"a compressed file with another checksum", gzipped(t, line+second), func(p *pipeline.Piece) { p.Sum = "00000001" }, "is damaged"},
		{"a file that has changed", line, func(p *pipeline.Piece) { p.Generation += "0" }, "has changed"},
		{"a file that is gone", line, func(p *pipeline.Piece) { _ = os.Remove(p.URI) }, "not any more"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			again := split
			again.Failures = failuresFile(t, tc.content)
			if tc.damage != nil {
				tc.damage(again.Failures)
			}
			_, _, err := readSplit(t.Context(), open(t, cfg, []pipeline.PlannedSplit{again}, 0), limits)
			checkRetryFault(t, err, filepath.Base(again.Failures.URI), tc.part)
		})
	}
}

// An input that has changed since is told as in a first run.
func TestAChangedFileIsNotReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, dir, "in", "1\n2\n")
	cfg := config("in")
	splits := plan(t, dir, cfg)
	splits[0].Failures = failuresFile(t, failureLine(row{"in", 1, 0, "1", ""}))
	splits[0].Pieces[0].Generation += "0"
	_, _, err := readSplit(t.Context(), open(t, cfg, splits, 0), limits)
	checkRetryFault(t, err, "in has changed")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, _, err = readSplit(t.Context(), open(t, cfg, splits, 0), limits)
	checkRetryFault(t, err, "in was there")
}

// TestMemoryDoesNotGrowWithTheFailures reads a split again of which all has failed.
func TestMemoryDoesNotGrowWithTheFailures(t *testing.T) {
	const n = 100_000
	var lines strings.Builder
	for i := range int64(n) {
		lines.WriteString(failureLine(row{"in", i + 1, 4 * i, "[1]", ""}))
	}
	store := memtest.New()
	store.Put("in", []byte(strings.Repeat("[1]\n", n)))
	splits, err := collect(sources.PlanJSONL(t.Context(), store, "", config("in"), 0))
	if err != nil {
		t.Fatal(err)
	}
	splits[0].Failures = stored(store, gzipped(t, lines.String()))
	lines.Reset()
	split, err := sources.NewJSONL(store, config("in"), sources.Rows{}, sources.InOrder(splits...)).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, most, read := liveHeap(), uint64(0), 0
	b := pipeline.Batch{Limits: pipeline.Limits{Instances: 1000}}
	for err == nil {
		err = split.Read(t.Context(), &b)
		read += len(b.Instances)
		most = max(most, liveHeap())
	}
	if err != io.EOF || read != n {
		t.Errorf("%d instances, %v", read, err)
	}
	if held := most - min(most, before); held > 4<<20 {
		t.Errorf("%d KiB are held", held>>10)
	}
}

// FuzzFailures reads again what any bytes say has failed: instances of the input in its
// order, or a fault that is told.
func FuzzFailures(f *testing.F) {
	for _, lines := range []string{
		failureLine(row{"in", 1, 0, "1", ""}) + failureLine(row{"in", 3, 3, "2", ""}), failureLine(row{"in", 3, -1, "2", ""}),
		failureLine(row{"in", 2, 2, "", ""}), `{"error":{},"source":{"uri":"in","line":1,"offset":0}}`, "\n\ufeff", "\x1f\x8b", `{"error":{},"source":[]}`,
	} {
		f.Add([]byte(lines))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		store := memtest.New()
		store.Put("in", []byte("1\n\n2\n3\n"))
		splits, err := collect(sources.PlanJSONL(t.Context(), store, "", config("in"), 0))
		if err != nil {
			t.Fatal(err)
		}
		splits[0].Failures = stored(store, string(content))
		rows, err := readAll(t.Context(), sources.NewJSONL(store, config("in"), sources.Rows{}, sources.InOrder(splits...)), limits)
		var e *pipeline.Error
		if err != nil && (!errors.As(err, &e) || e.Remedy != pipeline.FixInput || !strings.Contains(e.Message, "errors") || e.Hint == "") {
			t.Fatalf("%#v", err)
		}
		last := ""
		for _, r := range rows {
			if r.Echo <= last || r.Echo > "3" || len(r.Echo) != 1 {
				t.Errorf("%+v", rows)
			}
			last = r.Echo
		}
	})
}
