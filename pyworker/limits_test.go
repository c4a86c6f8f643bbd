package pyworker

import (
	"context"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Two calls are with the worker at the same time: the time limit of the second one begins
// when the first has been answered.
func TestPoolGivesACallThatWaitsAtItsWorkerAllOfItsTime(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "sleeps"))
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	for range maxInflight {
		calls.Go(func() {
			c := newTestCall("3.2")
			c.Limit = 4 * time.Second
			if _, err := p.Predict(context.Background(), c); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}

func TestClosedPoolWaitsForItsWorkersForALimitedTime(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "sleeps"))
	ctx, leave := context.WithCancel(t.Context())
	first, second := newTestCall("0.5"), newTestCall("20")
	queued, answered := make(chan struct{}), make(chan struct{})
	first.Queued = func() { close(queued) }
	go func() {
		defer close(answered)
		if _, err := p.Predict(context.Background(), first); err != nil {
			t.Error(err)
		}
	}()
	<-queued
	// By the time the first call is answered the worker has been sent the second.
	second.Queued = func() { <-answered; leave() }
	if _, err := p.Predict(ctx, second); err == nil {
		t.Error("the call was answered")
	}
	closeWithin(t, p, 2*endGrace)
}

// What is in a session of its own is not killed with its worker's group. Its hold on the
// worker's streams keeps nobody waiting.
func TestPoolEndsWithStreamsThatAnotherSessionHolds(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "leaves_session"))
	pid, err := strconv.Atoi(predict(t, p, newTestCall("20"))[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-pid, syscall.SIGKILL) }()
	closeWithin(t, p, 2*endGrace)
}

func closeWithin(t *testing.T, p *Pool, limit time.Duration) {
	t.Helper()
	began := time.Now()
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > limit {
		t.Errorf("the pool was closed after %s; at most %s are expected", took, limit)
	}
}
