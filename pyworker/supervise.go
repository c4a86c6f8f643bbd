package pyworker

import (
	"context"
	"slices"
	"sync"
	"time"
)

// tend keeps one slot of the pool filled: whenever its worker has ended, it starts the
// next one, until the pool ends or the slot is given up.
func (p *Pool) tend(ctx context.Context, number int) {
	for attempt := 1; ; attempt++ {
		if ctx.Err() != nil {
			p.end(context.Cause(ctx))
		}
		if p.hasEnded() {
			return
		}
		w, failure := p.hire(number)
		if failure == nil {
			p.attend(ctx, w)
			failure = p.bury(w)
		}
		if failure == nil {
			attempt = 0
			continue
		}
		if !p.tryAgain(number, attempt, failure) {
			return
		}
		select {
		case <-p.closing:
		case <-ctx.Done():
		case <-time.After(firstPause << (attempt - 1)):
		}
	}
}

func (p *Pool) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil
}

// hire starts a process and makes a worker of it.
func (p *Pool) hire(number int) (*worker, *loadFailure) {
	process, err := startProcess(&p.cfg, number)
	if err != nil {
		return nil, startFailure(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastID++
	p.stats.Started++
	w := &worker{
		process: process, id: p.lastID, began: time.Now(),
		sends: make(chan *call, maxInflight), timer: time.NewTimer(time.Hour),
	}
	p.setDeadline(w, p.cfg.LoadTimeout+answerGrace)
	p.workers = append(p.workers, w)
	return w, nil
}

// attend runs a worker until it has ended and all that it said is heard.
func (p *Pool) attend(ctx context.Context, w *worker) {
	var speaking, hearing sync.WaitGroup
	speaking.Go(func() { w.send(p.hello) })
	hearing.Go(func() { p.listen(w) })
	closing, halting, done := p.closing, p.halting, ctx.Done()
	for alive := true; alive; {
		select {
		case <-w.exited:
			alive = false
		case <-w.timer.C:
			p.expire(w)
		case <-closing:
			closing = nil
			p.see(w)
		case <-halting:
			halting = nil
			w.kill()
		case <-done:
			done = nil
			p.end(context.Cause(ctx))
		}
	}
	_ = w.answers.SetReadDeadline(time.Now()) // what it has written is still read
	_ = w.requests.SetWriteDeadline(time.Now())
	hearing.Wait()
	speaking.Wait()
	w.unread = drain(w.requests)
	w.timer.Stop()
	w.release()
}

// see sees a worker out when the pool ends: gently, unless it is loading still.
func (p *Pool) see(w *worker) {
	p.mu.Lock()
	gently := w.loaded
	p.mu.Unlock()
	if gently {
		w.hangUp()
		return
	}
	w.kill()
}

// bury settles what a worker that has ended leaves behind. What it returns is not nil
// when the worker has never been ready.
func (p *Pool) bury(w *worker) *loadFailure {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers = slices.DeleteFunc(p.workers, func(other *worker) bool { return other == w })
	p.stats.PeakMemory = max(p.stats.PeakMemory, w.exit.memory)
	raised := w.stage == failed
	calls := p.dismiss(w)
	switch {
	case p.err != nil:
		return nil
	case w.late || w.stuck != nil:
		p.stats.Timeouts++
	case !w.excused && !raised:
		p.stats.Died++
	}
	switch {
	case w.excused:
	case !w.loaded:
		return p.loadFailure(w, raised)
	case len(calls) > 0 && (calls[0] == w.stuck || w.stuck == nil && w.hasBegun(calls[0])):
		e := p.callError(w, calls[0])
		p.cfg.Logger.Warn("worker ended during a call", "worker", w.number, "how", e.Failure.Message)
		calls[0].done <- reply{err: e}
		calls = calls[1:]
	case w.stuck == nil:
		p.cfg.Logger.Warn("worker ended between two calls", "worker", w.number, "how", w.exit.how)
		if p.idleDeaths++; p.idleDeaths >= maxIdleDeaths {
			p.endLocked(idleDeathsError(w), calls...)
			return nil
		}
	}
	p.passOn(calls)
	return nil
}

// tryAgain says whether a slot whose worker could not load is tried once more. It may end
// the pool.
func (p *Pool) tryAgain(number, attempt int, failure *loadFailure) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return false
	case failure.final || failure.raised && !p.everReady:
		p.endLocked(failure.err)
		return false
	case attempt < loadAttempts:
		p.cfg.Logger.Warn("worker did not load and is started again", "worker", number, "why", failure.err.Error())
		return true
	}
	if p.live--; p.live == 0 {
		p.endLocked(failure.err)
		return false
	}
	p.cfg.Logger.Warn("worker did not load and is given up: the pool is smaller now",
		"worker", number, "attempts", attempt, "left", p.live, "why", failure.err.Error())
	return false
}
