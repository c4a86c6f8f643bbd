package pyworker

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// python is the interpreter that the tests use, without what may stand before it on PATH.
var python = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	return strings.TrimSpace(string(out)), err
})

// poolConfig is a pool of one worker with a class of testdata/predictors.
func poolConfig(t testing.TB, class string) PoolConfig {
	t.Helper()
	interpreter, err := python()
	if err != nil {
		t.Fatal(err)
	}
	predictors, err := filepath.Abs("testdata/predictors")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(class, ".") {
		class += ".Predictor"
	}
	return PoolConfig{
		Interpreter: interpreter, Environ: os.Environ(), Env: map[string]string{"PYTHONDONTWRITEBYTECODE": "1"},
		Dir: t.TempDir(), Class: class, ModelDir: t.TempDir(), Paths: []string{predictors},
		Count: 1, LoadTimeout: 30 * time.Second,
	}
}

// startPool starts a pool that is closed with the test.
func startPool(t testing.TB, cfg PoolConfig) *Pool {
	t.Helper()
	p, err := NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.Start(ctx)
	t.Cleanup(func() {
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(cfg.Dir); len(left) > 0 {
			t.Errorf("%d folders of workers are left", len(left))
		}
	})
	return p
}

func newTestCall(texts ...string) pipeline.Call {
	c := pipeline.Call{Limit: 30 * time.Second}
	for _, text := range texts {
		c.Instances = append(c.Instances, pipeline.Instance{Echo: []byte(text), Input: []byte(text)})
	}
	return c
}

// predict makes a call and shows its outcomes: the prediction's text, or the failure's
// phase, type and message.
func predict(t testing.TB, p *Pool, c pipeline.Call) []string {
	t.Helper()
	answer, err := p.Predict(context.Background(), c)
	if err != nil {
		t.Fatalf("predict: %v\n%s", err, stderrOf(err))
	}
	return shown(answer.Outcomes)
}

func shown(outcomes []pipeline.Outcome) []string {
	var all []string
	for _, o := range outcomes {
		if o.Failure != nil {
			all = append(all, "! "+string(o.Failure.Phase)+" "+o.Failure.Type+": "+o.Failure.Message)
		} else {
			all = append(all, string(o.Prediction))
		}
	}
	return all
}

// callError makes a call that must fail.
func callError(t testing.TB, p *Pool, c pipeline.Call) *pipeline.CallError {
	t.Helper()
	answer, err := p.Predict(context.Background(), c)
	var failed *pipeline.CallError
	if !errors.As(err, &failed) {
		t.Fatalf("predict: %q, %v; want a call error", shown(answer.Outcomes), err)
	}
	return failed
}

func quoted(texts ...string) []string {
	for i, text := range texts {
		b, _ := json.Marshal(text)
		texts[i] = string(b)
	}
	return texts
}

func TestPoolUsesAllWorkersAndKeepsAnswersApart(t *testing.T) {
	t.Parallel()
	cfg := poolConfig(t, "echo")
	cfg.Count = 2
	p := startPool(t, cfg)
	var calls sync.WaitGroup
	for i := range 50 {
		calls.Go(func() {
			text, _ := json.Marshal(map[string]int{"i": i})
			c := newTestCall(slices.Repeat([]string{string(text)}, 1+i%7)...)
			if diff := cmp.Diff(slices.Repeat([]string{string(text)}, 1+i%7), predict(t, p, c)); diff != "" {
				t.Error(diff)
			}
		})
	}
	calls.Wait()
	if got := p.Stats(); got.Started != 2 || got.Died != 0 || got.Count != 2 {
		t.Errorf("stats: %+v", got)
	}
}

func TestPoolHasTwoCallsOnTheirWayToAWorker(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "sleeps"))
	if err := p.Ready(context.Background()); err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() { predict(t, p, newTestCall("0.2")) })
	}
	eventually(t, 5*time.Second, "two calls are with the worker, one waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.workers) == 1 && len(p.workers[0].inflight) == 2 && len(p.waiting) == 1
	})
	calls.Wait()
}

