package pipeline_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// fakePool answers calls with a function that plays the Predictor. It counts calls,
// deaths and replacements.
type fakePool struct {
	// answer plays one call on one worker. It returns a prediction text for each input,
	// or what went wrong.
	answer func(w *fakeWorker, inputs []string) ([]string, *pipeline.CallError)
	// delay, when set, is how long a call takes; a call longer than its limit is Stuck.
	delay func(inputs []string) time.Duration
	// delayOf, when set, is what a call takes longer on a worker, beside its limit.
	delayOf func(w *fakeWorker) time.Duration

	mu       sync.Mutex
	workers  []*fakeWorker
	next     pipeline.WorkerID
	calls    [][]string
	limits   []time.Duration
	died     int
	replaced int
	busy     int
	mostBusy int
}

// fakeWorker is one worker process, with whatever a Predictor keeps on self.
type fakeWorker struct {
	id       pipeline.WorkerID
	poisoned bool
	harmed   bool // has failed its last call
}

func newFakePool(workers int, answer func(w *fakeWorker, inputs []string) ([]string, *pipeline.CallError)) *fakePool {
	p := &fakePool{answer: answer}
	for range workers {
		p.spawn()
	}
	return p
}

func (p *fakePool) spawn() {
	p.next++
	p.workers = append(p.workers, &fakeWorker{id: p.next})
}

// remove takes a worker out; the caller holds mu.
func (p *fakePool) remove(id pipeline.WorkerID) bool {
	for i, w := range p.workers {
		if w.id == id {
			p.workers = append(p.workers[:i], p.workers[i+1:]...)
			p.spawn()
			return true
		}
	}
	return false
}

func (p *fakePool) pick(id pipeline.WorkerID) *fakeWorker {
	if id == 0 {
		return p.workers[len(p.calls)%len(p.workers)]
	}
	for _, w := range p.workers {
		if w.id == id {
			return w
		}
	}
	return nil
}

func (p *fakePool) Predict(ctx context.Context, c pipeline.Call) (pipeline.Answer, error) {
	inputs := make([]string, len(c.Instances))
	for i, in := range c.Instances {
		inputs[i] = string(in.Input)
	}
	p.mu.Lock()
	w := p.pick(c.Worker)
	if w == nil {
		p.mu.Unlock()
		return pipeline.Answer{}, pipeline.ErrWorkerGone
	}
	p.calls = append(p.calls, inputs)
	p.limits = append(p.limits, c.Limit)
	p.busy++
	p.mostBusy = max(p.mostBusy, p.busy)
	if c.Queued != nil {
		c.Queued()
	}
	var d time.Duration
	if p.delay != nil {
		d = p.delay(inputs)
	}
	var loading time.Duration
	if p.delayOf != nil {
		loading = p.delayOf(w)
	}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.busy--
		p.mu.Unlock()
	}()

	if p.delayOf != nil {
		if err := sleep(ctx, loading); err != nil {
			return pipeline.Answer{}, err
		}
	}
	if p.delay != nil {
		if c.Limit > 0 && d > c.Limit {
			if err := sleep(ctx, c.Limit); err != nil {
				return pipeline.Answer{}, err
			}
			return pipeline.Answer{}, p.failed(w, &pipeline.CallError{Kind: pipeline.Stuck, Died: true,
				Failure: pipeline.Failure{Phase: pipeline.PhaseTimeout, Type: pipeline.TypeTimeout, Message: "no answer within " + c.Limit.String()}})
		}
		if err := sleep(ctx, d); err != nil {
			return pipeline.Answer{}, err
		}
	}
	p.mu.Lock()
	predictions, failed := p.answer(w, inputs) // serially, as one worker does
	harmed := w.harmed
	w.harmed = failed != nil
	p.mu.Unlock()
	if failed != nil {
		failed.Harmed = harmed
		return pipeline.Answer{}, p.failed(w, failed)
	}
	answer := pipeline.Answer{Worker: w.id}
	for _, text := range predictions {
		answer.Outcomes = append(answer.Outcomes, pipeline.Outcome{Prediction: []byte(text)})
	}
	return answer, nil
}

func (p *fakePool) failed(w *fakeWorker, e *pipeline.CallError) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	failed := *e
	failed.Worker = w.id
	if failed.Died {
		p.died++
		p.remove(w.id)
	}
	return &failed
}

func (p *fakePool) Replace(id pipeline.WorkerID, _ string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.remove(id) {
		p.replaced++
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// echo predicts "p(<input>)".
func echo(inputs []string) []string {
	out := make([]string, len(inputs))
	for i, in := range inputs {
		out[i] = "p(" + in + ")"
	}
	return out
}

func raised(kind pipeline.CallKind, typ string) *pipeline.CallError {
	e := &pipeline.CallError{Kind: kind, Failure: pipeline.Failure{Phase: pipeline.PhasePredict, Type: typ, Message: "bad"}}
	if kind == pipeline.Crashed {
		e.Died, e.Failure = true, pipeline.Failure{Phase: pipeline.PhaseCrash, Type: pipeline.TypeCrash, Message: "exit status 7"}
	}
	return e
}

func contains(inputs []string, bad string) bool {
	for _, in := range inputs {
		if strings.Contains(in, bad) {
			return true
		}
	}
	return false
}

// numbered gives lines "<prefix>0" … of a split.
func numbered(prefix string, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return lines
}

// newJob gives a job with everything set but what the test is about.
func newJob(source pipeline.Source, sink pipeline.Sink, pool pipeline.Pool) *pipeline.Job {
	return &pipeline.Job{
		Source: source, Sink: sink, Pool: pool,
		Batch: pipeline.Limits{Instances: 16, Bytes: 1 << 20}, Timeout: 5 * time.Minute,
		Errors: pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 1, MinInstances: 1000, Retries: 3},
		Splits: 2, Window: 4, Memory: 1 << 20,
	}
}
