package runs_test

import (
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func TestThePlanOfAnotherJobGivesWayWhereNothingIsLost(t *testing.T) {
	t.Parallel()
	other := planWith(1, func(d *runs.Digest) { d.Parts[0].Text = "p.Mended" })
	for name, tt := range map[string]struct {
		leave func(t *testing.T, store objects.Store, run *runs.Run)
		gives bool
	}{
		"it failed before a part was committed": {func(t *testing.T, _ objects.Store, run *runs.Run) {
			if err := run.Fail(t.Context(), "import: ImportError", limits, []byte("{}\n")); err != nil {
				t.Fatal(err)
			}
		}, true},
		"it was stopped before a part was committed": {func(t *testing.T, _ objects.Store, run *runs.Run) {
			if err := run.Stop(t.Context(), []byte("{}\n")); err != nil {
				t.Fatal(err)
			}
		}, true},
		"its process lives": {func(*testing.T, objects.Store, *runs.Run) {}, false},
		"it failed with a part committed": {func(t *testing.T, store objects.Store, run *runs.Run) {
			commit(t, store, run, 0, "one\n")
			if err := run.Fail(t.Context(), "too many failures", limits, []byte("{}\n")); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, folder := objects.NewLocal(), t.TempDir()
			first := begin(t, store, folder, plan(1))
			tt.leave(t, store, first)
			run, err := runs.Begin(t.Context(), other.config(store, folder))
			if !tt.gives {
				asError(t, err, pipeline.FixConfig, "another job", "p.Mended")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = run.Close() })
			if run.Plan().RunID == first.Plan().RunID {
				t.Error("the plan of the other job was carried on")
			}
			if state := look(t, store, folder); state.Condition != runs.Begun || state.Reason != "" {
				t.Errorf("state %+v", state)
			}
		})
	}
}
