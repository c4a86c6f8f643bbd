package runs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// output is the folder of the tests' runs in a store of memory.
const output = "/out"

// reading is the job with other files.
func (j job) reading(change func([]pipeline.Piece) []pipeline.Piece) job {
	j.pieces = change(slices.Clone(j.pieces))
	return j
}

// inputChanges are what may become of the input of plan(2).
func inputChanges() map[string]job {
	return map[string]job{
		"nothing": plan(2),
		"added":   plan(3),
		"changed": plan(2).reading(func(p []pipeline.Piece) []pipeline.Piece { p[1].Generation = "g2"; return p }),
		"gone":    plan(2).reading(func(p []pipeline.Piece) []pipeline.Piece { return p[:1] }),
	}
}

// stages are how far a run of plan(2) may be.
func stages() map[string]func(t *testing.T, store *memtest.Store, run *runs.Run) {
	return map[string]func(t *testing.T, store *memtest.Store, run *runs.Run){
		"at work": func(*testing.T, *memtest.Store, *runs.Run) {},
		"abandoned": func(t *testing.T, _ *memtest.Store, run *runs.Run) {
			if err := run.Stop(t.Context(), []byte("{}\n")); err != nil {
				t.Fatal(err)
			}
		},
		"stopped with a part": func(t *testing.T, store *memtest.Store, run *runs.Run) {
			commit(t, store, run, 0, "one\n")
			if err := run.Stop(t.Context(), []byte("{}\n")); err != nil {
				t.Fatal(err)
			}
		},
		"finished": func(t *testing.T, store *memtest.Store, run *runs.Run) {
			commit(t, store, run, 0, "one\n")
			commit(t, store, run, 1, "two\n")
			if err := run.Finish(t.Context(), []byte("{}\n")); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func TestInputThatIsNotWhatWasPlanned(t *testing.T) {
	t.Parallel()
	const (
		goesOn   = "goes on"
		warns    = "goes on with a warning"
		replans  = "plans anew"
		refused  = "is refused"
		finished = "is finished"
	)
	want := map[string]map[string]string{
		"at work":             {"nothing": goesOn, "added": refused, "changed": warns, "gone": warns},
		"abandoned":           {"nothing": goesOn, "added": replans, "changed": replans, "gone": replans},
		"stopped with a part": {"nothing": goesOn, "added": refused, "changed": warns, "gone": warns},
		"finished":            {"nothing": finished, "added": refused, "changed": refused, "gone": finished},
	}
	words := map[string]string{
		"added": "source files: 1 added (in/2.jsonl)", "changed": "source files: 1 changed (in/1.jsonl)", "gone": "source files: 1 gone (in/1.jsonl)",
	}
	for stage, reach := range stages() {
		for change, now := range inputChanges() {
			t.Run(stage+", "+change, func(t *testing.T) {
				t.Parallel()
				store := memtest.New()
				first := begin(t, store, output, plan(2))
				reach(t, store, first)
				var log bytes.Buffer
				c := now.config(store, output)
				c.Log = slog.New(slog.NewTextHandler(&log, nil))
				run, err := runs.Begin(t.Context(), c)
				var got string
				switch {
				case err != nil:
					got = refused
					asError(t, err, pipeline.FixConfig, words[change], output, first.Plan().RunID, "Choose another output", "--overwrite")
					if strings.Contains(err.Error(), "--accept-changes") {
						t.Errorf("%v leads astray", err)
					}
				case run.Plan().RunID != first.Plan().RunID:
					got = replans
					if run.Plan().Splits.Len() != len(now.pieces) {
						t.Errorf("%d splits", run.Plan().Splits.Len())
					}
				case run.State().Condition == runs.Finished:
					got = finished
				case strings.Contains(log.String(), words[change]) && change != "nothing":
					got = warns
				default:
					got = goesOn
				}
				if err == nil {
					defer func() { _ = run.Close() }()
				}
				if got != want[stage][change] {
					t.Errorf("it %s, want: it %s (%v)", got, want[stage][change], err)
				}
				if got != warns && log.Len() > 0 {
					t.Errorf("logged %s", log.String())
				}
			})
		}
	}
}

func TestInputThatCanNotBeListed(t *testing.T) {
	t.Parallel()
	fault := &pipeline.Error{Remedy: pipeline.TryAgain, Phase: pipeline.PhasePlan, Message: "list in/", Hint: "h", Err: errors.New("network is unreachable")}
	for stage, reach := range stages() {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			store := memtest.New()
			reach(t, store, begin(t, store, output, plan(2)))
			c := plan(2).config(store, output)
			c.Input = unreadable{fault}
			if stage == "finished" {
				beginWith(t, c)
				return
			}
			asError(t, beginError(t, c), pipeline.TryAgain, "list in/", "unreachable")
		})
	}
	t.Run("fresh", func(t *testing.T) {
		t.Parallel()
		store := memtest.New()
		c := plan(2).config(store, output)
		c.Input = unreadable{fault}
		asError(t, beginError(t, c), pipeline.TryAgain, "list in/", "unreachable")
		if names := store.Names(); len(names) > 0 {
			t.Errorf("left: %v", names)
		}
	})
}

// unreadable is an input that can not be listed.
type unreadable struct{ err error }

func (u unreadable) Plan(context.Context) iter.Seq2[pipeline.PlannedSplit, error] {
	return func(yield func(pipeline.PlannedSplit, error) bool) { yield(pipeline.PlannedSplit{}, u.err) }
}

func (u unreadable) Files(context.Context) iter.Seq2[pipeline.Piece, error] {
	return func(yield func(pipeline.Piece, error) bool) { yield(pipeline.Piece{}, u.err) }
}

// replaceable is plan(2) with a part of the digest that may be replaced.
func replaceable(model string) job {
	return planWith(2, func(d *runs.Digest) {
		d.Add("model.origin", []runs.File{{Name: "w.bin", Sum: model}})
		d.Replaceable()
	})
}

func TestAcceptedChangesAreRemembered(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	first := begin(t, store, output, replaceable("1"))
	commit(t, store, first, 0, "one\n")

	other := replaceable("2").config(store, output)
	asError(t, beginError(t, other), pipeline.FixConfig, "model.origin: 1 changed (w.bin)", "--accept-changes", "what is committed stays")
	other.AcceptChanges = true
	second := beginWith(t, other)
	if second.Plan().RunID != first.Plan().RunID || second.Digest() == first.Digest() || !second.Committed(0) {
		t.Errorf("run %s, digest %s", second.Plan().RunID, second.Digest())
	}
	other.AcceptChanges = false
	third := beginWith(t, other)
	if third.Digest() != second.Digest() {
		t.Errorf("digest %s, then %s", second.Digest(), third.Digest())
	}
	if record := commit(t, store, third, 1, "two\n"); record.Digest != second.Digest() {
		t.Errorf("record: %+v", record)
	}
	makers := func(run *runs.Run) string {
		var s []string
		for _, m := range run.Summary().Makers {
			s = append(s, fmt.Sprintf("%s %d %v %v", m.First, m.Parts, m.Digest == first.Digest(), m.Versions == versions))
		}
		return strings.Join(s, "; ")
	}
	want := "00000-of-00002 1 true true; 00001-of-00002 1 false true"
	if got := makers(inspect(t, store, output)); got != want {
		t.Errorf("made by %s, want %s", got, want)
	}

	// The first model goes on too, and a third one is not accepted.
	if back := begin(t, store, output, replaceable("1")); back.Digest() != first.Digest() || makers(back) != want {
		t.Errorf("digest %s, made by %s", back.Digest(), makers(back))
	}
	asError(t, beginError(t, replaceable("3").config(store, output)), pipeline.FixConfig, "model.origin", "--accept-changes")

	if err := third.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if done := beginWith(t, other); done.State().Condition != runs.Finished {
		t.Errorf("%+v", done.State())
	}
	late := replaceable("3").config(store, output)
	late.AcceptChanges = true
	if text := asError(t, beginError(t, late), pipeline.FixConfig, "holds the finished run", "--overwrite"); strings.Contains(text, "accept") {
		t.Errorf("%s leads astray", text)
	}
}

func TestOnlyWhatIsReplaceableIsAccepted(t *testing.T) {
	t.Parallel()
	added := replaceable("2")
	added.pieces = plan(3).pieces
	class := replaceable("2")
	class.digest.Parts[0].Text = "p.Other"
	for name, tt := range map[string]struct {
		job   job
		words []string
	}{
		"another class":   {class, []string{"model.prediction_class was predictor.MyPredictor, is p.Other", "model.origin: 1 changed"}},
		"files are added": {added, []string{"source files: 1 added (in/2.jsonl)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := memtest.New()
			commit(t, store, begin(t, store, output, replaceable("1")), 0, "one\n")
			c := tt.job.config(store, output)
			c.AcceptChanges = true
			before := store.Names()
			asError(t, beginError(t, c), pipeline.FixConfig, append(tt.words, "--accept-changes takes", "nothing else", "--overwrite")...)
			if diff := cmp.Diff(before, store.Names()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
