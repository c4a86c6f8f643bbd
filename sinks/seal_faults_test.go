package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// sealing are the splits of a run of which an earlier attempt has sealed what it could.
var sealing = []split{{first, "pf pp ff pf"}, {second, "ff pp fp"}}

// asUndisturbed is what every run of these splits has to leave.
func asUndisturbed(t *testing.T) *result {
	t.Helper()
	want, err := undisturbed(t.Context(), "none", true, sealing...)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// sealedBefore is a scene in which an attempt has sealed the begin of the first split.
func sealedBefore(ctx context.Context, s *scene) error {
	err := oneAttempt(ctx, s, sealing[0], "sk")
	if !errors.Is(err, errGivenUp) {
		return fmt.Errorf("it was not given up: %w", err)
	}
	return nil
}

var errFault = errors.New("fault")

// faults are ways in which operation number n goes wrong.
var faults = map[string]func(store *memtest.Store, n int64, operations *atomic.Int64){
	"fails": func(store *memtest.Store, n int64, operations *atomic.Int64) {
		store.Before(func(string, string) error { return faultIf(operations.Add(1) == n) })
	},
	"loses its reply": func(store *memtest.Store, n int64, operations *atomic.Int64) {
		store.After(func(string, string) error { return faultIf(operations.Add(1) == n) })
	},
	"is the first of a dead store": func(store *memtest.Store, n int64, operations *atomic.Int64) {
		store.Before(func(string, string) error { return faultIf(operations.Add(1) >= n) })
	},
	"is the last of a store that dies": func(store *memtest.Store, n int64, operations *atomic.Int64) {
		store.After(func(string, string) error { return faultIf(operations.Add(1) >= n) })
		store.Before(func(string, string) error { return faultIf(operations.Load() >= n) })
	},
}

func faultIf(is bool) error {
	if is {
		return errFault
	}
	return nil
}

func TestAfterAnyFaultTheNextAttemptMakesTheSameOutput(t *testing.T) {
	t.Parallel()
	want := asUndisturbed(t)
	for name, install := range faults {
		for _, how := range []steps{"", "sss"} {
			t.Run(fmt.Sprintf("an operation %s, steps %q", name, how), func(t *testing.T) {
				t.Parallel()
				for n := int64(1); ; n++ {
					s, store := inMemory("none")
					if err := sealedBefore(t.Context(), s); err != nil {
						t.Fatal(err)
					}
					var operations atomic.Int64
					install(store, n, &operations)
					err := s.run(t.Context(), how, sealing...)
					store.Before(nil)
					store.After(nil)
					if err != nil && !errors.Is(err, errFault) {
						t.Errorf("operation %d: %v", n, err)
					}
					if err := errors.Join(s.run(t.Context(), how, sealing...), s.compare(t.Context(), want, sealing...)); err != nil {
						t.Fatalf("after operation %d: %v", n, err)
					}
					if operations.Load() < n {
						if n < 60 {
							t.Errorf("a run of %d operations", n)
						}
						return
					}
				}
			})
		}
	}
}

func TestAProcessKilledOnDiskLosesNothingThatIsSealed(t *testing.T) {
	t.Parallel()
	want := asUndisturbed(t)
	const many = 1 << 20
	whole := &mortal{Store: objects.NewLocal(), left: many}
	if err := newScene(whole, t.TempDir(), "none").run(t.Context(), "ss", sealing...); err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	group.SetLimit(16)
	for n := 1; n <= many-whole.left; n++ {
		folder := t.TempDir()
		group.Go(func() error {
			disk := objects.NewLocal()
			s := newScene(&mortal{Store: disk, left: n, last: n%2 == 0}, folder, "none")
			err := s.run(t.Context(), "ss", sealing...)
			if err != nil && !errors.Is(err, errKilled) {
				return fmt.Errorf("killed at operation %d: %w", n, err)
			}
			s.store = disk
			err = errors.Join(s.run(t.Context(), "", sealing...), s.compare(t.Context(), want, sealing...))
			if err != nil {
				return fmt.Errorf("after operation %d: %w", n, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// rivals are what another attempt does meanwhile.
var rivals = map[string]func(ctx context.Context, s *scene, run *runs.Run) error{
	"commits the part": func(ctx context.Context, s *scene, run *runs.Run) error {
		return s.predict(ctx, run, sealing[0], "ss")
	},
	"commits all parts": func(ctx context.Context, s *scene, run *runs.Run) error {
		return errors.Join(s.predict(ctx, run, sealing[0], "..s"), s.predict(ctx, run, sealing[1], ""))
	},
	"finishes the run": func(ctx context.Context, s *scene, run *runs.Run) error {
		return s.run(ctx, "..s", sealing...)
	},
	"seals more and gives up": func(ctx context.Context, s *scene, run *runs.Run) error {
		return s.predict(ctx, run, sealing[0], "..k")
	},
}

func TestOfTwoAttemptsBehindOneSealOneCommits(t *testing.T) {
	t.Parallel()
	want := asUndisturbed(t)
	for name, rival := range rivals {
		for _, how := range []steps{"", "..s", "...x"} {
			t.Run(fmt.Sprintf("the other one %s, steps %q", name, how), func(t *testing.T) {
				t.Parallel()
				n := 1
				for race(t, want, rival, how, n) {
					n++
				}
				if n < 10 {
					t.Errorf("an attempt of %d operations", n)
				}
			})
		}
	}
}

// race lets a rival do its work before operation number n of an attempt, and says whether
// there is one.
func race(t *testing.T, want *result, rival func(context.Context, *scene, *runs.Run) error, how steps, n int) bool {
	t.Helper()
	ctx := t.Context()
	s, store := inMemory("none")
	if err := sealedBefore(ctx, s); err != nil {
		t.Fatal(err)
	}
	slow, fast := begin(t, store, s.folder), begin(t, store, s.folder)
	var rivalErr error
	var operations atomic.Int64
	store.Before(func(string, string) error {
		if operations.Add(1) == int64(n) {
			store.Before(nil)
			rivalErr = rival(ctx, s, fast)
		}
		return nil
	})
	err := s.predict(ctx, slow, sealing[0], how)
	store.Before(nil)
	for who, err := range map[string]error{"the attempt": err, "the rival": rivalErr} {
		if err != nil && !errors.Is(err, pipeline.ErrCommitted) && !errors.Is(err, errGivenUp) {
			t.Errorf("operation %d: %s: %v", n, who, err)
		}
	}
	record, recordErr := slow.Record(ctx, first)
	if won := recordErr == nil && record.Attempt == slow.Attempt(); won != (err == nil) {
		t.Errorf("operation %d: the record is that of %s, and the attempt ends with %v", n, record.Attempt, err)
	}
	if err := errors.Join(s.run(ctx, "", sealing...), s.compare(ctx, want, sealing...)); err != nil {
		t.Errorf("after operation %d: %v", n, err)
	}
	return operations.Load() >= int64(n) && !t.Failed()
}
