package runs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// claimsFolder is where the tasks of the run in out leave their heartbeats.
const claimsFolder = "out/_cpr-batch/claims"

const commitsFolder = "out/_cpr-batch/commits"

// site is a run that several tasks share, on a store whose clock goes with the time of the
// test's bubble, but shows another time than this machine's does.
type site struct {
	*memtest.Store
	job job

	mu   sync.Mutex
	last time.Time
	hook func(op, name string) error
}

func newSite(splits int) *site {
	s := &site{Store: memtest.New(), job: plan(splits), last: time.Now()}
	s.Before(func(op, name string) error {
		s.mu.Lock()
		now := time.Now()
		s.Advance(now.Sub(s.last))
		s.last = now
		hook := s.hook
		s.mu.Unlock()
		if hook != nil {
			return hook(op, name)
		}
		return nil
	})
	return s
}

// on sets what is called before each operation.
func (s *site) on(hook func(op, name string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// task is a process that takes splits of a run.
type task struct {
	*runs.Share
	run *runs.Run
	log *logs
}

// logs is what is logged, from several goroutines.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

func (s *site) start(t testing.TB, c runs.TaskConfig) *task {
	t.Helper()
	k := &task{run: begin(t, s, "out", s.job), log: new(logs)}
	c.Log = slog.New(slog.NewTextHandler(k.log, nil))
	share, err := k.run.Share(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	k.Share = share
	t.Cleanup(func() {
		if err := k.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return k
}

// crash ends a task without telling anybody.
func (k *task) crash(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// take takes n splits, which are there.
func (k *task) take(t testing.TB, n int) []int {
	t.Helper()
	var taken []int
	for range n {
		i, err := k.Next(t.Context())
		if err != nil {
			t.Fatalf("after %v: %v", taken, err)
		}
		taken = append(taken, i)
	}
	return taken
}

// ends checks that a task has nothing to take any more.
func (k *task) ends(t testing.TB) {
	t.Helper()
	if i, err := k.Next(t.Context()); err != io.EOF {
		t.Errorf("%d, %v; want io.EOF", i, err)
	}
}

// commit commits splits and settles them.
func (k *task) commit(t testing.TB, s *site, splits ...int) {
	t.Helper()
	for _, i := range splits {
		commit(t, s, k.run, i, "one\n")
		k.Settle(i, nil)
	}
}

// after calls f in d.
func after(d time.Duration, f func()) { time.AfterFunc(d, f) }

// told waits until what a task has taken is seen by the others.
func told() { <-time.After(5 * time.Second) }

// passing is how long f takes.
func passing(f func()) time.Duration {
	begun := time.Now()
	f()
	return time.Since(begun)
}

func want[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestSharesOfTasksArePartsOfTheWhole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		splits int
		shares [][]int
	}{
		{7, [][]int{{0, 3, 6}, {1, 4}, {2, 5}}},
		{2, [][]int{{0}, {1}, nil}},
		{5, [][]int{{0, 1, 2, 3, 4}}},
	} {
		t.Run(fmt.Sprint(tt.splits, " splits of ", len(tt.shares)), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(tt.splits)
				var tasks []*task
				for i := range tt.shares {
					tasks = append(tasks, s.start(t, runs.TaskConfig{Index: i, Count: len(tt.shares)}))
				}
				for i, k := range tasks {
					want(t, fmt.Sprint("share ", i), k.take(t, len(tt.shares[i])), tt.shares[i])
				}
				for i, k := range tasks {
					k.commit(t, s, tt.shares[i]...)
				}
				for _, k := range tasks {
					k.ends(t)
				}
			})
		})
	}
}

func TestShareRefusesATaskThatIsNone(t *testing.T) {
	t.Parallel()
	run := begin(t, memtest.New(), "out", plan(1))
	for _, c := range []runs.TaskConfig{{}, {Index: 1, Count: 1}, {Index: -1, Count: 2}} {
		if _, err := run.Share(t.Context(), c); err == nil {
			t.Errorf("task %d of %d is one", c.Index, c.Count)
		}
	}
}

func TestATaskAloneAsksNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(3)
		earlier := begin(t, s, "out", s.job)
		commit(t, s, earlier, 1, "one\n")
		k := s.start(t, runs.TaskConfig{Count: 1})
		s.on(func(op, name string) error { return fmt.Errorf("%s %s is not needed", op, name) })
		want(t, "taken", k.take(t, 2), []int{0, 2})
		k.ends(t)
		s.on(nil)
	})
}

func TestAnotherOfTheSameShareComesFromTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(6)
		first := s.start(t, runs.TaskConfig{Count: 1})
		want(t, "first", first.take(t, 1), []int{0})
		second := s.start(t, runs.TaskConfig{Count: 1})
		want(t, "second", second.take(t, 2), []int{5, 4})
		want(t, "passing", passing(func() {
			<-time.After(11 * time.Second) // the first sees the second
			want(t, "first", first.take(t, 1), []int{1})
		}), 11*time.Second)
		third := s.start(t, runs.TaskConfig{Count: 1})
		want(t, "third", third.take(t, 1), []int{3})
		want(t, "second", second.take(t, 1), []int{2})
		for k, splits := range map[*task][]int{first: {0, 1}, second: {5, 4, 2}, third: {3}} {
			k.commit(t, s, splits...)
		}
		for _, k := range []*task{first, second, third} {
			k.ends(t)
		}
	})
}

func TestATaskHelpsWithWhatNobodyWorksAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(6)
		k := s.start(t, runs.TaskConfig{Index: 1, Count: 3}) // the others never come
		want(t, "its share", k.take(t, 2), []int{1, 4})
		others := k.take(t, 4)
		slices.Sort(others)
		want(t, "the other shares", others, []int{0, 2, 3, 5})
		k.ends(t)
	})
}

func TestHelpersTakeWhatOthersHaveNotBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(40)
		slow := s.start(t, runs.TaskConfig{Index: 0, Count: 4})
		want(t, "slow", slow.take(t, 2), []int{0, 4})
		told()
		taken := []int{0, 4}
		for index := 1; index < 4; index++ {
			k := s.start(t, runs.TaskConfig{Index: index, Count: 4})
			taken = append(taken, k.take(t, 12)...)
		}
		<-time.After(11 * time.Second) // they have all been seen
		taken = append(taken, slow.take(t, 2)...)
		slices.Sort(taken)
		want(t, "all of them once", slices.Compact(slices.Clone(taken)), taken)
		want(t, "all", len(taken), 40)
	})
}

func TestTheSplitsOfALostTaskAreTaken(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		restart  time.Duration // after it was lost
		min, max time.Duration // until they are taken
	}{
		"by one who was there":        {0, 35 * time.Second, 49 * time.Second},
		"by one who comes 20 s later": {20 * time.Second, 15 * time.Second, 29 * time.Second},
		"by one who comes 39 s later": {39 * time.Second, 0, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(4)
				lost := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
				want(t, "lost", lost.take(t, 1), []int{1})
				var k *task
				if tt.restart == 0 {
					k = s.start(t, runs.TaskConfig{Index: 0, Count: 2})
				}
				<-time.After(15 * time.Second) // its last heartbeat was 5 s ago
				lost.crash(t)
				if k == nil {
					<-time.After(tt.restart)
					k = s.start(t, runs.TaskConfig{Index: 0, Count: 2})
				}
				var took []int
				passed := passing(func() { took = k.take(t, 3) })
				slices.Sort(took)
				want(t, "what nobody works at", took, []int{0, 2, 3})
				want(t, "time for what nobody works at", passed, 0)
				passed = passing(func() { want(t, "of the lost", k.take(t, 1), []int{1}) })
				if passed < tt.min || passed > tt.max {
					t.Errorf("taken after %v; want %v to %v", passed, tt.min, tt.max)
				}
				k.ends(t)
			})
		})
	}
}

