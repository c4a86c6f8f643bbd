package pyworker

import (
	"slices"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// The functions here move calls between the pool and its workers. Their callers hold the
// pool's mutex, where nothing else is said.

// dispatch gives waiting calls to workers that can take one, first come first.
func (p *Pool) dispatch() {
	kept := p.waiting[:0]
	for _, k := range p.waiting {
		w := p.pick(k)
		switch {
		case w != nil:
			p.assign(w, k)
		case k.worker != 0 && p.find(k.worker) == nil:
			k.done <- reply{err: pipeline.ErrWorkerGone}
		default:
			kept = append(kept, k)
		}
	}
	clear(p.waiting[len(kept):])
	p.waiting = kept
}

// pick returns the ready worker with the fewest calls that can take k, or nil.
func (p *Pool) pick(k *call) *worker {
	var best *worker
	for _, w := range p.workers {
		switch {
		case w.stage != ready || len(w.inflight) >= maxInflight:
		case k.worker != 0 && k.worker != w.id:
		case best == nil || len(w.inflight) < len(best.inflight):
			best = w
		}
	}
	return best
}

func (p *Pool) assign(w *worker, k *call) {
	w.next++
	k.number(w.next)
	w.inflight = append(w.inflight, k)
	if len(w.inflight) == 1 {
		p.stats.Idle += w.idleFor()
		w.idle = time.Time{}
		p.setDeadline(w, k.limit+answerGrace)
	}
	w.taken++
	if w.taken == p.cfg.MaxRequests {
		w.stage = retiring
	}
	w.sends <- k // has room: it holds as many as may be inflight
}

// find returns the worker of that ID that may take calls, now or later.
func (p *Pool) find(id pipeline.WorkerID) *worker {
	for _, w := range p.workers {
		if w.id == id && (w.stage == ready || w.stage == loading) {
			return w
		}
	}
	return nil
}

// welcome makes a worker that has loaded one that takes calls.
func (p *Pool) welcome(w *worker) {
	w.stage, w.loaded = ready, true
	w.timer.Stop()
	w.deadline, w.idle = time.Time{}, time.Now()
	p.stats.Load += time.Since(w.began)
	p.cfg.Logger.Debug("worker ready", "worker", w.number, "python", w.greeting.Python, "seconds", time.Since(w.began).Seconds())
	if !p.everReady {
		p.everReady = true
		p.tellChange()
	}
	p.dispatch()
}

// dismiss takes a worker out of service and returns the calls it had.
func (p *Pool) dismiss(w *worker) []*call {
	p.suspend(w)
	calls := w.inflight
	w.inflight = nil
	return calls
}

// suspend lets a worker take nothing more, and answer nothing.
func (p *Pool) suspend(w *worker) {
	p.stats.Idle += w.idleFor()
	w.stage, w.idle, w.deadline = dead, time.Time{}, time.Time{}
	w.timer.Stop()
}

// passOn puts calls that never began before all others.
func (p *Pool) passOn(calls []*call) {
	p.waiting = slices.Concat(calls, p.waiting)
	p.dispatch()
}

// idleFor is how long a worker has had nothing to do.
func (w *worker) idleFor() time.Duration {
	if w.idle.IsZero() {
		return 0
	}
	return time.Since(w.idle)
}

// withdraw takes back a call whose caller has gone. One that a worker has already is
// answered to nobody. It takes the mutex itself.
func (p *Pool) withdraw(k *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(other *call) bool { return other == k })
}
