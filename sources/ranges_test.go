package sources_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/sources"
)

// reference reads lines the plain way.
func reference(uri string, content []byte, maxLine int) []row {
	var rows []row
	offset := 0
	for i, line := range bytes.SplitAfter(content, []byte("\n")) {
		text := bytes.TrimSuffix(line, []byte("\n"))
		r := row{URI: uri, Line: int64(i + 1), Offset: int64(offset)}
		offset += len(line)
		tooLong := len(text) > maxLine
		if i == 0 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if text = bytes.Trim(text, " \t\r"); len(text) == 0 {
			continue
		}
		if tooLong {
			r.Failure = "LineTooLong"
		} else {
			r.Echo = string(text)
		}
		rows = append(rows, r)
	}
	return rows
}

// cutAt cuts a file at the given bytes.
func cutAt(file objects.Object, uri string, cuts []int64) []pipeline.PlannedSplit {
	cuts = append(append([]int64{0}, cuts...), file.Size)
	var plan []pipeline.PlannedSplit
	for i := range len(cuts) - 1 {
		plan = append(plan, pipeline.PlannedSplit{ID: pipeline.NewSplitID(i, len(cuts)-1), Pieces: []pipeline.Piece{
			{URI: uri, Name: file.Name, Generation: file.Generation, Size: file.Size, Start: cuts[i], End: cuts[i+1]},
		}})
	}
	return plan
}

// checkRanges reads content in the given cuts and compares with the plain way; the
// splits are read and located side by side, some of them not at all.
func checkRanges(t *testing.T, content []byte, cuts []int64, maxLine int, limits pipeline.Limits, unread func(i int) bool) {
	t.Helper()
	const uri = "in.jsonl"
	store := objects.NewLocal()
	object, err := store.Stat(t.Context(), write(t, t.TempDir(), uri, string(content)))
	if err != nil {
		t.Fatal(err)
	}
	plan := cutAt(object, uri, cuts)
	cfg := config(uri)
	cfg.MaxLine = pipeline.Bytes(maxLine)
	source := sources.NewJSONL(store, cfg, sources.Rows{}, sources.InOrder(plan...))
	rows, extents := make([][]row, len(plan)), make([]pipeline.Extent, len(plan))
	var wg sync.WaitGroup
	for i := range plan {
		split, err := source.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			var err error
			if rows[i], extents[i], err = readSplit(t.Context(), split, limits); err != nil {
				t.Errorf("split %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	var all []row
	var sum pipeline.Extent
	for i := range plan {
		all = append(all, rows[i]...)
		sum.Lines += extents[i].Lines
		sum.Bytes += extents[i].Bytes
	}
	want := reference(uri, content, maxLine)
	if diff := firstDiff(want, all); diff != "" {
		t.Errorf("%.1000q cut at %v: %s", content, cuts, diff)
	}
	lines := int64(bytes.Count(content, []byte("\n")))
	if len(content) > 0 && content[len(content)-1] != '\n' {
		lines++
	}
	if diff := cmp.Diff(pipeline.Extent{Lines: lines, Bytes: int64(len(content))}, sum); diff != "" {
		t.Errorf("%.1000q cut at %v: extents: %s", content, cuts, diff)
	}
	checkLocate(t, store, cfg, plan, rows, unread)
}

// firstDiff shows the first difference: of many, cmp.Diff would take minutes.
func firstDiff(want, got []row) string {
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			return fmt.Sprintf("row %d: %s", i, cmp.Diff(want[i], got[i]))
		}
	}
	return cmp.Diff(len(want), len(got))
}

// checkLocate reads and locates some splits only, in any order: what is not known is
// counted.
func checkLocate(t *testing.T, store objects.Store, cfg sources.JSONLConfig, plan []pipeline.PlannedSplit, want [][]row, unread func(i int) bool) {
	t.Helper()
	source := sources.NewJSONL(store, cfg, sources.Rows{}, sources.InOrder(plan...))
	for i := range plan {
		split, err := source.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if unread(i) {
			continue
		}
		rows, _, err := readSplit(t.Context(), split, limits)
		if err != nil {
			t.Fatal(err)
		}
		if diff := firstDiff(want[i], rows); diff != "" {
			t.Errorf("split %d alone: %s", i, diff)
		}
	}
}

// TestRanges cuts random files at random places: each line is in exactly one split, in
// order, under its own offset and number.
func TestRanges(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	for range 300 {
		var content strings.Builder
		if r.IntN(3) == 0 {
			content.WriteString("\ufeff")
		}
		for i := range r.IntN(30) {
			switch r.IntN(6) {
			case 0:
				content.WriteString([]string{"", " ", "\t \r", "\r", strings.Repeat(" ", 60)}[r.IntN(5)])
			case 1:
				content.WriteString(strings.Repeat("x", r.IntN(100)))
			default:
				fmt.Fprintf(&content, "[%d]", i)
			}
			content.WriteString([]string{"\n", "\n", "\r\n"}[r.IntN(3)])
		}
		if r.IntN(2) == 0 {
			content.WriteString("last")
		}
		size := int64(content.Len())
		var cuts []int64
		for at := int64(0); ; {
			if at += 1 + r.Int64N(40); at >= size {
				break
			}
			cuts = append(cuts, at)
		}
		if size == 0 {
			continue
		}
		checkRanges(t, []byte(content.String()), cuts, 50, pipeline.Limits{Instances: 1 + r.IntN(5), Bytes: 1 + r.Int64N(100)},
			func(int) bool { return r.IntN(2) == 0 })
	}
}

// TestRangesAtEveryByte cuts one file at every byte, also one that is larger than what is
// read at a time.
func TestRangesAtEveryByte(t *testing.T) {
	t.Parallel()
	small := "\ufeff[1]\r\n\n[2]\n  \nxxxxxxxxxxxxxxxxxxxx\n[3]"
	for at := range int64(len(small)) {
		if at > 0 {
			checkRanges(t, []byte(small), []int64{at}, 10, limits, func(i int) bool { return i == 0 })
		}
	}
	large := strings.Repeat("y", 600<<10) + "\n" + strings.Repeat("["+strings.Repeat("1,", 40)+"2]\n", 3000)
	for _, cuts := range [][]int64{{1}, {100 << 10, 200 << 10, 590 << 10}, {600 << 10}, {600<<10 + 1}, {700 << 10, 800 << 10}} {
		for _, maxLine := range []int{100, 300 << 10, 1 << 20} {
			checkRanges(t, []byte(large), cuts, maxLine, pipeline.Limits{Instances: 1000}, func(int) bool { return false })
		}
	}
}

func FuzzRanges(f *testing.F) {
	f.Add([]byte("\ufeff1\r\n\n22\n 3"), uint16(2), uint16(5))
	f.Add([]byte("\n\n\nxxxxxxxxxxxxxxxxxxxx\n"), uint16(1), uint16(9))
	f.Fuzz(func(t *testing.T, content []byte, a, b uint16) {
		if len(content) < 3 || bytes.HasPrefix(content, []byte{0x1F, 0x8B}) {
			return
		}
		first := 1 + int64(a)%int64(len(content)-2)
		second := first + 1 + int64(b)%(int64(len(content))-first-1)
		checkRanges(t, content, []int64{first, second}, 10, pipeline.Limits{Instances: 2, Bytes: 6}, func(i int) bool { return i == 1 })
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("\ufeff1\r\n\n22\n 3"), uint8(3))
	f.Add([]byte("\n\n\nxxxxxxxxxxxxxxxxxxxx\n"), uint8(10))
	f.Fuzz(func(t *testing.T, content []byte, maxLine uint8) {
		cfg := config()
		cfg.MaxLine = pipeline.Bytes(maxLine)
		rows, err := readAll(t.Context(), sources.NewReader(bytes.NewReader(content), "-", cfg, sources.Rows{}), pipeline.Limits{Instances: 3})
		if err != nil {
			return // it looks compressed
		}
		if diff := cmp.Diff(reference("-", content, int(maxLine)), rows); diff != "" && !bytes.HasPrefix(content, []byte{0x1F, 0x8B}) {
			t.Errorf("%q: %s", content, diff)
		}
	})
}