func TestPoolPinsACallToItsWorker(t *testing.T) {
	t.Parallel()
	cfg := poolConfig(t, "where")
	cfg.Count = 2
	p := startPool(t, cfg)
	first, err := p.Predict(context.Background(), newTestCall(`"os.getpid()"`))
	if err != nil {
		t.Fatal(err)
	}
	c := newTestCall(`"os.getpid()"`)
	c.Worker = first.Worker
	for range 3 {
		if diff := cmp.Diff(shown(first.Outcomes), predict(t, p, c)); diff != "" {
			t.Error(diff)
		}
	}
	p.Replace(first.Worker, "the test wants it")
	p.Replace(first.Worker, "it is gone already")
	if _, err := p.Predict(context.Background(), c); !errors.Is(err, pipeline.ErrWorkerGone) {
		t.Errorf("a call for a replaced worker: %v", err)
	}
	c.Worker = 0
	if diff := cmp.Diff(shown(first.Outcomes), predict(t, p, c)); diff == "" {
		t.Error("the replaced worker still answers")
	}
}

func TestPoolRecyclesWorkers(t *testing.T) {
	t.Parallel()
	cfg := poolConfig(t, "counts")
	cfg.MaxRequests = 2
	p := startPool(t, cfg)
	var got []string
	for range 5 {
		got = append(got, predict(t, p, newTestCall("1"))...)
	}
	if diff := cmp.Diff([]string{"[1,1]", "[2,2]", "[1,1]", "[2,2]", "[1,1]"}, got); diff != "" {
		t.Error(diff)
	}
	if s := p.Stats(); s.Started != 3 || s.Died != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestPoolGivesUpACallWhoseCallerHasGone(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "sleeps"))
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.Predict(ctx, newTestCall("0.6")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("predict: %v", err)
	}
	if diff := cmp.Diff([]string{"0"}, predict(t, p, newTestCall("0"))); diff != "" {
		t.Error(diff)
	}
}

func TestPoolRefusesCallsAfterItsEnd(t *testing.T) {
	t.Parallel()
	cfg := poolConfig(t, "sleeps")
	p := startPool(t, cfg)
	if err := p.Ready(context.Background()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := p.Predict(context.Background(), newTestCall("0.3"))
		done <- err
	}()
	eventually(t, 5*time.Second, "the call is under way", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.workers[0].inflight) == 1
	})
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("the call under way: %v", err)
	}
	if _, err := p.Predict(context.Background(), newTestCall("0")); !errors.Is(err, ErrClosed) {
		t.Errorf("a call after Close: %v", err)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if s := p.Stats(); s.PeakMemory < 1<<20 || s.Load <= 0 || s.Idle <= 0 || s.Died != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestPoolEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p, err := NewPool(poolConfig(t, "sleeps"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	p.Start(ctx)
	if err := p.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	why := errors.New("the test is over")
	cancel(why)
	if _, err := p.Predict(context.Background(), newTestCall("1000")); !errors.Is(err, why) {
		t.Errorf("predict: %v", err)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// recordedGroups remembers what it was told.
type recordedGroups struct {
	mu             sync.Mutex
	added, removed []int
}

func (g *recordedGroups) Add(pgid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.added = append(g.added, pgid)
}

func (g *recordedGroups) Remove(pgid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.removed = append(g.removed, pgid)
}

func TestPoolTellsOfItsGroups(t *testing.T) {
	t.Parallel()
	groups := &recordedGroups{}
	cfg := poolConfig(t, "where")
	cfg.Groups = groups
	p := startPool(t, cfg)
	got := predict(t, p, newTestCall(`"os.getpid() == os.getpgid(0)"`))
	if diff := cmp.Diff([]string{"true"}, got); diff != "" {
		t.Error(diff)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(groups.added) != 1 || !slices.Equal(groups.added, groups.removed) {
		t.Errorf("added %v, removed %v", groups.added, groups.removed)
	}
}

// stderrOf is what a worker wrote before its pool ended with err.
func stderrOf(err error) string {
	var e *pipeline.Error
	if errors.As(err, &e) {
		return e.Traceback + e.Stderr
	}
	return ""
}
