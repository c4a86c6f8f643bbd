package pyworker

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// loadFailure is why a worker has never been ready.
type loadFailure struct {
	err    *pipeline.Error
	raised bool // it said so itself: Python raised
	final  bool // no further attempt can go better
}

// startFailure says why a process could not be started.
func startFailure(err error) *loadFailure {
	f := &loadFailure{err: &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhaseLoad, Message: "no worker can be started", Err: err}}
	scarce := func(e syscall.Errno) bool { return errors.Is(err, e) }
	switch {
	case errors.Is(err, errNoInterpreter):
		f.final = true
		f.err.Remedy, f.err.Phase = pipeline.FixConfig, pipeline.PhaseConfigure
		f.err.Hint = "python.interpreter is the name or the path of a Python"
	case slices.ContainsFunc([]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}, scarce):
		f.err.Remedy = pipeline.TryAgain
		f.err.Hint = "make room in the temporary folder, or set TMPDIR to one on a larger disk"
	case slices.ContainsFunc([]syscall.Errno{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE}, scarce):
		f.err.Remedy = pipeline.TryAgain
		f.err.Hint = "the machine has too few processes, too few open files or too little memory left: fewer workers (workers.count) take less"
	}
	return f
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
		e.Hint = "workers.load_timeout gives it more time"
		if w.stack != "" {
			e.Hint = "the traceback is where it was then; " + e.Hint
		}
	case w.broken != nil:
		e.Type, e.Message = pipeline.TypeCrash, "the worker could not be understood: "+w.broken.Error()
	case p.killedForMemory(w):
		e.Type, e.Message = pipeline.TypeCrash, "the worker was killed for memory while loading: "+w.exit.how
		e.Hint = "workers.count says how many load at the same time"
	default:
		e.Type, e.Message = pipeline.TypeCrash, "the worker ended while loading: "+w.exit.how
		e.Hint = "the Predictor's code, or a library that it loads, ended the process"
		if w.greeting.Protocol == 0 {
			e.Hint = "it ended before any of the Predictor's code ran: look at python.interpreter and python.env"
		}
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
		Stderr:  pipeline.QuoteLines(w.output.tail()),
	}
}
