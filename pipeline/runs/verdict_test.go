package runs_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

const verdictFile = output + "/_cpr-batch/failed.json"

// failed is a store with a run of plan(1) that has failed.
func failed(t *testing.T) *memtest.Store {
	t.Helper()
	store := memtest.New()
	run := begin(t, store, output, plan(1))
	if err := run.Fail(t.Context(), "every instance\nfailed", limits, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	return store
}

func TestAVerdictIsRepeatedForTheSameDigestAndLimits(t *testing.T) {
	t.Parallel()
	otherLimits := limits
	otherLimits.MaxFailureRatio = 0.5
	otherRetries := limits
	otherRetries.RetryOn = []string{"ValueError"}
	noRetries := limits
	noRetries.RetryOn = nil
	for name, tt := range map[string]struct {
		job    job
		limits pipeline.ErrorsConfig
		same   bool
	}{
		"the same":                    {plan(1), limits, true},
		"files that were added since": {plan(2), limits, true}, // which the plan does not read
		"another budget":              {plan(1), otherLimits, false},
		"other exceptions to repeat":  {plan(1), otherRetries, false},
		"no exceptions to repeat":     {plan(1), noRetries, false},
		"another model":               {planWith(1, func(d *runs.Digest) { d.Parts[0].Text = "p.Mended" }), limits, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := runs.Repeats(t.Context(), failed(t), output, tt.job.digest, tt.limits)
			if err != nil || (v != nil) != tt.same {
				t.Fatalf("%+v, %v", v, err)
			}
			if v == nil {
				return
			}
			if v.Reason != "every instance\nfailed" || v.Digest == "" || !slices.Equal(v.Errors.RetryOn, limits.RetryOn) {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestThereIsNoVerdictWhereNoneIsKnown(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T) *memtest.Store{
		"an empty folder": func(*testing.T) *memtest.Store { return memtest.New() },
		"a run at work": func(t *testing.T) *memtest.Store {
			store := memtest.New()
			begin(t, store, output, plan(1))
			return store
		},
		"a failed run that was begun again": func(t *testing.T) *memtest.Store {
			store := failed(t)
			begin(t, store, output, plan(1))
			if _, ok := store.Content(verdictFile); ok {
				t.Error("the verdict is left")
			}
			return store
		},
		"a failed run that was stopped then": func(t *testing.T) *memtest.Store {
			store := failed(t)
			if err := begin(t, store, output, plan(1)).Stop(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			return store
		},
		"a failed run that ended early then": func(t *testing.T) *memtest.Store {
			store := failed(t)
			if err := runs.Abandon(t.Context(), store, output, "import: ImportError", nil); err != nil {
				t.Fatal(err)
			}
			return store
		},
		"_FAILED without a verdict": func(t *testing.T) *memtest.Store {
			store := failed(t)
			store.Delete(verdictFile)
			return store
		},
		"a damaged verdict": func(t *testing.T) *memtest.Store {
			store := failed(t)
			store.Put(verdictFile, []byte("{"))
			return store
		},
		"a verdict without _FAILED": func(t *testing.T) *memtest.Store {
			store := failed(t)
			store.Delete(output + "/_FAILED")
			return store
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if v, err := runs.Repeats(t.Context(), prepare(t), output, plan(1).digest, limits); v != nil || err != nil {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}

func TestTheVerdictOnAnAcceptedModelIsItsOwn(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	commit(t, store, begin(t, store, output, replaceable("1")), 0, "one\n")
	c := replaceable("2").config(store, output)
	c.AcceptChanges = true
	if err := beginWith(t, c).Fail(t.Context(), "why", limits, nil); err != nil {
		t.Fatal(err)
	}
	for model, same := range map[string]bool{"1": false, "2": true} {
		v, err := runs.Repeats(t.Context(), store, output, replaceable(model).digest, limits)
		if err != nil || (v != nil) != same {
			t.Errorf("model %s: %+v, %v", model, v, err)
		}
	}
}

func TestFailedIsNeverThereWithoutItsVerdict(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	run := begin(t, store, output, plan(1))
	store.Before(func(op, name string) error {
		if _, judged := store.Content(verdictFile); op == "copy" && name == output+"/_FAILED" && !judged {
			t.Error("_FAILED comes before the verdict")
		}
		return nil
	})
	if err := run.Fail(t.Context(), "why", limits, nil); err != nil {
		t.Fatal(err)
	}
	store.Before(nil)

	// Finished after all, nothing of it is left.
	commit(t, store, run, 0, "one\n")
	if err := run.Finish(t.Context(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	want := []string{"/out/_SUCCESS", "/out/_cpr-batch/commits/00000-of-00001.json", "/out/_cpr-batch/plan.jsonl", "/out/_cpr-batch/report.json",
		"/out/predictions-00000-of-00001.jsonl", "/out/report.json"}
	if diff := cmp.Diff(want, store.Names()); diff != "" {
		t.Error(diff)
	}
}
