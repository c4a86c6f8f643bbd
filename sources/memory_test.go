package sources_test

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/sources"
)

// countingStore counts how often objects are opened.
type countingStore struct {
	objects.Store
	opened atomic.Int64
}

func (s *countingStore) Open(ctx context.Context, o objects.Object, offset, length int64) (io.ReadCloser, error) {
	s.opened.Add(1)
	return s.Store.Open(ctx, o, offset, length)
}

// repeated is a stream of one byte, n times.
type repeated struct {
	c byte
	n int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.n)]
	for i := range p {
		p[i] = r.c
	}
	r.n -= int64(len(p))
	return len(p), nil
}

// TestMemoryDoesNotGrowWithALine reads a line of 200 MB.
func TestMemoryDoesNotGrowWithALine(t *testing.T) {
	cfg := config()
	cfg.MaxLine = 1 << 20
	in := io.MultiReader(strings.NewReader("1\n"), &repeated{'x', 200 << 20}, strings.NewReader("\n2\n"))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	rows, err := readAll(t.Context(), sources.NewReader(in, "-", cfg, sources.Rows{}), limits)
	runtime.ReadMemStats(&after)
	if err != nil || len(rows) != 3 || rows[1].Failure != pipeline.TypeLineTooLong || rows[2].Offset != 200<<20+3 {
		t.Fatalf("%+v, %v", rows, err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8<<20 {
		t.Errorf("%d MiB were allocated", allocated>>20)
	}
}

func lineOf170() []byte {
	return []byte("[" + strings.Repeat("0.7341829347819234,", 8) + "12.5]\n")
}

// TestReadingDoesNotAllocatePerInstance reads with one batch.
func TestReadingDoesNotAllocatePerInstance(t *testing.T) {
	const n = 100000
	dir := t.TempDir()
	write(t, dir, "in.jsonl", string(bytes.Repeat(lineOf170(), n)))
	cfg := config("in.jsonl")
	plan := plan(t, dir, cfg)
	b := pipeline.Batch{Limits: pipeline.Limits{Instances: 1000, Bytes: 8 << 20}}
	allocs := testing.AllocsPerRun(1, func() { readThrough(t, cfg, plan, &b) })
	if allocs > n/100 {
		t.Errorf("%v allocations for %d instances", allocs, n)
	}
}

func readThrough(t testing.TB, cfg sources.JSONLConfig, plan []pipeline.PlannedSplit, b *pipeline.Batch) {
	t.Helper()
	split, err := sources.NewJSONL(objects.NewLocal(), cfg, sources.Rows{}, sources.InOrder(plan...)).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = split.Read(t.Context(), b)
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	if err := split.Settle(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkRead(b *testing.B) {
	for name, rows := range map[string]sources.Rows{
		"plain":    {},
		"excluded": {Instance: sources.InstanceConfig{ExcludedFields: []string{"id"}}},
		"included": {Instance: sources.InstanceConfig{InstanceType: "array", KeyField: "id", IncludedFields: []string{"age", "balance"}}},
	} {
		b.Run(name, func(b *testing.B) {
			line := []byte(`{"id":"C-0012345","age":42,"balance":1523.75,"active":true,"city":"Berlin","tags":["a","b"],"notes":null,"text":"some more of it so that it is 170 bytes long, as is usual"}` + "\n")
			dir := b.TempDir()
			const n = 200000
			write(b, dir, "in.jsonl", string(bytes.Repeat(line, n)))
			cfg := config("in.jsonl")
			plan := plan(b, dir, cfg)[:1]
			batch := pipeline.Batch{Limits: pipeline.Limits{Instances: 1000, Bytes: 8 << 20}}
			b.SetBytes(plan[0].Pieces[0].End - plan[0].Pieces[0].Start)
			b.ReportAllocs()
			for b.Loop() {
				split, err := sources.NewJSONL(objects.NewLocal(), cfg, rows, sources.InOrder(plan...)).Next(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					err = split.Read(b.Context(), &batch)
				}
				if err != io.EOF {
					b.Fatal(err)
				}
			}
		})
	}
}
