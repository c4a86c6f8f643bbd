package pyworker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

func TestPoolReplacesAWorkerWhoseAnswerIsBroken(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"too many predictions", "an exception that is no JSON"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := startPool(t, hostileConfig(t, way))
			again := newTestCall("1")
			again.Worker = callError(t, p, newTestCall("1")).Worker
			if _, err := p.Predict(context.Background(), again); !errors.Is(err, pipeline.ErrWorkerGone) {
				t.Errorf("the worker is there still: %v", err)
			}
		})
	}
}

// What a worker has not begun on, or not ended, when it is replaced costs nobody anything.
func TestPoolPassesTheCallsOfAReplacedWorkerOn(t *testing.T) {
	t.Parallel()
	cfg := poolConfig(t, "sleeps")
	cfg.Count = 2
	p := startPool(t, cfg)
	kwargs := []byte(`{"filler": "` + strings.Repeat("x", 1<<20) + `"}`)
	answers := make(chan error)
	var once sync.Once
	for p.Stats().Ready < 2 {
		if _, err := p.Predict(context.Background(), newTestCall("0.01")); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		c := newTestCall("0.2")
		c.Kwargs = kwargs
		go func() {
			answer, err := p.Predict(context.Background(), c)
			once.Do(func() { p.Replace(answer.Worker, "a test") })
			answers <- err
		}()
	}
	for range 3 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if s := p.Stats(); s.Started > 3 || s.Died != 0 {
		t.Errorf("%d workers started, %d died", s.Started, s.Died)
	}
}
