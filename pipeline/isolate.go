package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxDeaths is how many instances in a row may each have killed workers, alone, without
	// one prediction in between, over the whole run.
	maxDeaths = 10
	// spareDeaths is how many more lives than finding one culprit takes an isolation may
	// cost without one prediction in between.
	spareDeaths = 8
	// shortestLimit is the least time limit of a sub-batch, unless the whole limit is shorter.
	shortestLimit = 10 * time.Second
	// maxRetrials is how often an instance is tried again because the worker that failed
	// it turned out to be unwell.
	maxRetrials = 2
	// maxTrials is the same with the workers counted that other calls had harmed before.
	maxTrials = 30
	// maxScouts is how many instances of a batch are tried alone to find a good one.
	maxScouts = 5
	// maxKnownGood bounds the text of the instance that is kept to test workers with.
	maxKnownGood = 1 << 20
)

// cure predicts batches and finds out what is wrong with those that fail: the table of
// DESIGN 5. It divides a failing batch until the instances that cause it stand alone.
type cure struct {
	pool    Pool
	errors  ErrorsConfig
	timeout time.Duration
	budget  *budget
	log     *slog.Logger

	gate    *gate
	good    atomic.Pointer[Call] // one instance that was predicted well
	ceiling atomic.Int64         // instances a call may have since memory ran out; 0: no such limit

	mu      sync.Mutex
	deaths  int               // instances that died alone, since the last prediction
	doubted map[WorkerID]bool // workers that were replaced untested
	// suspected is when the first of them was.
	suspected time.Time
}

func newCure(j *Job, b *budget, log *slog.Logger) *cure {
	return &cure{pool: j.Pool, errors: j.Errors, timeout: j.Timeout, budget: b, log: log, gate: newGate(), doubted: map[WorkerID]bool{}}
}

// isolation is one batch in treatment. items are the batch's instances that can be
// predicted; position says where in the batch each stands.
type isolation struct {
	*cure
	task     *batchRun
	items    []Instance
	position []int // nil: items are the whole batch
	outcomes []Outcome

	stuck   int   // calls that gave no answer in time
	deaths  int   // since the last prediction in this isolation
	whole   int   // instances of the call that was divided first
	ceiling int64 // of the cure, when this isolation began
	scouted bool  // has looked for an instance that is known to be good
}

// group is a range of an isolation's items.
type group struct{ from, to int }

func (g group) size() int { return g.to - g.from }

func (g group) halves() (group, group) {
	middle := g.from + g.size()/2
	return group{g.from, middle}, group{middle, g.to}
}

// predict fills task.outcomes, one for each instance of the batch, in order.
func (c *cure) predict(ctx context.Context, task *batchRun) error {
	is := &isolation{cure: c, task: task, ceiling: c.ceiling.Load()}
	if err := is.prepare(ctx); err != nil {
		return err
	}
	for g := range is.portions(group{0, len(is.items)}) {
		failed, err := is.call(ctx, g)
		if err == nil && failed != nil {
			err = is.admit(ctx, g, failed)
		}
		if err != nil {
			return err
		}
	}
	if is.position != nil {
		for i, at := range is.position {
			task.outcomes[at] = is.outcomes[i]
		}
	}
	return nil
}

// prepare sets the instances aside that failed while they were read.
func (is *isolation) prepare(ctx context.Context) error {
	b := is.task.batch
	is.task.outcomes = make([]Outcome, len(b.Instances))
	failed := 0
	for i := range b.Instances {
		if f := b.Instances[i].Failure; f != nil {
			failed++
			is.task.outcomes[i].Failure = f
			if err := is.task.split.fail(ctx, b, i, f); err != nil {
				return err
			}
			if err := is.budget.count(0, 1, f); err != nil {
				return err
			}
		}
	}
	if failed == 0 {
		is.items, is.outcomes = b.Instances, is.task.outcomes
		return nil
	}
	is.position = make([]int, 0, len(b.Instances)-failed)
	for i := range b.Instances {
		if b.Instances[i].Failure == nil {
			is.items = append(is.items, b.Instances[i])
			is.position = append(is.position, i)
		}
	}
	is.outcomes = make([]Outcome, len(is.items))
	return nil
}

// portions yields a group in pieces that keep to the ceiling, which may fall meanwhile.
func (is *isolation) portions(g group) func(yield func(group) bool) {
	return func(yield func(group) bool) {
		for g.size() > 0 {
			n := g.size()
			if most := is.cure.ceiling.Load(); most > 0 && int64(n) > most {
				n = int(most)
			}
			if !yield(group{g.from, g.from + n}) {
				return
			}
			g.from += n
		}
	}
}

// call makes one predict call for a group. Outcomes are kept and counted; a failure of
// the call as a whole is returned for treatment. What errors.retry_on names has been
// repeated by then.
func (is *isolation) call(ctx context.Context, g group) (*CallError, error) {
	return is.callOn(ctx, 0, g)
}

