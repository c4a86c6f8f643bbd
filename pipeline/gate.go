package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// maxSuspicions is how many workers a run replaces untested before anything has been
	// predicted, beside those that calls of waiting batches may have harmed.
	maxSuspicions = 4
	// suspicionTime is how long after the first of them that goes on.
	suspicionTime = 15 * time.Second
	// maxTurns is how many more, one for each batch that is treated by then.
	maxTurns = 16
)

// gate lets isolations pass one after the other until something has been predicted, and
// freely from then on. Before, nothing tells a culprit from a worker that another call has
// harmed, so two isolations would only mislead each other; and a Predictor that fails on
// everything is found out at the cost of one.
type gate struct {
	turn   chan struct{} // holds whose turn it is
	opened chan struct{} // closed when something has been predicted
	once   sync.Once

	mu      sync.Mutex
	turns   int
	waiting int
	most    int // that have waited at the same time
}

func newGate() *gate { return &gate{turn: make(chan struct{}, 1), opened: make(chan struct{})} }

// open lets everybody pass from now on.
func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

// pass waits for its turn. What it returns gives the turn to the next.
func (g *gate) pass(ctx context.Context) (func(), error) {
	g.wait(1)
	defer g.wait(-1)
	select {
	case <-g.opened:
		return func() {}, nil
	default:
	}
	select {
	case g.turn <- struct{}{}:
		g.mu.Lock()
		g.turns++
		g.mu.Unlock()
		return func() { <-g.turn }, nil
	case <-g.opened:
		return func() {}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (g *gate) wait(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting += n
	g.most = max(g.most, g.waiting)
}

// suspicions is how many workers may have been replaced untested by now.
func (g *gate) suspicions() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maxSuspicions + g.most + min(g.turns, maxTurns)
}

// admit treats a group of which the first call failed, when its turn has come.
func (is *isolation) admit(ctx context.Context, g group, failed *CallError) error {
	leave, err := is.gate.pass(ctx)
	if err != nil {
		return err
	}
	err = is.examine(ctx, g, failed)
	// An error that ends the run leaves nobody a turn.
	if end := (*Error)(nil); !errors.As(err, &end) {
		leave()
	}
	return err
}

// examine treats a group. A worker that had failed another call before is tried first.
func (is *isolation) examine(ctx context.Context, g group, failed *CallError) error {
	if suspect(failed) && failed.Harmed {
		unwell, err := is.test(ctx, failed)
		if err != nil {
			return err
		}
		if unwell {
			if failed, err = is.call(ctx, g); err != nil || failed == nil {
				return err
			}
		}
	}
	is.whole = g.size()
	return is.treat(ctx, g, failed, firstTime)
}
