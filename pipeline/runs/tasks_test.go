package runs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

var errEnough = errors.New("enough")

func contextWithCause(t *testing.T) (context.Context, context.CancelCauseFunc) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	return ctx, cancel
}

// named is how the job is begun as a run of this ID.
func (j job) named(store *memtest.Store, runID string) runs.Config {
	c := j.config(store, output)
	c.RunID = runID
	return c
}

func TestAnotherTasksPlanIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		after time.Duration // 0: the other task never comes
		job   job           // as it sees it
		want  string        // the run that counts
		took  time.Duration // to begin it
	}{
		"it comes in time":               {20*time.Second - time.Nanosecond, plan(2), "theirs", 20 * time.Second},
		"it comes in time and sees more": {20*time.Second - time.Nanosecond, plan(3), "theirs", 20 * time.Second},
		"it comes in time and sees less": {20*time.Second - time.Nanosecond, plan(1), "theirs", 20 * time.Second},
		"it comes too late":              {40 * time.Second, plan(2), "mine", 30 * time.Second},
		"it does not come":               {0, plan(2), "mine", 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := memtest.New()
				var other sync.WaitGroup
				defer other.Wait()
				if tt.after > 0 {
					other.Go(func() {
						<-time.After(tt.after)
						run, err := runs.Begin(t.Context(), tt.job.named(store, "theirs"))
						if err != nil {
							t.Error(err)
							return
						}
						_ = run.Close()
					})
				}
				c := plan(2).named(store, "mine")
				c.Wait = 30 * time.Second
				begun := time.Now()
				run := beginWith(t, c)
				if took := time.Since(begun); run.Plan().RunID != tt.want || took != tt.took {
					t.Errorf("run %s after %v", run.Plan().RunID, took)
				}
			})
		})
	}
}

func TestAWaitingTaskLeavesAnAbandonedPlanToTheFirst(t *testing.T) {
	t.Parallel()
	mended := planWith(2, func(d *runs.Digest) { d.Parts[0].Text = "p.Mended" })
	for name, tt := range map[string]struct {
		comes bool
		want  string
		took  time.Duration
	}{
		"which comes":         {true, "theirs", 20 * time.Second},
		"which does not come": {false, "mine", 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := memtest.New()
				if err := begin(t, store, output, plan(2)).Fail(t.Context(), "import: ImportError", limits, nil); err != nil {
					t.Fatal(err)
				}
				var other sync.WaitGroup
				defer other.Wait()
				if tt.comes {
					other.Go(func() {
						<-time.After(20*time.Second - time.Nanosecond)
						beginWith(t, mended.named(store, "theirs"))
					})
				}
				c := mended.named(store, "mine")
				c.Wait = 30 * time.Second
				begun := time.Now()
				if run := beginWith(t, c); run.Plan().RunID != tt.want || time.Since(begun) != tt.took {
					t.Errorf("run %s after %v", run.Plan().RunID, time.Since(begun))
				}
			})
		})
	}
}

func TestAPlanThatIsReplacedWhileItIsTakenUpIsNotCarriedOn(t *testing.T) {
	t.Parallel()
	mended := planWith(2, func(d *runs.Digest) { d.Parts[0].Text = "p.Mended" })
	for name, tt := range map[string]struct {
		old job
		at  string // operation of the one who takes it up
	}{
		"before its process is known":         {mended, "create /process.json"},
		"while it is looked for who is at it": {plan(2), "list /_cpr-batch/commits"},
		"before it may be removed":            {plan(2), "create /_cpr-batch/removals/0.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := memtest.New()
			if err := begin(t, store, output, tt.old).Fail(t.Context(), "why", limits, nil); err != nil {
				t.Fatal(err)
			}
			store.Before(func(op, name string) error {
				if op, suffix, _ := strings.Cut(op+" "+name, " "); !strings.HasPrefix(tt.at, op+" ") || !strings.HasSuffix(suffix, strings.TrimPrefix(tt.at, op+" ")) {
					return nil
				}
				store.Before(nil)
				if err := runs.Supersede(t.Context(), store, output, "new", slog.New(slog.DiscardHandler)); err != nil {
					t.Error(err)
				}
				beginWith(t, mended.named(store, "new"))
				return nil
			})
			run := beginWith(t, mended.named(store, "mine"))
			if run.Plan().RunID != "new" {
				t.Errorf("it carries on run %s", run.Plan().RunID)
			}
			if stands := look(t, store, output); stands.Plan == nil || stands.Plan.RunID != "new" {
				t.Errorf("%+v", stands)
			}
		})
	}
}

func TestWaitingForAPlanEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := contextWithCause(t)
		time.AfterFunc(10*time.Second, func() { cancel(errEnough) })
		c := plan(1).config(memtest.New(), output)
		c.Wait = time.Minute
		begun := time.Now()
		if _, err := runs.Begin(ctx, c); !errors.Is(err, errEnough) || time.Since(begun) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestAWaitingTaskStillHoldsTheDigestAgainstThePlan(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	begin(t, store, output, plan(2))
	c := planWith(2, func(d *runs.Digest) { d.Show("x", "y") }).config(store, output)
	c.Wait = time.Minute
	asError(t, beginError(t, c), pipeline.FixConfig, "x has been added")
}

func TestOfTwoPlansOneCounts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		loser job
		words []string // of its error, or of its log
		goes  bool
	}{
		"both see the same":    {plan(2), nil, true},
		"the loser sees less":  {plan(1), []string{"1 gone (in/1.jsonl)"}, true},
		"the loser sees more":  {plan(3), []string{"source files: 1 added (in/2.jsonl)", "--overwrite"}, false},
		"the loser is another": {planWith(2, func(d *runs.Digest) { d.Show("x", "y") }), []string{"x has been added"}, false},
	} {
		for _, wait := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprintf("%s, it waits %v", name, wait), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					store := memtest.New()
					store.Before(func(op, object string) error {
						if op == "commit" && strings.HasSuffix(object, "plan.jsonl") {
							store.Before(nil)
							beginWith(t, plan(2).named(store, "winner"))
						}
						return nil
					})
					var log bytes.Buffer
					c := tt.loser.named(store, "loser")
					c.Wait = wait
					c.Log = slog.New(slog.NewTextHandler(&log, nil))
					if !tt.goes {
						asError(t, beginError(t, c), pipeline.FixConfig, append(tt.words, output)...)
						return
					}
					run := beginWith(t, c)
					if run.Plan().RunID != "winner" || run.Plan().Splits.Len() != 2 {
						t.Errorf("run %s of %d splits", run.Plan().RunID, run.Plan().Splits.Len())
					}
					for _, w := range tt.words {
						if !strings.Contains(log.String(), w) {
							t.Errorf("log: %s", log.String())
						}
					}
				})
			})
		}
	}
}

// slowly makes operations on a store take times that depend on seed alone.
func slowly(store *memtest.Store, seed uint64) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	pause := func(string, string) error {
		mu.Lock()
		d := time.Duration(random.IntN(1000)) * time.Millisecond
		mu.Unlock()
		<-time.After(d)
		return nil
	}
	store.Before(pause)
	store.After(pause)
}

// together has each of the tasks of a run do its one split, at the same time, and checks that
// one run has come of it.
func together(t *testing.T, store *memtest.Store, j job, config func(task int) runs.Config) {
	t.Helper()
	var tasks sync.WaitGroup
	for i := range j.pieces {
		tasks.Go(func() {
			run, err := runs.Begin(t.Context(), config(i))
			if err != nil {
				t.Errorf("task %d: %v", i, err)
				return
			}
			defer func() { _ = run.Close() }()
			record, err := prepare(t.Context(), store, run, i, fmt.Sprintf("new %d\n", i))
			if err == nil {
				record, err = run.Commit(t.Context(), record)
			}
			if err == nil {
				err = run.Publish(t.Context(), record)
			}
			if err != nil {
				t.Errorf("task %d: %v", i, err)
			}
		})
	}
	tasks.Wait()
	store.Before(nil)
	store.After(nil)
	last := begin(t, store, output, j)
	if err := last.Finish(t.Context(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for i := range j.pieces {
		name := fmt.Sprintf("%s/predictions-%05d-of-%05d.jsonl", output, i, len(j.pieces))
		if content, _ := store.Content(name); string(content) != fmt.Sprintf("new %d\n", i) {
			t.Errorf("%s holds %q", name, content)
		}
	}
}

// schedules is how many orders of what tasks do at the same time are tried.
const schedules = 15

func TestTasksAtTheSameTimeMakeOneRun(t *testing.T) {
	t.Parallel()
	for seed := range uint64(schedules) {
		synctest.Test(t, func(t *testing.T) {
			store := memtest.New()
			slowly(store, seed)
			together(t, store, plan(4), func(int) runs.Config { return plan(4).config(store, output) })
		})
	}
}

func TestTasksAtTheSameTimeReplaceAnAbandonedRunOnce(t *testing.T) {
	t.Parallel()
	mended := planWith(4, func(d *runs.Digest) { d.Parts[0].Text = "p.Mended" })
	for name, wait := range map[string]time.Duration{"without waiting": 0, "all but the first wait": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(schedules) {
				synctest.Test(t, func(t *testing.T) {
					store := memtest.New()
					if err := begin(t, store, output, plan(4)).Fail(t.Context(), "import: ImportError", limits, nil); err != nil {
						t.Fatal(err)
					}
					slowly(store, seed)
					together(t, store, mended, func(task int) runs.Config {
						c := mended.config(store, output)
						if task > 0 {
							c.Wait = wait
						}
						return c
					})
				})
			}
		})
	}
}