// callOn is call on one worker, if worker is not 0.
func (is *isolation) callOn(ctx context.Context, worker WorkerID, g group) (*CallError, error) {
	for attempt := 0; ; attempt++ {
		answer, err := is.ask(ctx, Call{
			Instances: is.items[g.from:g.to], Kwargs: is.task.batch.Kwargs, Limit: is.limit(g), Worker: worker,
		})
		if err == nil {
			return nil, is.accept(ctx, g, answer)
		}
		var failed *CallError
		if !errors.As(err, &failed) {
			return nil, err
		}
		if err := is.mourn(ctx, failed, g); err != nil {
			return nil, err
		}
		if failed.Kind != Retry || attempt >= is.errors.Retries {
			return failed, nil
		}
		if err := backOff(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// ask makes a call and counts it.
func (is *isolation) ask(ctx context.Context, c Call) (Answer, error) {
	if is.task.calls++; is.task.calls == 1 {
		// First calls are made in the order of the batches.
		select {
		case <-is.task.before:
		case <-ctx.Done():
			return Answer{}, context.Cause(ctx)
		}
		c.Queued = is.task.place
	}
	answer, err := is.pool.Predict(ctx, c)
	if errors.Is(err, ErrWorkerGone) {
		is.task.calls-- // nobody was called
	}
	if err != nil {
		if ctx.Err() != nil {
			return answer, context.Cause(ctx)
		}
		return answer, err
	}
	if len(answer.Outcomes) != len(c.Instances) {
		return answer, fmt.Errorf("worker %d: %d outcomes for %d instances", answer.Worker, len(answer.Outcomes), len(c.Instances))
	}
	is.task.times.Add(answer.Times)
	return answer, nil
}

// limit is the time a call for g has: from the second timeout on its share of the whole.
func (is *isolation) limit(g group) time.Duration {
	if is.stuck < 2 || is.whole == 0 {
		return is.timeout
	}
	share := is.timeout * time.Duration(g.size()) / time.Duration(is.whole)
	return max(share, min(is.timeout, shortestLimit))
}

// accept keeps the outcomes of a group.
func (is *isolation) accept(ctx context.Context, g group, answer Answer) error {
	copy(is.outcomes[g.from:g.to], answer.Outcomes)
	predicted := int64(0)
	for i := g.from; i < g.to; i++ {
		if f := is.outcomes[i].Failure; f != nil {
			if err := is.fail(ctx, i, f); err != nil {
				return err
			}
			continue
		}
		if predicted++; predicted == 1 {
			is.prosper(&is.items[i])
		}
	}
	if predicted > 0 {
		is.task.split.predicted(predicted)
	}
	return is.budget.count(predicted, 0, nil)
}

// prosper notes that an instance has been predicted well.
func (is *isolation) prosper(in *Instance) {
	is.deaths = 0
	is.mu.Lock()
	is.cure.deaths = 0
	is.mu.Unlock()
	if is.good.Load() == nil && len(in.Input) <= maxKnownGood {
		known := Instance{Input: append([]byte(nil), in.Input...)}
		is.good.CompareAndSwap(nil, &Call{
			Instances: []Instance{known}, Kwargs: append([]byte(nil), is.task.batch.Kwargs...), Limit: is.timeout,
		})
	}
	is.gate.open()
}

// fail gives item i its failure.
func (is *isolation) fail(ctx context.Context, i int, f *Failure) error {
	is.outcomes[i] = Outcome{Failure: f}
	at := i
	if is.position != nil {
		at = is.position[i]
	}
	if err := is.task.split.fail(ctx, is.task.batch, at, f); err != nil {
		return err
	}
	return is.budget.count(0, 1, f)
}

// mourn counts a call's cost, and gives up when workers only die.
func (is *isolation) mourn(ctx context.Context, failed *CallError, g group) error {
	if failed.Kind == Stuck {
		is.stuck++
	}
	if !failed.Died {
		return nil
	}
	is.deaths++
	is.log.Warn("worker died", "worker", failed.Worker, "reason", failed.Failure.Message, "instances", g.size())
	whole := max(is.whole, g.size())
	if is.deaths > 2*bits.Len(uint(whole))+spareDeaths {
		return is.giveUp(ctx, is.deaths, failed)
	}
	return nil
}

// died counts an instance that was alone in the calls that killed workers: finding it
// counts as one death, however many it took.
func (is *isolation) died(ctx context.Context, failed *CallError) error {
	is.mu.Lock()
	is.cure.deaths++
	deaths := is.cure.deaths
	is.mu.Unlock()
	if deaths < maxDeaths {
		return nil
	}
	return is.giveUp(ctx, deaths, failed)
}

// giveUp ends the run unless an instance that is known to be good shows that the workers
// are well and only many instances are bad.
func (is *isolation) giveUp(ctx context.Context, deaths int, failed *CallError) error {
	if good := is.good.Load(); good != nil {
		answer, err := is.ask(ctx, *good)
		if err == nil && answer.Outcomes[0].Failure == nil {
			is.deaths = 0
			is.mu.Lock()
			is.cure.deaths = 0
			is.mu.Unlock()
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return &Error{
		Remedy: FixInput, Phase: failed.Failure.Phase, Type: failed.Failure.Type,
		Message:   fmt.Sprintf("%s; workers keep dying: %d deaths in a row without one prediction", Quote(failed.Failure.Message), deaths),
		Hint:      "Try the Predictor on a few instances with `cpr-batch predict`, which shows what it prints.",
		Traceback: quotedTraceback(&failed.Failure),
		Stderr:    QuoteLines(failed.Stderr),
	}
}

// backOff waits before attempt number attempt+2: half a second, doubled each time, at
// most half a minute, with up to half of it taken off so that workers spread.
func backOff(ctx context.Context, attempt int) error {
	wait := min(500*time.Millisecond<<min(attempt, 10), 30*time.Second)
	timer := time.NewTimer(wait - jitter(wait/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
