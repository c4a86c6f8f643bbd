package sources_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/sources"
)

// generated lists gs://b/in/0000000.jsonl and so on, and holds none of them.
type generated struct {
	objects.Store // nothing else is there
	n             int
	size          func(i int) int64
	fault         func(i int) error

	mu     sync.Mutex
	opened []string
}

func newGenerated(n int) *generated {
	return &generated{
		Store: memtest.New(), n: n,
		size:  func(int) int64 { return 100 },
		fault: func(int) error { return nil },
	}
}

func (s *generated) List(ctx context.Context, folder string) iter.Seq2[objects.Object, error] {
	return func(yield func(objects.Object, error) bool) {
		if folder != "gs://b/in" {
			return
		}
		for i := range s.n {
			o := objects.Object{Name: fmt.Sprintf("%s/%07d.jsonl", folder, i), Size: s.size(i), Generation: fmt.Sprintf("17000000%08d", i), Sum: fmt.Sprintf("%08x", i)}
			if err := s.fault(i); err != nil {
				o = objects.Object{}
				if !yield(o, err) {
					return
				}
				continue
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (s *generated) Open(_ context.Context, o objects.Object, _, _ int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = append(s.opened, o.Name)
	return io.NopCloser(strings.NewReader("[1]\n")), nil
}

// liveHeap is what is held after a collection.
func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAPlansMemoryDoesNotGrowWithTheNumberOfFiles plans with small files that share splits.
func TestAPlansMemoryDoesNotGrowWithTheNumberOfFiles(t *testing.T) {
	most := func(n int) uint64 {
		store := newGenerated(n)
		before, most, files := liveHeap(), uint64(0), 0
		for split, err := range sources.PlanJSONL(t.Context(), store, "", config("gs://b/in", "gs://b/in/*"), 0) {
			if err != nil {
				t.Fatal(err)
			}
			files += len(split.Pieces)
			most = max(most, liveHeap())
			runtime.KeepAlive(split)
		}
		if files != n {
			t.Errorf("%d files of %d are in the plan", files, n)
		}
		return most - min(most, before)
	}
	few, many := most(50_000), most(250_000)
	t.Logf("%d KiB for 50,000 files, %d KiB for 250,000", few>>10, many>>10)
	if many > few+few/2+1<<20 || many > 16<<20 {
		t.Errorf("%d KiB are held for 250,000 files, %d KiB for 50,000", many>>10, few>>10)
	}
}

func TestNoMoreThanTenThousandFilesShareASplit(t *testing.T) {
	t.Parallel()
	var got []int
	plan, err := collect(sources.PlanJSONL(t.Context(), newGenerated(20_001), "", config("gs://b/in"), 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, split := range plan {
		got = append(got, len(split.Pieces))
	}
	if diff := cmp.Diff([]int{10_000, 10_000, 1}, got); diff != "" {
		t.Error(diff)
	}
}

func TestOfCloudStorageWhatMayBeCutIsLookedIntoAndTheFirstHundred(t *testing.T) {
	t.Parallel()
	store := newGenerated(300)
	store.size = func(i int) int64 { return int64(1000 + i%100/99) }
	cfg := config("gs://b/in")
	cfg.SplitSize = 1000
	plan, err := collect(sources.PlanJSONL(t.Context(), store, "", cfg, 0))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(store.opened)
	// Number 99 is large: the hundredth small one is number 100.
	if want := []string{"gs://b/in/0000100.jsonl", "gs://b/in/0000199.jsonl", "gs://b/in/0000299.jsonl"}; len(store.opened) != 103 || !slices.Equal(store.opened[100:], want) {
		t.Errorf("%d files were looked into, at last %q, want %q", len(store.opened), store.opened[100:], want)
	}
	if got, want := shape(plan[98:102]), []string{
		"00098-of-00303 gs://b/in/0000098.jsonl[0:1000]/1000", "00099-of-00303 gs://b/in/0000099.jsonl[0:500]/1001",
		"00100-of-00303 gs://b/in/0000099.jsonl[500:1001]/1001", "00101-of-00303 gs://b/in/0000100.jsonl[0:1000]/1000",
	}; !slices.Equal(want, got) {
		t.Error(cmp.Diff(want, got))
	}
}

func TestFaultsOfAListingAreNamedUpToAHundred(t *testing.T) {
	t.Parallel()
	store := newGenerated(2000)
	store.fault = func(i int) error {
		if i%4 == 1 {
			return fmt.Errorf("object %d is away", i)
		}
		return nil
	}
	for name, list := range map[string]func() (int, error){
		"a plan": func() (int, error) {
			return countUntilFault(sources.PlanJSONL(t.Context(), store, "", config("gs://b/in", "gs://b/in/*"), 0))
		},
		"the files": func() (int, error) {
			return countUntilFault(sources.FilesJSONL(t.Context(), store, "", config("gs://b/in", "gs://b/in/*")))
		},
	} {
		n, err := list()
		var e *pipeline.Error
		if !errors.As(err, &e) || e.Remedy != pipeline.TryAgain || e.Phase != pipeline.PhasePlan {
			t.Fatalf("%s: %v", name, err)
		}
		if n > 1 { // the first file comes before the first fault
			t.Errorf("%s: %d came in spite of it", name, n)
		}
		if got := strings.Count(e.Message, "\n  "); got != 101 || !strings.Contains(e.Message, "object 1 is away") || !strings.Contains(e.Message, "and 900 more") {
			t.Errorf("%s: %d lines: %.300s … %s", name, got, e.Message, e.Message[len(e.Message)-100:])
		}
	}
}

func countUntilFault[T any](seq iter.Seq2[T, error]) (n int, err error) {
	for _, err := range seq {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestFilesAreThoseOfThePlan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "in/a.jsonl", "1\n")
	write(t, dir, "in/b.jsonl", strings.Repeat("1\n", 30))
	write(t, dir, "in/c/d.gz", gzipped(t, "1\n"))
	write(t, dir, "other.jsonl", "")
	cfg := config("other.jsonl", "in/**", "in", "in/a.jsonl", "none*")
	cfg.SplitSize, cfg.AllowEmpty = 7, true
	var want, got []pipeline.Piece
	for _, split := range plan(t, dir, cfg) {
		for _, p := range split.Pieces {
			if p.Start == 0 {
				p.End = p.Size
				want = append(want, p)
			}
		}
	}
	cfg.AllowEmpty = false // nothing there is no fault, whatever the job says
	for p, err := range sources.FilesJSONL(t.Context(), objects.NewLocal(), dir, cfg) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 4 {
		t.Error(diff)
	}
}

// TestManyURIsAreMerged compares with sorting all.
func TestManyURIsAreMerged(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	want := map[string]string{} // URI by name
	var uris []string
	for i := range 60 {
		store.Put(fmt.Sprintf("d/%02d/x-%d.jsonl", i%7, i), []byte("1\n"))
	}
	for _, glob := range []string{"d/*/x-1*", "./d/03", "d/0[0-4]/*3*", "d/05/x-5.jsonl", "d", "d/**"} {
		uris = append(uris, glob)
		found, err := objects.Match(t.Context(), store, "", glob)
		if err != nil || len(found) == 0 {
			t.Fatal(glob, err)
		}
		for _, f := range found {
			if want[f.Object.Name] == "" {
				want[f.Object.Name] = f.URI
			}
		}
	}
	var got []string
	for p, err := range sources.FilesJSONL(t.Context(), store, "", config(uris...)) {
		if err != nil {
			t.Fatal(err)
		}
		name := p.Name
		if name == "" {
			name = p.URI
		}
		if want[name] != p.URI {
			t.Errorf("%s is called %s; want %s", name, p.URI, want[name])
		}
		got = append(got, name)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), got); diff != "" {
		t.Error(diff)
	}
}

// backwards lists in the wrong order.
type backwards struct{ objects.Store }

func (s backwards) List(ctx context.Context, folder string) iter.Seq2[objects.Object, error] {
	return func(yield func(objects.Object, error) bool) {
		var all []objects.Object
		for o, err := range s.Store.List(ctx, folder) {
			if err != nil {
				yield(o, err)
				return
			}
			all = append(all, o)
		}
		for _, o := range slices.Backward(all) {
			if !yield(o, nil) {
				return
			}
		}
	}
}

func TestAListingOutOfOrderIsAFault(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	store.Put("in/a", []byte("1\n"))
	store.Put("in/b", []byte("1\n"))
	_, err := collect(sources.PlanJSONL(t.Context(), backwards{store}, "", config("in"), 0))
	var e *pipeline.Error
	if !errors.As(err, &e) || e.Remedy != pipeline.TryAgain || !strings.Contains(e.Message, "in/a behind in/b") {
		t.Error(err)
	}
}

func TestAPlanMayBeGivenUp(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	for i := range 500 {
		store.Put(fmt.Sprintf("in/%03d", i), []byte("1\n"))
	}
	cfg := config("in", "in/*")
	cfg.SplitSize = 2
	for _, err := range sources.PlanJSONL(t.Context(), store, "", cfg, 0) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	n := 0
	for _, err := range sources.PlanJSONL(ctx, store, "", cfg, 0) {
		if n++; n == 3 {
			cancel(enough)
		}
		if (n > 3 || err != nil) && err != enough {
			t.Errorf("split %d: %v", n, err)
		}
	}
	if n != 4 {
		t.Errorf("%d splits and errors", n)
	}
}

func TestALimitListsNoFurther(t *testing.T) {
	t.Parallel()
	store := newGenerated(1 << 40) // for ever
	plan, err := collect(sources.PlanJSONL(t.Context(), store, "", config("gs://b/in"), 3))
	if err != nil || len(plan) != 1 || plan[0].Limit != 3 || len(plan[0].Pieces) != 3 {
		t.Errorf("%v, %d splits", err, len(plan))
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			peak := uint64(0)
			for b.Loop() {
				files := 0
				for split, err := range sources.PlanJSONL(b.Context(), newGenerated(n), "", config("gs://b/in"), 0) {
					if err != nil {
						b.Fatal(err)
					}
					files += len(split.Pieces)
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					peak = max(peak, m.HeapAlloc)
				}
				if files != n {
					b.Fatalf("%d files", files)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/file")
			b.ReportMetric(float64(peak)/(1<<20), "heap-MiB")
		})
	}
}
