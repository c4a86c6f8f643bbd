package pyworker

import (
	"fmt"
	"syscall"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// loadFailure is why a worker has never been ready.
type loadFailure struct {
	err    *pipeline.Error
	raised bool // it said so itself: Python raised
	final  bool // no further attempt can go better
}

// loadFailure says why w has never been ready. The caller holds the mutex.
func (p *Pool) loadFailure(w *worker, raised bool) *loadFailure {
	e := &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhaseLoad, Stderr: w.output.tail()}
	switch {
	case raised:
		f := w.failure.failure()
		e.Type, e.Message, e.Traceback, e.Hint = f.Type, f.Message, f.Traceback, cut(w.failure.Hint)
		if f.Phase == pipeline.PhaseImport {
			e.Phase = pipeline.PhaseImport
		}
	case w.late:
		e.Type, e.Traceback = pipeline.TypeTimeout, w.stack
		e.Message = fmt.Sprintf("the worker was not ready within %s (workers.load_timeout)", p.cfg.LoadTimeout)
		e.Hint = "the traceback is where it was then; workers.load_timeout gives it more time"
	case w.broken != nil:
		e.Type, e.Message = pipeline.TypeCrash, "the worker could not be understood: "+w.broken.Error()
	case p.killedForMemory(w):
		e.Type, e.Message = pipeline.TypeCrash, "the worker was killed for memory while loading: "+w.exit.how
		e.Hint = "workers.count says how many load at the same time"
	default:
		e.Type, e.Message = pipeline.TypeCrash, "the worker ended while loading: "+w.exit.how
		e.Hint = "the Predictor's code, or a library that it loads, ended the process"
	}
	return &loadFailure{err: e, raised: raised}
}

// callError says what the end of w means for the call it was at. The caller holds the
// mutex.
func (p *Pool) callError(w *worker, k *call) *pipeline.CallError {
	e := &pipeline.CallError{Kind: pipeline.Crashed, Worker: w.id, Died: true, Stderr: w.output.tail()}
	e.Failure = pipeline.Failure{Phase: pipeline.PhaseCrash, Type: pipeline.TypeCrash, Message: w.exit.how}
	switch {
	case w.stuck != nil:
		e.Kind = pipeline.Stuck
		e.Failure = pipeline.Failure{
			Phase: pipeline.PhaseTimeout, Type: pipeline.TypeTimeout, Traceback: w.stack,
			Message: fmt.Sprintf("predict did not return within %s (workers.predict_timeout)", k.limit),
		}
	case w.broken != nil:
		e.Failure.Message = w.broken.Error()
	case p.killedForMemory(w):
		e.Kind = pipeline.Memory
		e.Failure.Message += ", killed for memory"
	}
	return e
}

// killedForMemory tells whether the kernel killed w because memory ran out. The caller
// holds the mutex.
func (p *Pool) killedForMemory(w *worker) bool {
	if w.exit.signal != syscall.SIGKILL {
		return false
	}
	before := p.kills
	p.kills = p.cfg.oomKills()
	return p.kills > before
}

func idleDeathsError(w *worker) *pipeline.Error {
	return &pipeline.Error{
		Remedy: pipeline.FixInput, Phase: pipeline.PhasePredict, Type: pipeline.TypeCrash,
		Message: fmt.Sprintf("%d workers in a row died without a call, the last with %s", maxIdleDeaths, w.exit.how),
		Hint:    "Something that the Predictor starts (a thread, a timer, a subprocess) ends the worker.",
		Stderr:  w.output.tail(),
	}
}
