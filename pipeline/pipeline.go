// Package pipeline is the vocabulary of cpr-batch and its engine: instances are read
// from the splits of a source, grouped into batches, predicted by a pool of workers,
// and their outcomes written in order to the parts of a sink.
//
// It knows no cloud, no file format and no Python: those live in the packages that
// implement Source, Sink and Pool.
package pipeline

import (
	"context"
	"errors"
	"time"
)

// SplitID names a split. A split of files has the same ID on every run over the same
// input ("00003-of-00017"); a window of a stream is named by its time and a random part.
// It is the middle of the names of the files that hold the split's outcomes.
type SplitID string

// Origin is the place an instance comes from.
type Origin struct {
	// URI is the object or file as the job file has it, with the name found.
	URI string `json:"uri,omitempty"`
	// Line counts from 1, blank lines included. In a split that begins inside a file it
	// counts from the split's begin until Split.Locate has made it the file's own.
	// 0 where the source has no lines.
	Line int64 `json:"line,omitempty"`
	// Offset is the byte at which the line begins; -1 where the file is compressed.
	Offset int64 `json:"offset"`
	// MessageID is set instead of the rest by streams.
	MessageID string `json:"message_id,omitempty"`
}

// Instance is one JSON value to predict on. Its slices belong to the batch that holds it.
type Instance struct {
	Origin Origin
	// Echo is the row's own text, without blanks around it. It is nil for a line that
	// is too long to be held.
	Echo []byte
	// Shown is what the output shows of the row: Echo itself, an object of chosen
	// fields, or nil for nothing.
	Shown []byte
	// Key is the text of the key field; nil where the job has none.
	Key []byte
	// Input is what the Predictor sees, as JSON text: Echo itself where nothing is arranged.
	Input []byte
	// Failure is set when the instance failed while it was read: it keeps its place and
	// is not predicted.
	Failure *Failure
}

// Limits bound one batch.
type Limits struct {
	Instances int           // at most so many instances
	Bytes     int64         // of Input; one instance over it goes alone
	Wait      time.Duration // streams: how long the first instance may wait for company
}

// Extent is how far a split has been read, from its own begin.
type Extent struct {
	Lines int64 // lines passed, blank ones too
	Bytes int64 // bytes of the source read, as stored (compressed where it is)
}

// Batch is the instances of one predict call, consecutive in one split.
// The engine makes batches and hands each to Split.Read, which fills it; the engine
// reuses a batch, buffers included, when its outcomes have been written.
type Batch struct {
	Split     SplitID
	First     int64 // number of its first instance in the split, from 0
	Instances []Instance
	Kwargs    []byte // one JSON object for the call, or nil: set before Read, a stream may replace it
	Limits    Limits // set before Read
	Extent    Extent // set by Read: how far the split has been read behind this batch
	Buffer    []byte // memory for the instances' bytes, for Read to reuse
}

// Phase says at which step an instance, or a run, failed.
type Phase string

// The phases of an instance.
const (
	PhaseRead    Phase = "read"
	PhasePredict Phase = "predict"
	PhaseEncode  Phase = "encode"
	PhaseTimeout Phase = "timeout"
	PhaseCrash   Phase = "crash"
	PhaseWrite   Phase = "write"
)

// The phases of a run.
const (
	PhaseConfigure Phase = "configure"
	PhasePlan      Phase = "plan"
	PhaseUnpack    Phase = "unpack"
	PhaseImport    Phase = "import"
	PhaseLoad      Phase = "load"
	PhaseFinish    Phase = "finish"
)

// The types of failures that are ours; all others are names of Python's exceptions.
const (
	TypeTimeout       = "Timeout"
	TypeCrash         = "Crash"
	TypeNotAList      = "NotAList"
	TypeWrongLength   = "WrongLength"
	TypeInvalidJSON   = "InvalidJSON"
	TypeLineTooLong   = "LineTooLong"
	TypeMissingField  = "MissingField"
	TypeInvalidBase64 = "InvalidBase64"
)

// Failure is why an instance has no prediction.
type Failure struct {
	Phase     Phase
	Type      string // Python's name with its module unless builtin, or one of ours
	Message   string
	Traceback string
	// Text is the line itself where it is not JSON (bad UTF-8 replaced, an over-long
	// line cut): it stands in the place of the instance.
	Text string
	// NotJSON says that the row has no text of its own that is JSON: Text holds it.
	NotJSON bool
}

// Outcome is what became of one instance: a prediction or a failure.
type Outcome struct {
	Prediction []byte // JSON text, as JOB 3 has it
	Failure    *Failure
}

// Times tells where the time of predict calls went, in a worker.
type Times struct {
	Decode, Predict, Encode time.Duration
}

// Add adds other to t.
func (t *Times) Add(other Times) {
	t.Decode += other.Decode
	t.Predict += other.Predict
	t.Encode += other.Encode
}

// Source hands out the splits of a run.
type Source interface {
	// Next returns the next split, or io.EOF when there is none, ever. It is called by
	// one goroutine. It may block (a stream waits for the next window) and returns
	// context.Cause(ctx) when ctx ends.
	Next(ctx context.Context) (Split, error)
	// Close releases what the source holds. It may be called twice.
	Close() error
}

