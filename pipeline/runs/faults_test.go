package runs_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

var errReset = errors.New("connection reset by peer")

// beginnings are what folders may hold in which plan(2) is begun.
func beginnings() map[string]func(t *testing.T) *memtest.Store {
	return map[string]func(t *testing.T) *memtest.Store{
		"nothing": func(*testing.T) *memtest.Store { return memtest.New() },
		"a failed run with a part that is not published": func(t *testing.T) *memtest.Store {
			store := memtest.New()
			run := begin(t, store, output, plan(2))
			commitBoth(t, store, run, 0)
			if err := run.Fail(t.Context(), "why", limits, []byte("{}")); err != nil {
				t.Fatal(err)
			}
			return store
		},
		"an abandoned run of another job": func(t *testing.T) *memtest.Store {
			store := memtest.New()
			other := planWith(3, func(d *runs.Digest) { d.Parts[0].Text = "p.Broken" })
			if err := begin(t, store, output, other).Fail(t.Context(), "why", limits, nil); err != nil {
				t.Fatal(err)
			}
			return store
		},
		"a run that was told to accept changes": func(t *testing.T) *memtest.Store {
			store := memtest.New()
			other := planWith(2, func(d *runs.Digest) {
				d.Parts[2].Files[0].Sum = "9"
				d.Replaceable()
			})
			commitBoth(t, store, begin(t, store, output, other), 0)
			c := plan(2).config(store, output)
			c.Digest.Parts[2].Replaceable = true
			c.AcceptChanges = true
			beginWith(t, c)
			return store
		},
		"a finished run": func(t *testing.T) *memtest.Store {
			store := memtest.New()
			run := begin(t, store, output, plan(2))
			commitBoth(t, store, run, 0)
			commit(t, store, run, 1, "two\n")
			if err := run.Finish(t.Context(), []byte("{}")); err != nil {
				t.Fatal(err)
			}
			return store
		},
	}
}

// failOnce has operation number n of a store fail: instead of it, or after it went through.
func failOnce(store *memtest.Store, n int, when string) (reached func() bool) {
	var mu sync.Mutex
	hook := func(string, string) error {
		mu.Lock()
		defer mu.Unlock()
		if n--; n == 0 {
			return errReset
		}
		return nil
	}
	if when == "before" {
		store.Before(hook)
	} else {
		store.After(hook)
	}
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		return n <= 0
	}
}

// eachFault begins plan(2) in what prepare leaves, with each operation of that failing in
// turn, and shows what came of it.
func eachFault(t *testing.T, prepare func(t *testing.T) *memtest.Store, show func(t *testing.T, store *memtest.Store, err error)) {
	t.Helper()
	for _, when := range []string{"before", "after"} {
		for n := 1; ; n++ {
			reached := false
			t.Run(fmt.Sprintf("%s operation %d", when, n), func(t *testing.T) {
				// By a clock of its own: some faults are waited out.
				synctest.Test(t, func(t *testing.T) {
					store := prepare(t)
					wasReached := failOnce(store, n, when)
					run, err := runs.Begin(t.Context(), plan(2).config(store, output))
					reached = wasReached()
					store.Before(nil)
					store.After(nil)
					if err == nil {
						_ = run.Close()
					}
					show(t, store, err)
				})
			})
			if !reached {
				if n < 5 {
					t.Errorf("only %d operations", n)
				}
				break
			}
		}
	}
}

func TestBeginEndsWellAfterAnyFault(t *testing.T) {
	t.Parallel()
	for name, prepare := range beginnings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachFault(t, prepare, func(t *testing.T, store *memtest.Store, err error) {
				if err != nil {
					if !errors.Is(err, errReset) {
						t.Errorf("the error is %v", err)
					}
					var known interface{ Unwrap() error }
					if !errors.As(err, &known) || !strings.HasPrefix(err.Error(), "plan: ") && !strings.HasPrefix(err.Error(), "finish: ") {
						t.Errorf("%v does not say what was tried", err)
					}
				}
				completes(t, store, plan(2))
			})
		})
	}
}

// completes begins a job as the next attempt does, does what is left of it, and looks at
// what has come of it.
func completes(t *testing.T, store *memtest.Store, j job) {
	t.Helper()
	run := begin(t, store, output, j)
	if run.State().Condition != runs.Finished {
		for i := range 2 {
			if !run.Committed(i) {
				commitBoth(t, store, run, i)
			}
		}
		if err := run.Finish(t.Context(), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range store.Names() {
		if strings.Contains(name, "/work/") || strings.HasSuffix(name, "FAILED") || strings.HasSuffix(name, "failed.json") {
			t.Errorf("%s is left", name)
		}
	}
	s := inspect(t, store, output).Summary()
	for i := range 2 {
		name := fmt.Sprintf("%s/predictions-%05d-of-00002.jsonl", output, i)
		if content, _ := store.Content(name); len(content) != 4 {
			t.Errorf("%s holds %q", name, content)
		}
	}
	if s.Parts != 2 || s.Tally.Predicted != 2 {
		t.Errorf("%+v", s)
	}
}

func TestABeginThatFailsIsNotTakenForAnAttemptAtWork(t *testing.T) {
	t.Parallel()
	for name, prepare := range beginnings() {
		if name == "a finished run" || name == "a run that was told to accept changes" {
			continue // there is nothing to be at work at, or somebody is
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachFault(t, prepare, func(t *testing.T, store *memtest.Store, err error) {
				if err == nil {
					return
				}
				for _, name := range store.Names() {
					if strings.HasSuffix(name, "/process.json") {
						t.Errorf("after %v, %s is left", err, name)
					}
				}
			})
		})
	}
}

func TestFinishEndsWellAfterAnyFault(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before", "after"} {
		for n := 1; ; n++ {
			store := memtest.New()
			run := begin(t, store, output, plan(2))
			commitBoth(t, store, run, 0)
			commitBoth(t, store, run, 1)
			reached := failOnce(store, n, when)
			err := run.Finish(t.Context(), []byte("{}"))
			store.Before(nil)
			store.After(nil)
			if err != nil && !errors.Is(err, errReset) {
				t.Errorf("%s operation %d: %v", when, n, err)
			}
			if _, ok := store.Content(output + "/_SUCCESS"); err == nil && !ok {
				t.Errorf("%s operation %d: no _SUCCESS", when, n)
			}
			completes(t, store, plan(2))
			if !reached() {
				break
			}
		}
	}
}

func TestFailAndStopEndWellAfterAnyFault(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, run *runs.Run) error{
		"fail": func(t *testing.T, run *runs.Run) error { return run.Fail(t.Context(), "why", limits, []byte("{}")) },
		"stop": func(t *testing.T, run *runs.Run) error { return run.Stop(t.Context(), []byte("{}")) },
	} {
		for _, when := range []string{"before", "after"} {
			for n := 1; ; n++ {
				store := memtest.New()
				run := begin(t, store, output, plan(2))
				commitBoth(t, store, run, 0)
				reached := failOnce(store, n, when)
				err := end(t, run)
				store.Before(nil)
				store.After(nil)
				if err != nil && !errors.Is(err, errReset) {
					t.Errorf("%s, %s operation %d: %v", name, when, n, err)
				}
				completes(t, store, plan(2))
				if !reached() {
					break
				}
			}
		}
	}
}
