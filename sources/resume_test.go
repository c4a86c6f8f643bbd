package sources_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/sources"
)

// seeded returns a source of chance that a failed test can be repeated with.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 5))
}

// randomContent is a file with all that a file may have.
func randomContent(r *rand.Rand, lines int) string {
	var content strings.Builder
	if r.IntN(3) == 0 {
		content.WriteString("\ufeff")
	}
	for range r.IntN(lines) {
		switch r.IntN(8) {
		case 0:
			content.WriteString([]string{"", " ", "\t \r", strings.Repeat(" ", 60)}[r.IntN(4)])
		case 1:
			content.WriteString(strings.Repeat("x", r.IntN(100))) // not JSON, perhaps too long
		default:
			fmt.Fprintf(&content, "[%d]", r.IntN(100000))
		}
		content.WriteString([]string{"\n", "\n", "\r\n"}[r.IntN(3)])
	}
	if r.IntN(2) == 0 {
		content.WriteString(`"last"`)
	}
	return content.String()
}

// randomInput writes files of all kinds, and plans them: ranges, small ones that share a
// split, compressed ones.
func randomInput(t *testing.T, r *rand.Rand) (sources.JSONLConfig, []pipeline.PlannedSplit) {
	t.Helper()
	dir := t.TempDir()
	for i := range 1 + r.IntN(6) {
		content := randomContent(r, 40)
		switch r.IntN(4) {
		case 0:
			content = gzipped(t, content[:len(content)/2]) + gzipped(t, content[len(content)/2:])
		case 1:
			content = zstandard(t, content)
		}
		write(t, dir, fmt.Sprintf("in/%d", i), content)
	}
	cfg := config("in")
	cfg.SplitSize, cfg.MaxLine = pipeline.Bytes(20+r.IntN(400)), 50
	splits := plan(t, dir, cfg)
	if len(splits) > 0 && r.IntN(3) == 0 {
		splits[r.IntN(len(splits))].Limit = 1 + r.Int64N(10)
	}
	return cfg, splits
}

func randomLimits(r *rand.Rand) pipeline.Limits {
	return pipeline.Limits{Instances: 1 + r.IntN(7), Bytes: r.Int64N(60)}
}

// open returns one split of a plan, of a source of its own.
func open(t *testing.T, cfg sources.JSONLConfig, splits []pipeline.PlannedSplit, i int) pipeline.Split {
	t.Helper()
	split, err := sources.NewJSONL(objects.NewLocal(), cfg, sources.Rows{}, newWork(splits, i)).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return split
}

// numbered checks that batches begin where they say.
type numbered struct {
	pipeline.Split
	t    *testing.T
	next int64
}

func (n *numbered) Read(ctx context.Context, b *pipeline.Batch) error {
	err := n.Split.Read(ctx, b)
	if b.First != n.next {
		n.t.Errorf("a batch begins at %d; want %d", b.First, n.next)
	}
	n.next += int64(len(b.Instances))
	return err
}

// TestSkipping compares what is read behind a skip with an undisturbed reading.
func TestSkipping(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	for range 40 {
		cfg, splits := randomInput(t, r)
		for i := range splits {
			want, extent, err := readSplit(t.Context(), open(t, cfg, splits, i), randomLimits(r))
			if err != nil {
				t.Fatal(err)
			}
			checkSkips(t, r, cfg, splits, i, want, extent)
		}
	}
}

func checkSkips(t *testing.T, r *rand.Rand, cfg sources.JSONLConfig, splits []pipeline.PlannedSplit, i int, want []row, extent pipeline.Extent) {
	t.Helper()
	n := len(want)
	for _, k := range []int{0, r.IntN(n + 1), n} {
		split := &numbered{open(t, cfg, splits, i), t, int64(k)}
		if err := split.Skip(t.Context(), int64(k)); err != nil {
			t.Fatal(err)
		}
		got, end, err := readSplit(t.Context(), split, randomLimits(r))
		if err != nil {
			t.Fatal(err)
		}
		if diff := firstDiff(want[k:], got); diff != "" {
			t.Errorf("%+v behind %d of %d: %s", splits[i], k, n, diff)
		}
		if diff := cmp.Diff(extent, end); diff != "" {
			t.Errorf("%+v behind %d of %d: %s", splits[i], k, n, diff)
		}
	}
	split := open(t, cfg, splits, i)
	err := split.Skip(t.Context(), int64(n)+1)
	checkTooFew(t, err, splits[i].Pieces[0].URI)
	if again := split.Read(t.Context(), &pipeline.Batch{Limits: limits}); again != err {
		t.Errorf("read behind it: %v", again)
	}
}

func checkTooFew(t *testing.T, err error, uri string) {
	t.Helper()
	var e *pipeline.Error
	if !errors.As(err, &e) || e.Remedy != pipeline.FixInput || e.Phase != pipeline.PhaseRead || e.Hint == "" {
		t.Fatalf("%#v", err)
	}
	if !strings.Contains(e.Message, uri) || !strings.Contains(e.Message, "has fewer instances than an earlier attempt sealed") {
		t.Error(e)
	}
}

func TestSkippingEndsWithItsContextAndWithAFault(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	r, w := io.Pipe()
	defer w.Close()
	split, err := sources.NewReader(r, "-", config("-"), sources.Rows{}).Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- split.Skip(ctx, 3) }()
	if _, err := io.WriteString(w, "1\n2\n"); err != nil {
		t.Fatal(err)
	}
	cancel(enough)
	if err := <-done; err != enough {
		t.Errorf("skip: %v", err)
	}
	if err := split.Skip(ctx, 0); err != enough {
		t.Errorf("skip of nothing: %v", err)
	}
	_ = split.Settle(t.Context(), enough)

	cut := gzipped(t, strings.Repeat("[1]\n", 100))
	split, err = sources.NewReader(strings.NewReader(cut[:len(cut)-5]), "in.gz", config("-"), sources.Rows{}).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var e *pipeline.Error
	if err := split.Skip(t.Context(), 101); !errors.As(err, &e) || !strings.Contains(e.Message, "in.gz") || !strings.Contains(e.Message, "cut") {
		t.Errorf("a file that is cut: %v", err)
	}
}

// What is in memory already is not read on either: the run is to end.
func TestReadLooksAtItsContextFirst(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	split, err := sources.NewReader(bytes.NewReader([]byte("1\n2\n3\n")), "-", config("-"), sources.Rows{}).Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b := pipeline.Batch{Limits: pipeline.Limits{Instances: 1}}
	if err := split.Read(ctx, &b); err != nil {
		t.Fatal(err)
	}
	cancel(enough)
	if err := split.Read(ctx, &b); err != enough {
		t.Errorf("read: %v", err)
	}
	_ = split.Settle(t.Context(), enough)
}