// Split is the unit that is read in order and committed once. Its methods are called by
// one goroutine at a time, but for Locate and Settle, which the writing side calls while
// another goroutine reads.
type Split interface {
	ID() SplitID
	// Read fills b within b.Limits, reusing its buffers, and returns io.EOF when no
	// instance is left: with the split's final Extent in b and no instance. An error that
	// is not the context's means that the split can not be read to its end. Once ctx has
	// ended, a split of files returns its cause, whatever it has in its memory; a window
	// ends with what it holds.
	Read(ctx context.Context, b *Batch) error
	// Skip passes over the first n instances, whose outcomes an earlier attempt has sealed.
	// It is called at most once, before Read, and fails as Read does; so does a split that
	// has fewer of them.
	Skip(ctx context.Context, n int64) error
	// Locate completes an origin of this split: it makes Line count from the begin of
	// the file. It is called for failures only and may have to read what lies before.
	Locate(ctx context.Context, o *Origin) error
	// Settle tells the source what became of the split, once: nil after its part was
	// committed, else why it was not.
	Settle(ctx context.Context, err error) error
}

// ErrCommitted says that a part was committed in an earlier attempt, or by somebody else.
var ErrCommitted = errors.New("part is committed already")

// Sink keeps the outcomes of splits.
type Sink interface {
	// Open begins the part of a split, or returns ErrCommitted. It is called for several
	// splits at the same time.
	Open(ctx context.Context, id SplitID) (Part, error)
	// Close releases what the sink holds. It may be called twice.
	Close() error
}

// Part is what a sink holds of one split: invisible until committed, then whole.
// One goroutine uses it.
type Part interface {
	// Sealed counts what earlier attempts have left behind of the part: the work goes on
	// behind the first Read instances. nil: nothing.
	Sealed() *Tally
	// Write appends the outcomes of b, one an instance, in order. It is called in the
	// order of the batches. It must not keep b or o. An outcome that the sink refuses it
	// may turn into a failure of phase write, in o. ctx lives for as long as the part; so
	// do those of Seal and Commit.
	Write(ctx context.Context, b *Batch, o []Outcome) error
	// Seal makes what was written so far survive the end of the program; t counts all of it,
	// with what was sealed before. It is called between two Writes. ErrCommitted: somebody
	// else has committed the part meanwhile, and nobody needs this one.
	Seal(ctx context.Context, t *Tally) error
	// Commit makes the part visible, in one step. ErrCommitted: another attempt was
	// first, and its part stands.
	Commit(ctx context.Context, t *Tally) error
	// Discard removes what was neither sealed nor committed. After Commit it does nothing.
	Discard() error
}

// WorkerID names one worker process; a replaced worker has another one. 0 is no worker.
type WorkerID int64

// Call is one predict call on one worker.
type Call struct {
	Instances []Instance // at least one, none with a Failure
	Kwargs    []byte     // one JSON object, or nil
	// Limit is the time that the worker has for it, from when it begins on it.
	Limit time.Duration
	// Queued, when not nil, is called once the call has its place: calls are begun in the
	// order in which they got theirs.
	Queued func()
	// Worker, when not 0, is the only worker that may take the call; ErrWorkerGone when
	// it is not there any more.
	Worker WorkerID
}

// Answer is what a worker made of a call.
type Answer struct {
	Worker   WorkerID
	Outcomes []Outcome // one an instance, in order; failures of phase read and encode among them
	Times    Times
}

// ErrWorkerGone says that the worker a call asked for is not there any more.
var ErrWorkerGone = errors.New("worker is gone")

// Pool holds the workers. Its methods are safe for concurrent use.
type Pool interface {
	// Predict makes one call and waits for its answer. A call that the Predictor, or the
	// worker, failed returns a *CallError. Any other error is the pool's end (a *Error
	// when no worker can be had) or the context's.
	// A call that never began, because its worker died of another one, is passed to the
	// next worker by the pool itself.
	Predict(ctx context.Context, c Call) (Answer, error)
	// Replace kills a worker and starts another in its place. A worker that is gone
	// already is no error.
	Replace(id WorkerID, why string)
}

// CallKind sorts the failures of calls by what they mean for the batch (DESIGN 5).
type CallKind int

// The kinds of failed calls.
const (
	Raised  CallKind = iota + 1 // it raised, or its result is no list or of a wrong length; the worker goes on
	Retry                       // it raised one of errors.retry_on; the worker goes on
	Memory                      // out of memory: raised, or the worker was killed for memory
	Stuck                       // no answer within the limit; the worker was killed
	Crashed                     // the worker exited, was killed, or sent a broken frame
)

// CallError is a call that gave no outcomes.
type CallError struct {
	Kind    CallKind
	Worker  WorkerID
	Died    bool    // the worker is gone
	Failure Failure // what an instance alone in the call would be given
	Stderr  string  // the last lines the worker wrote
	// Harmed says that the worker had failed an earlier call, and predicted nothing since:
	// what it fails may be another call's fault. Only the pool knows the order of answers.
	Harmed bool
}

func (e *CallError) Error() string {
	return string(e.Failure.Phase) + ": " + e.Failure.Type + ": " + e.Failure.Message
}

// Remedy says whom an error of the run is for, and so which exit status it has (JOB 2).
type Remedy int

// The remedies.
const (
	TryAgain  Remedy = iota + 1 // exit status 1: trying again may help
	FixConfig                   // exit status 2: usage, job file, output of another job
	FixInput                    // exit status 3: the model or the data is at fault
)

// Error is why a run can not go on, in the words of promise 10: what, where, why, and
// what to do.
type Error struct {
	Remedy    Remedy
	Phase     Phase
	Type      string // Python's name of the exception where there is one
	Message   string
	Hint      string // what to do, a sentence
	Traceback string // Python's own
	Stderr    string // the last lines of the worker
	Err       error
}

func (e *Error) Error() string {
	s := e.Message
	if e.Type != "" {
		s = e.Type + ": " + s
	}
	if e.Phase != "" {
		s = string(e.Phase) + ": " + s
	}
	if e.Err != nil {
		if s != "" && e.Message != "" {
			return s + ": " + e.Err.Error()
		}
		return s + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }
