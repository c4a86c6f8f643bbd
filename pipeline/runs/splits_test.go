package runs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// many yields n splits like those of a large input.
func many(n int) iter.Seq2[pipeline.PlannedSplit, error] {
	return func(yield func(pipeline.PlannedSplit, error) bool) {
		for i := range n {
			p := pipeline.Piece{
				URI:        fmt.Sprintf("gs://acme-data/2026-11-22/customers-%07d.jsonl.gz", i),
				Generation: "1763769600123456", Size: 67108864, Sum: "0a1b2c3d", End: 67108864,
			}
			if !yield(pipeline.PlannedSplit{Pieces: []pipeline.Piece{p}}, nil) {
				return
			}
		}
	}
}

// heap is how much is held, as far as it is still needed.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// It does not run beside others, which need memory too.
func TestAPlanIsNotHeldInMemory(t *testing.T) {
	const n = 100_000
	before := heap()
	splits, err := runs.Spool(t.Context(), many(n))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = splits.Close() }()
	plan, err := runs.NewPlan("job", time.Now(), runs.Digest{}, splits)
	if err != nil {
		t.Fatal(err)
	}
	var written counter
	if err := plan.Write(&written); err != nil {
		t.Fatal(err)
	}
	if held := heap() - before; held > 40*n || written < 100*n {
		t.Errorf("%d bytes are held of a plan of %d", held, written)
	}
	if s, err := splits.At(n - 1); err != nil || s.ID != "099999-of-100000" || s.Pieces[0].URI != "gs://acme-data/2026-11-22/customers-0099999.jsonl.gz" {
		t.Errorf("%+v, %v", s, err)
	}
	if splits.Len() != n || splits.Files() != n || splits.Bytes(7) != 67108864 {
		t.Errorf("%d splits of %d files, %d bytes", splits.Len(), splits.Files(), splits.Bytes(7))
	}
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

func TestSplitsAreReadByMany(t *testing.T) {
	t.Parallel()
	splits, err := runs.Spool(t.Context(), many(300))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = splits.Close() }()
	want := all(t, splits)
	var readers sync.WaitGroup
	for k := range 8 {
		readers.Go(func() {
			for i := range splits.Len() {
				i = (i + k*37) % splits.Len()
				if s, err := splits.At(i); err != nil || !cmp.Equal(s, want[i]) {
					t.Errorf("split %d: %+v, %v", i, s, err)
				}
			}
		})
	}
	readers.Wait()
}

func TestSplitsKnowTheirNames(t *testing.T) {
	t.Parallel()
	splits, err := runs.Spool(t.Context(), many(12))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = splits.Close() }()
	for i := range splits.Len() {
		if got, ok := splits.Number(splits.ID(i)); got != i || !ok {
			t.Errorf("split %d is number %d, %v", i, got, ok)
		}
	}
	for _, id := range []pipeline.SplitID{"", "00012-of-00012", "00003-of-00013", "3-of-12", "-0001-of-00012", "+0003-of-00012", "00003-of-00012x", "00003", "x"} {
		if i, ok := splits.Number(id); ok {
			t.Errorf("%q is number %d", id, i)
		}
	}
}

func TestSplitsThatAreClosedAreNotRead(t *testing.T) {
	t.Parallel()
	splits, err := runs.Spool(t.Context(), many(2))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := splits.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := splits.At(0); err == nil {
		t.Error("a split is read")
	}
	for _, err := range splits.All() {
		if err == nil {
			t.Error("a split is read")
		}
	}
}

func TestSpoolingEndsWithTheFirstError(t *testing.T) {
	t.Parallel()
	fault := errors.New("a page is missing")
	faulty := func(yield func(pipeline.PlannedSplit, error) bool) {
		for s, err := range many(2) {
			if !yield(s, err) {
				return
			}
		}
		if yield(pipeline.PlannedSplit{}, fault) {
			t.Error("more is asked for behind an error")
		}
	}
	if splits, err := runs.Spool(t.Context(), faulty); !errors.Is(err, fault) || splits != nil {
		t.Errorf("%v, %v", splits, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errEnough)
	if splits, err := runs.Spool(ctx, many(2)); !errors.Is(err, errEnough) || splits != nil {
		t.Errorf("%v, %v", splits, err)
	}
}

func TestNoRoomForThePlanIsNamedWithItsRemedy(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()+"/gone")
	_, err := runs.Spool(t.Context(), many(2))
	asError(t, err, pipeline.TryAgain, "temporary file", "no such file", "TMPDIR")
}

// written is a plan as its file has it, by lines.
func written(t *testing.T, n int) []string {
	t.Helper()
	p := plan(n).planned(t)
	var b strings.Builder
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func TestAPlanThatIsNotWholeIsNotRead(t *testing.T) {
	t.Parallel()
	lines := written(t, 3)
	lines[3] += "\n"
	h, one, two, three := lines[0], lines[1], lines[2], lines[3]
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":                      {"", "line 1: the file ends too early"},
		"no line end":                  {strings.TrimSuffix(h, "\n"), "line 1: the file ends too early"},
		"the header alone":             {h, "line 2: the file ends too early"},
		"a split less":                 {h + one + two, "line 4: the file ends too early"},
		"torn in a split":              {h + one + two + three[:20], "line 4: the file ends too early"},
		"torn at the line end":         {h + one + two + strings.TrimSuffix(three, "\n"), "line 4: the file ends too early"},
		"a split doubled":              {h + one + one + three, "not those that were planned"},
		"splits exchanged":             {h + two + one + three, "not those that were planned"},
		"a split more":                 {h + one + two + three + three, "line 5: more splits than the header says"},
		"a second plan":                {strings.Repeat(h+one+two+three, 2), "line 5: more splits than the header says"},
		"a split that is none":         {h + one + "null and void\n" + three, "line 3: "},
		"no header":                    {one + two + three, "line 1: it names no format"},
		"a header of the last version": {`{"format":1,"run_id":"r","splits":1,"digest":{}}` + "\n{}\n", "line 1: format 1"},
		"a header of the next version": {`{"format":3,"layout":[`, "line 1: "},
	} {
		if _, err := runs.ReadPlan(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

func TestAPlanWithADamagedByteIsNotRead(t *testing.T) {
	t.Parallel()
	good := []byte(strings.Join(written(t, 2), "") + "\n")
	if p, err := runs.ReadPlan(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	} else if err := p.Splits.Close(); err != nil {
		t.Error(err)
	}
	splits := bytes.IndexByte(good, '\n') + 1
	for i := splits; i < len(good); i++ {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if p, err := runs.ReadPlan(bytes.NewReader(bad)); err == nil {
			t.Errorf("a plan is read with byte %d damaged: %q", i, bad[splits:])
			_ = p.Splits.Close()
		}
	}
}