func TestALivingTaskKeepsItsSplits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		slow := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		slow.take(t, 1)
		told()
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		k.commit(t, s, k.take(t, 1)...)
		s.on(func(op, name string) error {
			if op == "list" && name == commitsFolder {
				t.Error("all commits are listed, for the sake of one")
			}
			return nil
		})
		after(10*time.Minute, func() { slow.commit(t, s, 1) })
		passed := passing(func() { k.ends(t) })
		// It looks after half a pause of 2.5 s to one and a half, and not at commits that it has
		// looked at less than a pause ago.
		if passed < 10*time.Minute || passed > 10*time.Minute+6250*time.Millisecond {
			t.Errorf("it waited for %v", passed)
		}
		want(t, "told to wait", k.log.count("waiting for them"), 1)
		want(t, "told of a lost task", k.log.count("is lost"), 0)
	})
}

func TestWaitingEndsWhenTheLastIsKnownToBeCommitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		slow := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		slow.take(t, 1)
		told()
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		k.take(t, 1)
		after(10*time.Minute, func() {
			slow.commit(t, s, 1)
			if err := k.run.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		})
		want(t, "passing", passing(func() { k.ends(t) }), 10*time.Minute)
	})
}

func TestHeartbeatsGoOnWhileWorkIsFinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		run := begin(t, s, "out", s.job)
		ctx, cancel := context.WithCancel(t.Context())
		share, err := run.Share(ctx, runs.TaskConfig{Index: 1, Count: 2})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := share.Next(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		told()
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		k.take(t, 1)
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if i, err := k.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d, %v", i, err)
		}
		if err := share.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatOthersHaveCommittedIsNotTaken(t *testing.T) {
	t.Parallel()
	t.Run("by a helper", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newSite(60)
			k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
			k.take(t, 31) // and so has looked right now
			other := begin(t, s, "out", s.job)
			for i := 1; i < 60; i += 2 {
				commit(t, s, other, i, "one\n")
			}
			k.ends(t)
		})
	})
	t.Run("by the owner, from a helper", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newSite(60)
			owner := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
			helper := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
			helper.commit(t, s, helper.take(t, 31)...)
			<-time.After(11 * time.Second)
			want(t, "the helper's first", owner.run.Committed(1), false)
			want(t, "owner", owner.take(t, 1), []int{3})
		})
	})
}

func TestATaskThatIsToldSoDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(3)
		slow := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		slow.take(t, 1)
		told()
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2, NoWait: true})
		want(t, "taken", k.take(t, 2), []int{0, 2})
		want(t, "passing", passing(func() { k.ends(t) }), 0)
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		slow := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		slow.take(t, 1)
		told()
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		k.take(t, 1)
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		after(time.Second/10, func() { cancel(cause) })
		passed := passing(func() {
			if i, err := k.Next(ctx); !errors.Is(err, cause) {
				t.Errorf("%d, %v", i, err)
			}
		})
		want(t, "passing", passed, time.Second/10)
	})
}

func TestWhatFailedHereIsLeftToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(3)
		first := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		second := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		want(t, "first", first.take(t, 2), []int{0, 2})
		want(t, "second", second.take(t, 1), []int{1})
		first.Settle(0, errors.New("truncated"))
		first.commit(t, s, 2)
		second.commit(t, s, 1)
		first.ends(t)
		want(t, "second", second.take(t, 1), []int{0})
		second.Settle(0, errors.New("truncated"))
		second.ends(t)
	})
}

