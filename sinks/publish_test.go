package sinks_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// published notes the final names that are made in a scene, in their order; refuse has them
// not be made.
func (s *scene) published(store *memtest.Store, refuse bool) func() []string {
	var mu sync.Mutex
	var names []string
	store.Before(func(op, name string) error {
		name, ok := strings.CutPrefix(name, s.folder+"/")
		if op != "copy" || !ok || strings.Contains(name, "/") || !strings.Contains(name, "-of-") {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		names = append(names, name)
		return faultIf(refuse)
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return names
	}
}

// TestFailuresHaveTheirFinalNameBeforePredictions: who finds the predictions of a part need
// not look for the failures.
func TestFailuresHaveTheirFinalNameBeforePredictions(t *testing.T) {
	t.Parallel()
	const failures, predictions = "errors-" + string(first) + ".jsonl", "predictions-" + string(first) + ".jsonl"
	for name, tc := range map[string]struct {
		publish func(t *testing.T, s *scene, run *runs.Run) error
		want    []string
	}{
		"by the next attempt": {func(t *testing.T, s *scene, _ *runs.Run) error {
			t.Helper()
			begin(t, s.store, s.folder)
			return nil
		}, []string{failures, predictions}},
		"when the split is opened again": {func(t *testing.T, s *scene, run *runs.Run) error {
			t.Helper()
			if _, err := s.sink(run).Open(t.Context(), first); !errors.Is(err, pipeline.ErrCommitted) {
				return err
			}
			return nil
		}, []string{failures, predictions}},
		"when the run is finished": {func(t *testing.T, s *scene, run *runs.Run) error {
			t.Helper()
			if err := s.predict(t.Context(), run, split{second, "p"}, ""); err != nil {
				return err
			}
			return run.Finish(t.Context(), []byte("{}"))
		}, []string{"predictions-" + string(second) + ".jsonl", failures, predictions}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, store := inMemory("none")
			run := begin(t, store, s.folder)
			part := open(t, s.sink(run), first)
			write(t, part, 0, []pipeline.Instance{row("1"), row("2")}, predicted("2"), failed(raised))
			refused := s.published(store, true)
			if err := part.Commit(t.Context(), &pipeline.Tally{Read: 2, Predicted: 1, Failed: 1}); !errors.Is(err, errFault) {
				t.Fatalf("the commit ends with %v", err)
			}
			if diff := cmp.Diff([]string{failures}, refused()); diff != "" {
				t.Errorf("by the attempt that commits it: %s", diff)
			}
			made := s.published(store, false)
			if err := tc.publish(t, s, run); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, made()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
