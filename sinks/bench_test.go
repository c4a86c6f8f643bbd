package sinks_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
	"github.com/cpr-batch/cpr-batch/sinks"
)

// BenchmarkPart writes a part of 64 batches of 512 lines, 4 MiB, and commits it, with and
// without seals on the way: what a seal costs is the difference by their number.
func BenchmarkPart(b *testing.B) {
	const batches, size = 64, 512
	batch := &pipeline.Batch{Split: first}
	outcomes := make([]pipeline.Outcome, size)
	for i := range size {
		batch.Instances = append(batch.Instances, row(fmt.Sprintf(`{"id": %d, "text": "as long as a line of numbers often is"}`, i)))
		outcomes[i] = predicted(fmt.Sprintf(`{"label":"some","score":0.%d}`, i))
	}
	for _, seals := range []int{0, 8, 64} {
		b.Run(fmt.Sprintf("%d seals", seals), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				store := objects.NewLocal()
				run, err := runs.Begin(b.Context(), config(store, filepath.Join(b.TempDir(), fmt.Sprint(i))))
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				part, err := sinks.NewJSONL(run, store, sinks.JSONLConfig{}, sinks.OutputConfig{}).Open(b.Context(), first)
				if err != nil {
					b.Fatal(err)
				}
				var tally pipeline.Tally
				for j := range batches {
					batch.First = int64(j * size)
					if err := part.Write(b.Context(), batch, outcomes); err != nil {
						b.Fatal(err)
					}
					tally.Read += size
					tally.Predicted += size
					if seals > 0 && (j+1)%(batches/seals) == 0 {
						if err := part.Seal(b.Context(), &tally); err != nil {
							b.Fatal(err)
						}
					}
				}
				if err := part.Commit(b.Context(), &tally); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := run.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