// stopAt returns a hook that makes who first does an operation on a name with a prefix
// wait until the channel is closed, and a channel that is closed when it has come there.
func stopAt(op, prefix string, until <-chan struct{}) (hook func(op, name string) error, reached <-chan struct{}) {
	there := make(chan struct{})
	var once sync.Once
	return func(gotOp, name string) error {
		if gotOp == op && strings.HasPrefix(name, prefix) {
			first := false
			once.Do(func() { first = true })
			if first {
				close(there)
				<-until
			}
		}
		return nil
	}, there
}

func TestOfTwoHelpersTheLaterYields(t *testing.T) {
	t.Parallel()
	for _, slow := range []int{0, 1} {
		t.Run(fmt.Sprint("the later is attempt ", slow), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(1)
				// Neither has the split in its share.
				tasks := []*task{s.start(t, runs.TaskConfig{Index: 1, Count: 3}), s.start(t, runs.TaskConfig{Index: 2, Count: 3})}
				proceed := make(chan struct{})
				hook, reached := stopAt("create", claimsFolder+"/"+tasks[slow].run.Attempt(), proceed)
				s.on(hook)
				yielded := make(chan error)
				go func() {
					_, err := tasks[slow].Next(t.Context())
					yielded <- err
				}()
				<-reached // it has seen that nobody works at the split
				want(t, "the earlier", tasks[1-slow].take(t, 1), []int{0})
				<-time.After(time.Second)
				close(proceed)
				<-time.After(3 * time.Second)
				if content, _ := s.Content(s.beats(tasks[slow])[0]); !bytes.Contains(content, []byte(`"splits":[]`)) {
					t.Errorf("the later claims it still: %s", content)
				}
				tasks[1-slow].commit(t, s, 0)
				if err := <-yielded; err != io.EOF {
					t.Errorf("the later was given the split: %v", err)
				}
			})
		})
	}
}

func TestOfTwoHelpersAtOnceOneTakesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(1)
		tasks := []*task{s.start(t, runs.TaskConfig{Index: 1, Count: 3}), s.start(t, runs.TaskConfig{Index: 2, Count: 3})}
		// Both have looked before either writes, and have written before either looks.
		var mu sync.Mutex
		created, looks := make(map[string]bool), 0
		bothCreate, bothLook := make(chan struct{}), make(chan struct{})
		s.on(func(op, name string) error {
			if !strings.HasPrefix(name, claimsFolder) {
				return nil
			}
			mu.Lock()
			wait := (<-chan struct{})(nil)
			switch {
			case op == "create":
				if created[name] = true; len(created) == 2 {
					close(bothCreate)
				}
				wait = bothCreate
			case op == "list" && len(created) == 2 && looks < 2:
				if looks++; looks == 2 {
					close(bothLook)
				}
				wait = bothLook
			}
			mu.Unlock()
			if wait != nil {
				<-wait
			}
			return nil
		})
		got := make(chan int, 2)
		for _, k := range tasks {
			go func() {
				n := 0
				defer func() { got <- n }()
				if i, err := k.Next(t.Context()); err == nil {
					n = 1
					k.commit(t, s, i)
					k.ends(t)
				}
			}()
		}
		want(t, "tasks that were given the split", <-got+<-got, 1)
	})
}

func TestHelpersAtOnceTakeDifferentSplits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(9)
		tasks := []*task{s.start(t, runs.TaskConfig{Index: 1, Count: 3}), s.start(t, runs.TaskConfig{Index: 2, Count: 3})}
		for _, k := range tasks {
			k.take(t, 3)
		}
		told()
		var mu sync.Mutex
		claims := 0
		both := make(chan struct{})
		s.on(func(op, name string) error {
			if op == "create" && strings.HasPrefix(name, claimsFolder) {
				mu.Lock()
				if claims++; claims == 2 {
					close(both)
				}
				mu.Unlock()
				<-both
			}
			return nil
		})
		var wait sync.WaitGroup
		for _, k := range tasks {
			wait.Go(func() { k.take(t, 1) })
		}
		want(t, "passing", passing(wait.Wait), 0)
		want(t, "claims", claims, 2)
	})
}

func TestAHelperYieldsToTheOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		helper := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		helper.commit(t, s, helper.take(t, 1)...)
		proceed := make(chan struct{})
		hook, reached := stopAt("list", claimsFolder, proceed)
		owner := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		s.on(func(op, name string) error {
			if op == "commit" && strings.HasPrefix(name, claimsFolder+"/"+helper.run.Attempt()) {
				s.on(hook) // the helper has written that it takes split 1, and is to look at the claims
			}
			return nil
		})
		done := make(chan error)
		go func() {
			_, err := helper.Next(t.Context())
			done <- err
		}()
		<-reached
		<-time.After(time.Second) // now the owner, which has not looked since, takes it too
		want(t, "owner", owner.take(t, 1), []int{1})
		<-time.After(3 * time.Second)
		close(proceed)
		synctest.Wait()
		owner.commit(t, s, 1)
		if err := <-done; err != io.EOF {
			t.Errorf("the helper was given the split of another's share: %v", err)
		}
	})
}

func TestAStragglersSplitIsTakenToo(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		took     time.Duration // each of the other splits
		min, max time.Duration // since the straggler began; 0: never within the hour
		limit    time.Duration
	}{
		"when it has taken too long":               {time.Second, 5 * time.Minute, 5*time.Minute + 7*time.Second, 5 * time.Minute},
		"not while others take as long":            {3 * time.Minute, 9 * time.Minute, 9*time.Minute + 7*time.Second, 5 * time.Minute},
		"not where that is not asked for":          {time.Second, 0, 0, 0},
		"when nobody knows how long a split takes": {0, 5 * time.Minute, 5*time.Minute + 7*time.Second, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(4)
				config := runs.TaskConfig{Count: 2, Straggling: tt.limit}
				straggler := s.start(t, config)
				begun := time.Now()
				want(t, "straggler", straggler.take(t, 2), []int{0, 2})
				told()
				config.Index = 1
				k := s.start(t, config)
				for range 2 {
					i := k.take(t, 1)[0]
					<-time.After(tt.took)
					if tt.took > 0 {
						k.commit(t, s, i)
					} else {
						commit(t, s, straggler.run, i, "one\n")
						k.Settle(i, nil)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				i, err := k.Next(ctx)
				passed := time.Since(begun)
				if tt.max == 0 {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%d, %v", i, err)
					}
					return
				}
				if err != nil || passed < tt.min || passed > tt.max {
					t.Fatalf("%d, %v after %v; want %v to %v", i, err, passed, tt.min, tt.max)
				}
				// One at a time, until it is done.
				brief, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if j, err := k.Next(brief); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("beside %d: %d, %v", i, j, err)
				}
				k.commit(t, s, i)
				want(t, "the other one", k.take(t, 1), []int{2 - i})
			})
		})
	}
}

func TestAStragglersSplitThatFailedHereIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		k := s.start(t, runs.TaskConfig{Index: 1, Count: 2, Straggling: time.Minute})
		want(t, "taken", k.take(t, 1), []int{1})
		k.Settle(1, errors.New("truncated"))
		told()
		other := s.start(t, runs.TaskConfig{Count: 1})
		for _, i := range []int{1, 0} {
			want(t, "other", other.take(t, 1), []int{i})
			told()
		}
		<-time.After(2 * time.Minute)
		want(t, "passing", passing(func() { want(t, "taken", k.take(t, 1), []int{0}) }), 0)
	})
}

func TestAStragglersSplitIsTakenByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(1)
		config := runs.TaskConfig{Count: 5, Straggling: time.Minute}
		s.start(t, config).take(t, 1)
		told()
		var wait sync.WaitGroup
		var mu sync.Mutex
		given := 0
		for config.Index = 1; config.Index < 5; config.Index++ {
			k := s.start(t, config)
			wait.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				if _, err := k.Next(ctx); err == nil {
					mu.Lock()
					given++
					mu.Unlock()
					return
				}
				if name := path.Base(s.beats(k)[0]); name > "0000000065.json" {
					t.Errorf("heartbeat %s in ten minutes: it tries to take what two work at", name)
				}
			})
		}
		wait.Wait()
		want(t, "tasks that were given the split", given, 1)
	})
}

func TestWhatOthersCommitIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(6)
		record := func(run *runs.Run, split int, predicted, failed int64) {
			r, err := prepare(t.Context(), s, run, split, "one\n")
			if err != nil {
				t.Fatal(err)
			}
			r.Tally = pipeline.Tally{Read: predicted + failed, Predicted: predicted, Failed: failed}
			if _, err := run.Commit(t.Context(), r); err != nil && !errors.Is(err, pipeline.ErrCommitted) {
				t.Fatal(err)
			}
		}
		other := begin(t, s, "out", s.job)
		record(other, 0, 1000, 1000)
		elsewhere := new(pipeline.Elsewhere)
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2, Elsewhere: elsewhere})
		record(k.run, 2, 100, 100)
		record(other, 1, 10, 3)
		record(other, 3, 20, 4)
		want(t, "at once", elsewhere.Predicted.Load(), 0)
		record(k.run, 3, 7, 7) // too late: the other's counts
		want(t, "where this one was too late", elsewhere.Predicted.Load(), 20)
		<-time.After(time.Minute)
		want(t, "predicted", elsewhere.Predicted.Load(), 30)
		want(t, "failed", elsewhere.Failed.Load(), 7)
	})
}

func TestAnUnreadableFolderIsAskedAgain(t *testing.T) {
	t.Parallel()
	broken := fmt.Errorf("cut off: %w", io.EOF) // an end that is not the end of the work
	for name, tt := range map[string]struct {
		folder string
		lasts  time.Duration
	}{
		"claims, for a while":  {claimsFolder, 2 * time.Minute},
		"commits, for a while": {commitsFolder, 2 * time.Minute},
		"claims, for too long": {claimsFolder, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(60)
				slow := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
				slow.take(t, 30)
				k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
				k.take(t, 30)
				<-time.After(time.Minute)
				s.on(func(op, name string) error {
					if op == "list" && strings.HasPrefix(name, tt.folder) {
						return broken
					}
					return nil
				})
				after(tt.lasts, func() { s.on(nil) })
				if tt.lasts < time.Hour {
					after(3*time.Minute, func() {
						for i := range 30 {
							slow.commit(t, s, 2*i+1)
						}
					})
					k.ends(t)
				} else {
					passed := passing(func() {
						_, err := k.Next(t.Context())
						asError(t, err, pipeline.TryAgain, "out", "cut off")
						if errors.Is(err, io.EOF) {
							t.Error("the error passes for the end of the work")
						}
					})
					if passed < 5*time.Minute || passed > 6*time.Minute {
						t.Errorf("after %v", passed)
					}
					s.on(nil)
				}
				want(t, "told", k.log.count("can not be looked at"), 1)
			})
		})
	}
}

func TestAFolderThatIsUnreadableNowAndThenEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		slow := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		slow.take(t, 1)
		told()
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		k.take(t, 1)
		begun := time.Now()
		s.on(func(op, name string) error {
			if op == "list" && name == claimsFolder && int(time.Since(begun).Minutes())%3 == 1 {
				return errors.New("away")
			}
			return nil
		})
		after(20*time.Minute, func() { slow.commit(t, s, 1) })
		k.ends(t)
		want(t, "told", k.log.count("can not be looked at"), 7)
	})
}

func TestADamagedRecordEndsTheSearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		k.take(t, 1)
		s.Put(commitsFolder+"/"+string(k.run.Plan().Splits.ID(1))+".json", []byte("{"))
		_, err := k.Next(t.Context())
		asError(t, err, pipeline.FixConfig, "damaged")
	})
}

