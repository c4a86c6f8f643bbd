package runs_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// heapPeak watches how large the heap gets, live and dead, until it is asked.
func heapPeak() (peak func() float64) {
	read := func() float64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		return float64(sample[0].Value.Uint64())
	}
	heap()
	before, highest := read(), 0.0
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		for {
			highest = max(highest, read()-before)
			select {
			case <-done:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() float64 {
		close(done)
		<-ended
		return highest / (1 << 20)
	}
}

// BenchmarkBegin carries on with a run of 10,000 splits, all but one of them committed and
// published, on disk.
func BenchmarkBegin(b *testing.B) {
	const n = 10_000
	store, folder := objects.NewLocal(), b.TempDir()
	j := plan(n)
	first := begin(b, store, folder, j)
	for i := range n - 1 {
		id := string(first.Plan().Splits.ID(i))
		record := fmt.Sprintf(`{"format":2,"run_id":%q,"split":%q,"attempt":"a","committed":"2026-11-22T03:00:00Z","versions":{},"digest":%q,`+
			`"tally":{"read":1000,"predicted":1000,"lines":1000,"seconds":{}},"failed":{"ranges":null},"files":[{"name":"predictions-%s.jsonl","size":4,"crc32c":0}]}`,
			first.Plan().RunID, id, first.Digest(), id)
		for name, content := range map[string]string{"_cpr-batch/commits/" + id + ".json": record, "predictions-" + id + ".jsonl": "one\n"} {
			name = filepath.Join(folder, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
				b.Fatal(err)
			}
		}
	}
	peak := heapPeak()
	for b.Loop() {
		run, err := runs.Begin(b.Context(), j.config(store, folder))
		if err != nil || run.Summary().Parts != n-1 {
			b.Fatalf("%v", err)
		}
		if err := run.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(peak(), "peak-MiB")
}

// BenchmarkPlan spools, writes and reads a plan of a million splits.
func BenchmarkPlan(b *testing.B) {
	const n = 1_000_000
	b.Run("spool", func(b *testing.B) {
		peak := heapPeak()
		for b.Loop() {
			splits, err := runs.Spool(b.Context(), many(n))
			if err != nil {
				b.Fatal(err)
			}
			if err := splits.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(peak(), "peak-MiB")
	})
	splits, err := runs.Spool(b.Context(), many(n))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = splits.Close() }()
	plan, err := runs.NewPlan("job", time.Now(), runs.Digest{}, splits)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		peak := heapPeak()
		for b.Loop() {
			var w counter
			if err := plan.Write(&w); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(w))
		}
		b.ReportMetric(peak(), "peak-MiB")
	})
	file, err := os.Create(filepath.Join(b.TempDir(), "plan.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := plan.Write(file); err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		peak := heapPeak()
		for b.Loop() {
			p, err := runs.ReadPlan(io.NewSectionReader(file, 0, 1<<40))
			if err != nil {
				b.Fatal(err)
			}
			if err := p.Splits.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(peak(), "peak-MiB")
	})
}
