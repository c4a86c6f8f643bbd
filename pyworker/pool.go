package pyworker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

// The pool's own limits.
const (
	// answerGrace is what a call gets beyond its limit, for the worker to write down where
	// it is stuck.
	answerGrace = 500 * time.Millisecond
	// longestAnswer bounds the time in which a worker sends what it has done in time.
	longestAnswer = 30 * time.Second
	// endGrace is how long a worker may take to end after it was given the end of input.
	endGrace = 5 * time.Second
	// failedGrace is the same for one that could not load.
	failedGrace = 2 * time.Second
	// loadAttempts is how often in a row one worker may die or time out while loading.
	loadAttempts = 3
	// firstPause is waited before the second attempt to load, and doubled from then on.
	firstPause = 100 * time.Millisecond
	// maxIdleDeaths is how many workers in a row may die without a call and without any
	// answer between.
	maxIdleDeaths = 10
	// defaultResultLimit bounds what one call may return, in bytes of its frame.
	defaultResultLimit = 256 << 20
)

// ErrClosed is what Predict returns of a closed pool.
var ErrClosed = errors.New("pool of workers is closed")

// Groups is told of the process groups of workers, so that somebody ends them should this
// program not come to it. It is used by several goroutines at the same time. Add returns
// before the worker runs any of the user's code.
type Groups interface {
	Add(pgid int)
	Remove(pgid int)
}

// PoolConfig is what a pool of workers is made of.
type PoolConfig struct {
	Interpreter string            // a path; it is not resolved, so that a virtual environment's stays one
	Environ     []string          // of this program: NAME=VALUE
	Env         map[string]string // added to it
	Dir         string            // the run's temporary folder, in which each worker gets a private one
	Class       string            // module.Class
	ModelDir    string            // what from_path gets
	Paths       []string          // appended to the module path
	Count       int               // of workers, at least 1
	LoadTimeout time.Duration     // from the interpreter's start to ready
	MaxRequests int               // calls after which a worker is replaced; 0: never
	DecodeB64   bool
	NonFinite   values.NonFinite // what NaN becomes; 0: a failure
	RetryOn     []string         // dotted names of exceptions
	ResultLimit int64            // of the predictions of one call, in bytes; 0: 256 MiB
	Groups      Groups           // nil: nobody is told
	// Output gets each line that a worker writes. It is called by several goroutines at
	// the same time and must return soon: the worker's pipe is not read meanwhile.
	Output func(Line) // nil: dropped
	Logger *slog.Logger

	oomKills func() int64 // how often the kernel has killed for memory
}

// Stats tells what a pool has done so far.
type Stats struct {
	Count      int           // workers wanted
	Ready      int           // workers that can take calls
	Started    int           // processes started
	Died       int           // processes that ended unasked, those out of time aside
	Timeouts   int           // processes killed because loading or a call took too long
	Load       time.Duration // spent loading, summed over processes
	Idle       time.Duration // that ready workers had nothing to do, summed
	PeakMemory int64         // the largest resident size of any worker that has ended, in bytes
	Python     string        // version of the interpreter: 3.11.7
}

// Pool holds the workers of a run. It implements pipeline.Pool.
type Pool struct {
	cfg   PoolConfig
	strip stripper
	hello []byte

	closing chan struct{} // closed: every worker is given the end of input
	halting chan struct{} // closed: every worker is killed
	slots   sync.WaitGroup

	mu         sync.Mutex
	started    bool
	err        error // the pool's end
	halted     bool
	waiting    []*call // not with a worker yet, first come first
	workers    []*worker
	lastID     pipeline.WorkerID
	everReady  bool
	live       int // slots that have not been given up
	idleDeaths int // since the last answer
	kills      int64
	stats      Stats
	changed    chan struct{} // closed and made anew when a worker is ready or the pool ends
}

var _ pipeline.Pool = (*Pool)(nil)