// TestTasksThatCrash has eight tasks take splits and crash at random.
func TestTasksThatCrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { crashing(t, seed) })
		})
	}
}

func crashing(t *testing.T, seed uint64) {
	const tasks, splits, side = 8, 120, 2
	s := newSite(splits)
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	chance := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	given, crashes := make([]int, splits), 0
	// life is a task from its start to its end or its crash; true: it has ended.
	life := func(index int) bool {
		k := s.start(t, runs.TaskConfig{Index: index, Count: tasks})
		slots := make(chan struct{}, side)
		dead := make(chan struct{})
		var wait sync.WaitGroup
		defer wait.Wait()
		for {
			slots <- struct{}{}
			select {
			case <-dead:
				return false
			default:
			}
			i, err := k.Next(t.Context())
			if err == io.EOF {
				return true
			}
			if err != nil {
				t.Error(err)
				return true
			}
			mu.Lock()
			given[i]++
			mu.Unlock()
			if chance(25) == 0 {
				k.crash(t)
				mu.Lock()
				crashes++
				mu.Unlock()
				close(dead)
				return false
			}
			wait.Go(func() {
				defer func() { <-slots }()
				select {
				case <-time.After(time.Duration(1+chance(40000)) * time.Millisecond):
				case <-dead:
					return
				}
				r, err := prepare(t.Context(), s, k.run, i, "one\n")
				if err == nil {
					_, err = k.run.Commit(t.Context(), r)
				}
				if err != nil && !errors.Is(err, pipeline.ErrCommitted) {
					t.Error(err)
				}
				k.Settle(i, nil)
			})
		}
	}
	var all sync.WaitGroup
	for index := range tasks {
		all.Go(func() {
			for !life(index) {
				<-time.After(time.Duration(chance(60)) * time.Second)
			}
		})
	}
	all.Wait()
	doubled := 0
	for i, n := range given {
		if n == 0 {
			t.Errorf("split %d was never taken", i)
		}
		doubled += max(0, n-1)
	}
	if got := inspect(t, s, "out").Summary().Parts; got != splits {
		t.Errorf("%d of %d parts are committed", got, splits)
	}
	// What a crash has left is taken again: as many as are under way, and no more but a few.
	if bound := side*crashes + 4; doubled > bound {
		t.Errorf("%d splits were taken again after %d crashes; want at most %d", doubled, crashes, bound)
	}
	t.Logf("%d crashes, %d taken again", crashes, doubled)
}

func BenchmarkShareNext(b *testing.B) {
	const splits = 1_000_000
	store := memtest.New()
	j := plan(0)
	j.pieces = slices.Repeat([]pipeline.Piece{{URI: "in/a.jsonl", Generation: "g1", Size: 10, End: 10}}, splits)
	run := begin(b, store, "out", j)
	for b.Loop() {
		share, err := run.Share(b.Context(), runs.TaskConfig{Count: 1})
		if err != nil {
			b.Fatal(err)
		}
		for {
			i, err := share.Next(b.Context())
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			share.Settle(i, nil)
		}
		if err := share.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/splits, "ns/split")
}

// BenchmarkShareHelp is what it costs to find one split among a million, of which nearly all
// are taken.
func BenchmarkShareHelp(b *testing.B) {
	const splits = 1_000_000
	store := memtest.New()
	j := plan(0)
	j.pieces = slices.Repeat([]pipeline.Piece{{URI: "in/a.jsonl", Generation: "g1", Size: 10, End: 10}}, splits)
	run := begin(b, store, "out", j)
	share, err := run.Share(b.Context(), runs.TaskConfig{Count: 1000})
	if err != nil {
		b.Fatal(err)
	}
	for range splits / 1000 {
		if _, err := share.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		i, err := share.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		share.Settle(i, nil)
	}
	if err := share.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