func TestTasksAtTheSameTimeSupersedeARunOnce(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(t *testing.T, store *memtest.Store){
		"a finished one": func(t *testing.T, store *memtest.Store) {
			old := begin(t, store, output, plan(4))
			for i := range 4 {
				commit(t, store, old, i, "old\n")
			}
			if err := old.Finish(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		},
		"results without a plan": func(t *testing.T, store *memtest.Store) {
			store.Put(output+"/predictions-00002-of-00004.jsonl", []byte("old\n"))
			store.Put(output+"/_SUCCESS", nil)
		},
		"a damaged plan": func(t *testing.T, store *memtest.Store) {
			store.Put(output+"/_cpr-batch/plan.jsonl", []byte("{"))
			store.Put(output+"/_cpr-batch/commits/00001-of-00004.json", []byte("{"))
		},
		"nothing": func(*testing.T, *memtest.Store) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(schedules) {
				synctest.Test(t, func(t *testing.T) {
					store := memtest.New()
					leave(t, store)
					slowly(store, seed)
					together(t, store, plan(4), func(task int) runs.Config {
						if err := runs.Supersede(t.Context(), store, output, "new", slog.New(slog.DiscardHandler)); err != nil {
							t.Errorf("task %d: %v", task, err)
						}
						return plan(4).named(store, "new")
					})
				})
			}
		})
	}
}

func TestSupersedeKeepsTheRunThatIsMeant(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	run := beginWith(t, plan(1).named(store, "new"))
	commit(t, store, run, 0, "one\n")
	if err := runs.Supersede(t.Context(), store, output, "new", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if s := inspect(t, store, output).Summary(); s.Parts != 1 {
		t.Errorf("%+v", s)
	}
	if err := runs.Supersede(t.Context(), store, output, "newer", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if state := look(t, store, output); state.Condition != runs.Fresh {
		t.Errorf("%+v", state)
	}
}

func TestARemovalThatWasCutShortIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		files map[string]string
		took  time.Duration
	}{
		"nobody knows whether it is going on": {map[string]string{"0.json": `{"space":"another machine","pid":1}`}, 20 * time.Minute},
		"it has ended":                        {map[string]string{"0.json": `{"space":"another machine","pid":1}`, "0.done": ""}, 0},
		"it can not be read":                  {map[string]string{"7.json": "{"}, 20 * time.Minute},
		"two of them":                         {map[string]string{"0.json": "{}", "1.json": "{}"}, 40 * time.Minute},
		"no removal":                          {map[string]string{"notes.txt": "n"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := memtest.New()
				for name, content := range tt.files {
					store.Put(output+"/_cpr-batch/removals/"+name, []byte(content))
				}
				begun := time.Now()
				var log bytes.Buffer
				c := plan(1).config(store, output)
				c.Log = slog.New(slog.NewTextHandler(&log, nil))
				beginWith(t, c)
				if took := time.Since(begun); took < tt.took || took > tt.took+time.Second {
					t.Errorf("it took %v", took)
				}
				if told := strings.Contains(log.String(), "another process removes"); told != (tt.took > 0) {
					t.Errorf("log: %s", log.String())
				}
			})
		})
	}
}
