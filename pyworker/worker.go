package pyworker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// stage is how far a worker has come.
type stage int

const (
	loading  stage = iota
	ready          // takes calls
	retiring       // takes no new calls; ends after its last answer
	failed         // has said why it can not load
	dead           // has ended, or was told to, and takes nothing
)

// worker is a process and what it is doing. The pool's mutex guards all behind it.
type worker struct {
	*process
	id    pipeline.WorkerID
	began time.Time
	sends chan *call    // holds what was assigned and not yet written
	timer *time.Timer   // fires at deadline; its channel is read by attend
	bytes atomic.Uint64 // received so far
	sent  uint64        // bytes written so far, of send and then of attend

	stage    stage
	inflight []*call // in the order in which the worker gets them; the first is the one it is at
	next     uint64  // sequence of the next call
	taken    int     // calls assigned so far
	loaded   bool
	harmed   bool      // has failed a call, and predicted nothing since
	idle     time.Time // since when it has nothing to do; zero: it has
	deadline time.Time
	heard    uint64 // bytes when deadline was set
	extended time.Duration

	greeting greeting
	failure  told   // of stage failed
	stuck    *call  // the call that did not end in time
	stack    string // of its Python code then
	late     bool   // loading did not end in time
	broken   error  // what it sent that it must not
	excused  bool   // its end is wanted
	unread   uint64 // bytes that it left behind
}

// maxInflight is how many calls may be on their way to a worker, so that it never waits
// for the next one.
const maxInflight = 2

// send writes the hello and then the calls as they are assigned, until the process ends.
func (w *worker) send(hello []byte) {
	n, err := w.requests.Write(hello)
	for w.sent = uint64(n); err == nil; w.sent += uint64(n) {
		select {
		case <-w.exited:
			return
		case k := <-w.sends:
			k.start = w.sent
			n, err = w.requests.Write(k.frame)
		}
	}
}

// hasBegun tells of a worker that has ended whether it had read anything of a call.
func (w *worker) hasBegun(k *call) bool { return k.start < w.sent-w.unread }

// counted counts what is read, so that a worker that is writing is told from one that is
// stuck.
type counted struct {
	r io.Reader
	n *atomic.Uint64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(uint64(max(n, 0)))
	return n, err
}

// listen hears what the worker says, until its end or its first fault.
func (p *Pool) listen(w *worker) {
	r := counted{r: &answerReader{process: w.process}, n: &w.bytes}
	for {
		f, err := readFrame(r, p.cfg.ResultLimit)
		if err == nil {
			err = p.hear(w, f)
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, errBroken):
			p.mu.Lock()
			w.broken = err
			p.mu.Unlock()
			w.kill()
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, os.ErrClosed):
			w.kill() // its answers can not be read: it is of no use
		}
		return
	}
}

// hear takes one frame. All of it may be hostile.
func (p *Pool) hear(w *worker, f frame) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case f.kind == kindGreeting && w.stage == loading && w.greeting.Protocol == 0:
		if err := json.Unmarshal(f.payload, &w.greeting); err != nil {
			return fmt.Errorf("%w: greeting: %w", errBroken, err)
		}
		if w.greeting.Protocol != protocol || w.greeting.Encoding != "json" {
			return fmt.Errorf("%w: protocol %d, encoding %q", errBroken, w.greeting.Protocol, w.greeting.Encoding)
		}
		p.stats.Python = cut(w.greeting.Python)
	case f.kind == kindReady && w.stage == loading && w.greeting.Protocol != 0:
		p.welcome(w)
	case f.kind == kindFailed && w.stage == loading:
		t, err := readTold(f.payload)
		if err != nil {
			return err
		}
		w.failure, w.stage = t, failed
		p.setDeadline(w, failedGrace)
	case f.kind == kindAnswer || f.kind == kindRaised:
		return p.answered(w, f)
	case w.stage == dead:
	default:
		return fmt.Errorf("%w: kind %d out of turn", errBroken, f.kind)
	}
	return nil
}

// answered hands an answer to its call and lets the worker's next one begin. The caller
// holds the mutex.
func (p *Pool) answered(w *worker, f frame) error {
	if w.stage == dead {
		return nil // the call has been given up
	}
	if len(w.inflight) == 0 || f.sequence != w.inflight[0].sequence || int(f.count) != w.inflight[0].count {
		return fmt.Errorf("%w: answer %d of %d instances to no call", errBroken, f.sequence, f.count)
	}
	k := w.inflight[0]
	w.inflight = w.inflight[1:]
	p.idleDeaths = 0
	switch {
	case len(w.inflight) > 0:
		p.setDeadline(w, w.inflight[0].limit+answerGrace)
	case w.stage == retiring:
		w.excused = true
		w.hangUp()
		p.setDeadline(w, endGrace)
	default:
		w.timer.Stop()
		w.deadline, w.idle = time.Time{}, time.Now()
	}
	k.done <- reply{worker: w, frame: f, harmed: w.harmed}
	w.harmed = f.kind == kindRaised || w.harmed && !predicts(f)
	p.dispatch()
	return nil
}

// setDeadline says by when the worker has to do what its stage asks of it. The caller
// holds the mutex.
func (p *Pool) setDeadline(w *worker, d time.Duration) {
	w.deadline, w.extended, w.heard = time.Now().Add(d), 0, w.bytes.Load()
	w.timer.Reset(d)
}

// expire does what has to be done when a worker's time is over.
func (p *Pool) expire(w *worker) {
	p.mu.Lock()
	if w.deadline.IsZero() {
		p.mu.Unlock()
		return
	}
	if rest := time.Until(w.deadline); rest > 0 {
		w.timer.Reset(rest) // it was set anew meanwhile
		p.mu.Unlock()
		return
	}
	if n := w.bytes.Load(); n != w.heard && len(w.inflight) > 0 && w.extended < longestAnswer {
		// Bytes have come since the last look: its answer is on the way.
		w.heard = n
		w.extended += time.Second
		w.deadline = time.Now().Add(time.Second)
		w.timer.Reset(time.Second)
		p.mu.Unlock()
		return
	}
	w.deadline = time.Time{}
	thread := w.greeting.Thread
	late := w.stage == loading
	var stuck *call
	if len(w.inflight) > 0 {
		stuck = w.inflight[0]
	}
	p.mu.Unlock()
	var stack string
	if late || stuck != nil {
		stack = w.readTrace(thread, p.strip)
	}
	p.mu.Lock()
	w.late, w.stuck, w.stack = late, stuck, stack
	p.mu.Unlock()
	w.kill()
}
