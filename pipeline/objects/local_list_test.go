package objects_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

func TestLocalListOfALargeFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var want []string
	for i := range 9000 { // more than are read at a time
		name := filepath.Join(root, fmt.Sprintf("%05d", i))
		if i%1000 == 999 {
			name = filepath.Join(name, "x")
		}
		write(t, name, "")
		want = append(want, name)
	}
	if diff := cmp.Diff(want, names(t, objects.NewLocal(), root)); diff != "" {
		t.Error(diff)
	}
}

func TestLocalListLeavesOutWhatIsRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"a", "b", "c/d", "e"} {
		write(t, filepath.Join(root, name), "")
	}
	var got []string
	for o, err := range objects.NewLocal().List(t.Context(), root) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, filepath.Base(o.Name))
		for _, name := range []string{"b", "c"} {
			if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff([]string{"a", "e"}, got); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkLocalListLargeFolder tells also how much memory a listing holds while it is
// under way.
func BenchmarkLocalListLargeFolder(b *testing.B) {
	const files = 20_000
	root := b.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprintf("part-%08d.jsonl.gz", i)), nil, 0o666); err != nil {
			b.Fatal(err)
		}
	}
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	held := 0.0
	for b.Loop() {
		n := 0
		for _, err := range objects.NewLocal().List(b.Context(), root) {
			if err != nil {
				b.Fatal(err)
			}
			if n++; n == 1 {
				held = heap() - before
			}
		}
		if n != files {
			b.Fatalf("%d files", n)
		}
	}
	b.ReportMetric(held/files, "heap-B/file")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
}
