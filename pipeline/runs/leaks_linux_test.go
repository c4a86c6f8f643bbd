package runs_test

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// openPlans counts the temporary files of plans that this process holds.
func openPlans(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(name, "cpr-batch-plan-") {
			n++
		}
	}
	return n
}

// It does not run beside others, which have plans of their own.
func TestNoPlanIsLeftOpen(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // what is forgotten must stay open
	for name, prepare := range beginnings() {
		for _, tt := range []struct {
			name   string
			refuse func(*runs.Config)
		}{
			{"", func(*runs.Config) {}},
			{" and sees more", func(c *runs.Config) { c.Input = plan(4) }},
		} {
			t.Run(name+tt.name, func(t *testing.T) {
				eachFault(t, prepare, func(t *testing.T, store *memtest.Store, _ error) {
					before := openPlans(t)
					c := plan(2).config(store, output)
					tt.refuse(&c)
					if run, err := runs.Begin(t.Context(), c); err == nil {
						_ = run.Close()
					}
					if _, err := runs.Repeats(t.Context(), store, output, plan(2).digest, pipeline.ErrorsConfig{}); err != nil {
						t.Error(err)
					}
					if after := openPlans(t); after != before {
						t.Errorf("%d plans are open, %d were", after, before)
					}
				})
			})
		}
	}
	if n := openPlans(t); n != 0 {
		t.Errorf("%d plans are left open", n)
	}
}

func TestAPlanThatIsRefusedIsNotLeftOpen(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	store := memtest.New()
	if err := beginError(t, plan(1).config(store, output)); err != nil {
		t.Fatal(err)
	}
	before := openPlans(t)
	data, _ := store.Content(output + "/_cpr-batch/plan.jsonl")
	for i := range data {
		if p, err := runs.ReadPlan(strings.NewReader(string(data[:i]))); err == nil {
			t.Errorf("a plan cut at %d of %d bytes is read: %+v", i, len(data), p)
		}
	}
	if after := openPlans(t); after != before {
		t.Errorf("%d plans are open, %d were", after, before)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}
