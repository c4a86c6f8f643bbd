package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/report"
)

// signalError is the end that a signal has asked for.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return "stopped by " + signalNames[e.signal] }

var signalNames = map[syscall.Signal]string{
	syscall.SIGHUP: "SIGHUP", syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM",
}

// failedInstances is the end of `predict` when some instance has no prediction.
type failedInstances struct{ failed, read int64 }

func (e failedInstances) Error() string {
	return fmt.Sprintf("%d of %d instances have no prediction", e.failed, e.read)
}

// exitStatus tells a scheduler what to do (JOB 2).
func exitStatus(err error) int {
	var stopped signalError
	var failed failedInstances
	var e *pipeline.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &stopped):
		return 128 + int(stopped.signal)
	case errors.As(err, &failed):
		return 3
	case errors.As(err, &e) && e.Remedy != 0:
		return int(e.Remedy)
	}
	return 1
}

// complain tells on standard error why the program ends.
func (p *program) complain(err error) {
	var e *pipeline.Error
	isOurs := errors.As(err, &e)
	var problems configs.Problems
	switch {
	case p.asksForJSON() && isOurs:
		p.jsonLog(nil).Error(e.Error(), "phase", string(e.Phase), "type", e.Type, "hint", e.Hint, "traceback", e.Traceback, "stderr", e.Stderr)
	case p.asksForJSON():
		p.jsonLog(nil).Error(err.Error())
	case errors.As(err, &problems):
		_, _ = fmt.Fprintf(p.stderr, "error: %s\n", e.Message)
		for _, problem := range problems {
			_, _ = fmt.Fprintf(p.stderr, "  %s\n", problem)
		}
		_, _ = fmt.Fprintf(p.stderr, "  what to do: %s\n", e.Hint)
	case isOurs:
		_ = report.Explain(p.stderr, e)
	default:
		_, _ = fmt.Fprintf(p.stderr, "error: %v\n", err)
	}
}

// asksForJSON says whether all of standard error is to be JSON, also where the command
// line is wrong before its flags were all read.
func (p *program) asksForJSON() bool {
	for i, arg := range p.args {
		if arg == "--log-format=json" || arg == "json" && i > 0 && p.args[i-1] == "--log-format" {
			return true
		}
	}
	return false
}

func (p *program) jsonLog(options *slog.HandlerOptions) *slog.Logger {
	return slog.New(slog.NewJSONHandler(p.stderr, options))
}

// startLog makes the logger that the flags ask for.
func (p *program) startLog() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(p.logLevel)); err != nil {
		return &pipeline.Error{Remedy: pipeline.FixConfig, Phase: pipeline.PhaseConfigure,
			Message: fmt.Sprintf("--log-level %q", p.logLevel), Hint: "It is one of debug, info, warn, error."}
	}
	log, err := newLog(p, level)
	if err != nil {
		return err
	}
	p.log = log
	return nil
}

func newLog(p *program, level slog.Level) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level}
	switch p.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(p.stderr, options)), nil
	case "json":
		return p.jsonLog(options), nil
	}
	format := p.logFormat
	p.logFormat = "text"
	return nil, &pipeline.Error{Remedy: pipeline.FixConfig, Phase: pipeline.PhaseConfigure,
		Message: fmt.Sprintf("--log-format %q", format), Hint: "It is text or json."}
}

// outlivePipes makes writing to a pipe that nobody reads any more an error instead of the
// end of the program: a run does not depend on who watches it.
func outlivePipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// unlessUnread is err, an error of writing, but for nobody reading any more.
func unlessUnread(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// deadlineError is the end of a run whose time is over.
type deadlineError struct{ cause *pipeline.Error }

func (e deadlineError) Error() string { return e.cause.Error() }

func (e deadlineError) Unwrap() error { return e.cause }

func pastDeadline(at time.Time) error {
	return deadlineError{&pipeline.Error{
		Remedy: pipeline.TryAgain, Message: "the deadline of " + at.Format(time.RFC3339) + " is reached (--deadline)",
		Hint: "Run the same command again: what is committed or sealed stays.",
	}}
}

// limits bound how a run ends.
type limits struct {
	drain    time.Duration // how long what was begun may be finished
	deadline time.Time     // when all has to be over; zero: never
}

// begin is when draining has to begin, so that the deadline is kept.
func (l limits) begin(now time.Time) time.Duration {
	left := l.deadline.Sub(now)
	return max(left-l.drain, left/2)
}

// watchSignals gives two contexts: fetch ends at the first signal, or when the deadline is
// near; work ends at the second, or when draining has taken too long. The causes are
// signalErrors and deadlineErrors.
func watchSignals(parent context.Context, log *slog.Logger, l limits) (work, fetch context.Context, stop func()) {
	work, endWork := context.WithCancelCause(parent)
	fetch, endFetch := context.WithCancelCause(work)
	signals := make(chan os.Signal, 2)
	for s := range signalNames {
		// nohup has SIGHUP ignored: that is somebody's wish.
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		(&ender{log: log, limits: l, endFetch: endFetch, endWork: endWork}).watch(signals, done)
	}()
	return work, fetch, func() {
		signal.Stop(signals)
		close(done)
		<-finished
		endFetch(nil)
		endWork(nil)
	}
}

// ender ends a run in two steps.
type ender struct {
	log               *slog.Logger
	limits            limits
	endFetch, endWork context.CancelCauseFunc
	cause             error // why it ends; nil before
	late              <-chan time.Time
}

func (e *ender) watch(signals <-chan os.Signal, done <-chan struct{}) {
	var near <-chan time.Time
	if now := time.Now(); !e.limits.deadline.IsZero() {
		near = time.After(e.limits.begin(now))
	}
	for {
		select {
		case s := <-signals:
			if e.cause != nil {
				e.endWork(e.cause)
				continue
			}
			e.log.Info("stopping: what was begun is finished and sealed; a second signal ends at once", "signal", signalNames[s.(syscall.Signal)])
			e.drain(signalError{s.(syscall.Signal)}, e.limits.drain)
		case <-near:
			if e.cause == nil {
				e.log.Info("stopping: the deadline is near; what was begun is finished and sealed", "deadline", e.limits.deadline)
				e.drain(pastDeadline(e.limits.deadline), time.Until(e.limits.deadline))
			}
		case <-e.late:
			e.endWork(e.cause)
		case <-done:
			return
		}
	}
}

func (e *ender) drain(cause error, limit time.Duration) {
	e.cause, e.late = cause, time.After(limit)
	e.endFetch(cause)
}