// NewPool makes a pool; Start starts its workers.
func NewPool(cfg PoolConfig) (*Pool, error) {
	if cfg.ResultLimit == 0 {
		cfg.ResultLimit = defaultResultLimit
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.oomKills == nil {
		cfg.oomKills = oomKills
	}
	cfg.Count = max(cfg.Count, 1)
	p := &Pool{
		cfg: cfg, strip: newStripper(&cfg),
		closing: make(chan struct{}), halting: make(chan struct{}), changed: make(chan struct{}),
		live: cfg.Count, kills: cfg.oomKills(), stats: Stats{Count: cfg.Count},
	}
	hello, err := newHello(&cfg, p.strip)
	if err != nil {
		return nil, err
	}
	p.hello = hello
	return p, nil
}

// Start starts all workers side by side and returns. ctx is the pool's life: when it ends
// before Close, the workers are killed at once.
func (p *Pool) Start(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || p.err != nil {
		return
	}
	p.started = true
	for number := range p.cfg.Count {
		p.slots.Go(func() { p.tend(ctx, number) })
	}
}

// Ready waits until a worker can take calls, or returns the pool's end.
func (p *Pool) Ready(ctx context.Context) error {
	for {
		p.mu.Lock()
		err, ready, changed := p.err, p.everReady, p.changed
		p.mu.Unlock()
		if err != nil || ready {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// Predict makes one call; see pipeline.Pool.
func (p *Pool) Predict(ctx context.Context, c pipeline.Call) (pipeline.Answer, error) {
	k, err := newCall(c)
	if err != nil {
		return pipeline.Answer{}, err
	}
	p.mu.Lock()
	if p.err != nil {
		defer p.mu.Unlock()
		return pipeline.Answer{}, p.err
	}
	p.waiting = append(p.waiting, k)
	p.dispatch()
	p.mu.Unlock()
	if c.Queued != nil {
		c.Queued()
	}
	select {
	case <-ctx.Done():
		p.withdraw(k)
		return pipeline.Answer{}, context.Cause(ctx)
	case r := <-k.done:
		if r.err != nil {
			return pipeline.Answer{}, r.err
		}
		return p.conclude(c, r)
	}
}

// conclude reads what a worker has answered, in the caller's goroutine.
func (p *Pool) conclude(c pipeline.Call, r reply) (pipeline.Answer, error) {
	var err error
	if r.frame.kind == kindRaised {
		var t told
		if t, err = readTold(r.frame.payload); err == nil {
			e := t.callError(r.worker)
			e.Harmed = r.harmed
			return pipeline.Answer{}, e
		}
	} else {
		answer := pipeline.Answer{Worker: r.worker.id}
		if answer.Outcomes, answer.Times, err = readAnswer(c, r.frame, p.cfg.NonFinite); err == nil {
			return answer, nil
		}
	}
	p.Replace(r.worker.id, err.Error())
	return pipeline.Answer{}, &pipeline.CallError{
		Kind: pipeline.Crashed, Worker: r.worker.id, Died: true, Stderr: r.worker.output.tail(),
		Failure: pipeline.Failure{Phase: pipeline.PhaseCrash, Type: pipeline.TypeCrash, Message: err.Error()},
	}
}

// Replace kills a worker and starts another in its place; see pipeline.Pool. The calls it
// has go to others when it has ended: until then they may be being written to it.
func (p *Pool) Replace(id pipeline.WorkerID, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.find(id)
	if w == nil {
		return
	}
	p.cfg.Logger.Warn("worker replaced", "worker", w.number, "why", why)
	w.excused = true
	p.suspend(w)
	p.dispatch() // who waits for this worker is told that it is gone
	w.kill()
}

// Stats tells what the pool has done so far.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	for _, w := range p.workers {
		if w.stage == ready {
			s.Ready++
			s.Idle += w.idleFor()
		}
	}
	return s
}

// Close gives every worker the end of input, waits 5 s for their ends and kills what is
// left then, or when ctx ends. Calls that are under way return ErrClosed. It may be
// called twice, and returns when no process and no goroutine is left.
func (p *Pool) Close(ctx context.Context) error {
	p.end(ErrClosed)
	grace := time.AfterFunc(endGrace, p.halt)
	defer grace.Stop()
	stop := context.AfterFunc(ctx, p.halt)
	defer stop()
	p.slots.Wait()
	return nil
}

// end ends the pool: nothing new begins, and what waits gets err.
func (p *Pool) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLocked(err)
}

// endLocked is end with the mutex held, and with calls that no worker has any more. Unless
// the pool was closed its workers are killed.
func (p *Pool) endLocked(err error, calls ...*call) {
	if p.err == nil {
		p.err = err
		for _, k := range slices.Concat(calls, p.waiting) {
			k.done <- reply{err: err}
		}
		p.waiting = nil
		for _, w := range p.workers {
			for _, k := range p.dismiss(w) {
				k.done <- reply{err: err}
			}
		}
		close(p.closing)
		p.tellChange()
	}
	if !errors.Is(err, ErrClosed) {
		p.haltLocked()
	}
}

// halt kills all workers.
func (p *Pool) halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.haltLocked()
}

func (p *Pool) haltLocked() {
	if !p.halted {
		p.halted = true
		close(p.halting)
	}
}

// tellChange wakes who waits in Ready. The caller holds the mutex.
func (p *Pool) tellChange() {
	close(p.changed)
	p.changed = make(chan struct{})
}
