package runs_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

const (
	predictions0 = output + "/predictions-00000-of-00002.jsonl"
	errors0      = output + "/errors-00000-of-00002.jsonl"
)

// commitBoth commits a part of predictions and failures.
func commitBoth(t *testing.T, store objects.Store, run *runs.Run, split int) runs.Record {
	t.Helper()
	record, err := prepare(t.Context(), store, run, split, "one\n")
	if err != nil {
		t.Fatal(err)
	}
	f := runs.PartFile{Name: strings.Replace(record.Files[0].Name, "predictions", "errors", 1), Size: 4, CRC32C: checksum("bad\n")}
	w, err := store.Create(t.Context(), run.Work(f.Name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("bad\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	record.Tally = pipeline.Tally{Read: 2, Predicted: 1, Failed: 1, Lines: 2}
	record.Files = append(record.Files, f)
	if record, err = run.Commit(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	return record
}

func TestWhatIsCommittedIsPublishedHoweverFarThatGot(t *testing.T) {
	t.Parallel()
	for name, got := range map[string]func(t *testing.T, store *memtest.Store, run *runs.Run, record runs.Record){
		"nothing was published": func(*testing.T, *memtest.Store, *runs.Run, runs.Record) {},
		"the failures were": func(t *testing.T, store *memtest.Store, run *runs.Run, _ runs.Record) {
			if err := store.Copy(t.Context(), run.Work("errors-00000-of-00002.jsonl"), errors0); err != nil {
				t.Fatal(err)
			}
		},
		"the predictions were, and the failures are not there": func(t *testing.T, store *memtest.Store, run *runs.Run, _ runs.Record) {
			if err := store.Copy(t.Context(), run.Work("predictions-00000-of-00002.jsonl"), predictions0); err != nil {
				t.Fatal(err)
			}
		},
		"both were, and the work is left": func(t *testing.T, store *memtest.Store, run *runs.Run, record runs.Record) {
			for _, f := range record.Files {
				if err := store.Copy(t.Context(), run.Work(f.Name), output+"/"+f.Name); err != nil {
					t.Fatal(err)
				}
			}
		},
		"all was done": func(t *testing.T, _ *memtest.Store, run *runs.Run, record runs.Record) {
			if err := run.Publish(t.Context(), record); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for when, publish := range map[string]func(t *testing.T, store *memtest.Store){
			"when it is begun": func(t *testing.T, store *memtest.Store) { begin(t, store, output, plan(2)) },
			"when it is finished": func(t *testing.T, store *memtest.Store) {
				// By a process that was there before, and did not hear of the part.
				other := begin(t, store, output, plan(2))
				commit(t, store, other, 1, "two\n")
				if err := other.Finish(t.Context(), []byte("{}")); err != nil {
					t.Fatal(err)
				}
			},
		} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				store := memtest.New()
				first := begin(t, store, output, plan(2))
				record := commitBoth(t, store, first, 0)
				got(t, store, first, record)
				publish(t, store)
				for name, want := range map[string]string{predictions0: "one\n", errors0: "bad\n"} {
					if content, _ := store.Content(name); string(content) != want {
						t.Errorf("%s holds %q, want %q", name, content, want)
					}
				}
			})
		}
	}
}

func TestFinishPublishesWhatOthersHaveCommittedMeanwhile(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	one, two := begin(t, store, output, plan(2)), begin(t, store, output, plan(2))
	record := commit(t, store, two, 1, "two\n")
	if err := two.Publish(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	commitBoth(t, store, one, 0)
	if err := two.Finish(t.Context(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if s := two.Summary(); s.Parts != 2 || s.Own != 1 || s.OwnRead != 1 || s.Tally.Read != 3 || s.Errors != "jsonl" {
		t.Errorf("%+v", s)
	}
	want := []string{"/out/_SUCCESS", "/out/_cpr-batch/commits/00000-of-00002.json", "/out/_cpr-batch/commits/00001-of-00002.json",
		"/out/_cpr-batch/plan.jsonl", "/out/_cpr-batch/report.json", errors0, predictions0, "/out/predictions-00001-of-00002.jsonl", "/out/report.json"}
	if diff := cmp.Diff(want, store.Names()); diff != "" {
		t.Error(diff)
	}
}

func TestAFinalNameWithOtherContentIsNamedWhenTheRunIsBegunAgain(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	run := begin(t, store, output, plan(2))
	if err := run.Publish(t.Context(), commitBoth(t, store, run, 0)); err != nil {
		t.Fatal(err)
	}
	store.Put(errors0, []byte("something else\n"))
	asError(t, beginError(t, plan(2).config(store, output)), pipeline.FixConfig, errors0, "something else than the part", "--overwrite")
	store.Delete(errors0)
	asError(t, beginError(t, plan(2).config(store, output)), pipeline.FixConfig, errors0, "is gone")
}

// snapshot is all that a store holds, with when and as which generation it was written.
func snapshot(t *testing.T, store *memtest.Store) map[string]objects.Object {
	t.Helper()
	all := make(map[string]objects.Object)
	for o, err := range store.List(t.Context(), "/") {
		if err != nil {
			t.Fatal(err)
		}
		all[o.Name] = o
	}
	return all
}

func TestInspectTellsAndChangesNothing(t *testing.T) {
	t.Parallel()
	for stage, reach := range stages() {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			store := memtest.New()
			first := begin(t, store, output, plan(2))
			reach(t, store, first)
			before := snapshot(t, store)
			store.Advance(time.Hour)
			store.Before(func(op, name string) error {
				if !slices.Contains([]string{"list", "stat", "open", "read"}, op) {
					t.Errorf("%s %s", op, name)
				}
				return nil
			})
			run := inspect(t, store, output+"/")
			if err := run.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
			store.Before(nil)
			if diff := cmp.Diff(before, snapshot(t, store)); diff != "" {
				t.Error(diff)
			}
			want := first.Summary()
			want.Own, want.OwnRead = 0, 0
			if diff := cmp.Diff(want, run.Summary()); diff != "" {
				t.Error(diff)
			}
			for i := range 2 {
				lines, known := run.Lines(i)
				wantLines, wantKnown := first.Lines(i)
				if run.Committed(i) != first.Committed(i) || lines != wantLines || known != wantKnown {
					t.Errorf("part %d: %v, %d lines", i, run.Committed(i), lines)
				}
			}
		})
	}
}

func TestInspectOfAnEmptyFolder(t *testing.T) {
	t.Parallel()
	run := inspect(t, memtest.New(), output)
	if err := run.Refresh(t.Context()); err != nil || run.State().Condition != runs.Fresh || run.Plan() != nil || run.Summary().Parts != 0 {
		t.Errorf("%+v, %v", run.State(), err)
	}
}

func TestRefreshFindsWhatOthersHaveCommitted(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	one, two := begin(t, store, output, plan(3)), begin(t, store, output, plan(3))
	commit(t, store, one, 2, "three\n")
	commitBoth(t, store, two, 0)
	store.Put(output+"/_cpr-batch/commits/00001-of-00009.json", []byte("of another plan"))
	store.Put(output+"/_cpr-batch/commits/notes.txt", []byte("of somebody"))
	if one.Committed(0) || one.Summary().Parts != 1 {
		t.Errorf("%+v", one.Summary())
	}
	reads := make(map[string]int)
	store.After(func(op, name string) error {
		if op == "open" {
			reads[name]++
		}
		return nil
	})
	for range 2 {
		if err := one.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	store.After(nil)
	if diff := cmp.Diff([]string{output + "/_cpr-batch/commits/00000-of-00003.json"}, slices.Sorted(maps.Keys(reads))); diff != "" {
		t.Error(diff)
	}
	s := one.Summary()
	if !one.Committed(0) || one.Committed(1) || s.Parts != 2 || s.Own != 1 || s.OwnRead != 1 || s.Tally.Read != 3 {
		t.Errorf("%+v", s)
	}
	if lines, ok := one.Lines(0); lines != 2 || !ok {
		t.Errorf("%d lines, %v", lines, ok)
	}
	if _, ok := one.Lines(1); ok {
		t.Error("the lines of a part that nobody has committed are known")
	}
}

func TestReadingRecordsEndsWithItsContext(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	run := begin(t, store, output, plan(3))
	for i := range 3 {
		commit(t, store, run, i, "x\n")
	}
	for _, op := range []string{"list", "open", "read"} {
		ctx, cancel := contextWithCause(t)
		store.Before(func(got, name string) error {
			if got == op && strings.Contains(name, "/commits") {
				cancel(errEnough)
			}
			return nil
		})
		again, err := runs.Begin(ctx, plan(3).config(store, output))
		if err == nil {
			t.Errorf("%s: %d parts, and no error", op, again.Summary().Parts)
			_ = again.Close()
		} else if !errors.Is(err, errEnough) {
			t.Errorf("%s: %v", op, err)
		}
		store.Before(nil)
	}
}
