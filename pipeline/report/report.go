package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// Status is how a run, or an attempt at one, ended.
type Status string

// The statuses.
const (
	Done    Status = "done"    // all parts are there
	Failed  Status = "failed"  // it ended with an error
	Stopped Status = "stopped" // it was told to end, with work left
)

// Report is report.json: a run as numbers (JOB 4). Counts are of the whole run, whatever
// number of attempts it took; Attempt is the last one.
type Report struct {
	RunID        string        `json:"run_id"`
	Name         string        `json:"name"`
	Started      time.Time     `json:"started"`
	Ended        time.Time     `json:"ended"`
	Status       Status        `json:"status"`
	Error        *Error        `json:"error,omitempty"`
	Output       string        `json:"output"`
	ErrorsFiles  string        `json:"errors_files,omitempty"` // a glob; "" where there are none
	Folder       string        `json:"-"`                      // Output, as one finds it from here
	Retry        string        `json:"-"`                      // the command that predicts again what failed; "": there is none
	ConfigDigest string        `json:"config_digest"`
	Instances    Instances     `json:"instances"`
	Uncommitted  *Instances    `json:"uncommitted,omitempty"` // those of Instances that are in no committed part
	Failures     []Failure     `json:"failures"`
	Batches      Batches       `json:"batches"`
	Workers      WorkerCounts  `json:"workers"`
	Seconds      Seconds       `json:"seconds"`
	Bytes        Bytes         `json:"bytes"`
	Splits       Splits        `json:"splits"`
	PeakMemory   PeakMemory    `json:"peak_memory"`
	Versions     runs.Versions `json:"versions"`
	MadeBy       []runs.Maker  `json:"made_by,omitempty"` // where not all parts were made by the same
	Attempt      Attempt       `json:"attempt"`
}

// Error is why a run did not end well.
type Error struct {
	Phase     pipeline.Phase `json:"phase,omitempty"`
	Type      string         `json:"type,omitempty"`
	Message   string         `json:"message"`
	Hint      string         `json:"hint,omitempty"`
	Traceback string         `json:"traceback,omitempty"`
	Stderr    string         `json:"stderr,omitempty"`
}

// Instances counts instances.
type Instances struct {
	Read      int64 `json:"read"`
	Predicted int64 `json:"predicted"`
	Failed    int64 `json:"failed"`
}

// Failure counts the failures of one phase and type.
type Failure struct {
	Phase pipeline.Phase `json:"phase"`
	Type  string         `json:"type"`
	Count int64          `json:"count"`
	First First          `json:"first"`
}

// First is the first failure of its kind, by its place in the source.
type First struct {
	Source  Source `json:"source"`
	Message string `json:"message"`
}

// Source is a place in the source, as failure lines have it.
type Source struct {
	URI       string `json:"uri,omitempty"`
	Line      int64  `json:"line,omitempty"`
	Offset    *int64 `json:"offset,omitempty"` // nil where the file is compressed
	MessageID string `json:"message_id,omitempty"`
}

// Batches counts batches and what it took to predict them.
type Batches struct {
	Count        int64   `json:"count"`
	MeanSize     float64 `json:"mean_size"`
	FurtherCalls int64   `json:"further_calls"` // beside the first one of each
}

// WorkerCounts counts the worker processes of the last attempt.
type WorkerCounts struct {
	Count    int `json:"count"`
	Started  int `json:"started"`
	Died     int `json:"died"`
	Timeouts int `json:"timeouts"`
}

// Seconds is where the time went, summed over what ran side by side. Load and idle are
// those of the last attempt's workers.
type Seconds struct {
	Load    float64 `json:"load"`
	Read    float64 `json:"read"`
	Decode  float64 `json:"decode"`
	Predict float64 `json:"predict"`
	Encode  float64 `json:"encode"`
	Write   float64 `json:"write"`
	Idle    float64 `json:"idle"`
}

// Bytes counts bytes of the source and of the output, as stored.
type Bytes struct {
	Read    int64 `json:"read"`
	Written int64 `json:"written"`
}

// Splits counts the splits of the plan.
type Splits struct {
	Total   int `json:"total"`
	Done    int `json:"done"`    // whose parts are committed
	Skipped int `json:"skipped"` // of those, committed by earlier attempts or other processes
}

// PeakMemory is in bytes: of the program, and of its largest worker.
type PeakMemory struct {
	Program int64 `json:"program"`
	Workers int64 `json:"workers"`
}

// Attempt is what the process that wrote the report has done itself.
type Attempt struct {
	Started   time.Time `json:"started"`
	Instances int64     `json:"instances"`
}

// Workers is what the pool tells of itself.
type Workers struct {
	Count, Started, Died, Timeouts int
	Load, Idle                     time.Duration // summed over the workers
	PeakMemory                     int64         // bytes, of the largest
}

// Input is what a report is made from.
type Input struct {
	Name        string // of the job
	Output      string // the run's folder, as the job file has it
	Folder      string // the same as one finds it from here; "": Output
	Retry       string // the command that predicts again what failed; "": there is none
	Status      Status
	Err         error      // why the run did not end well; nil when it is done
	Plan        *runs.Plan // nil where the run ended before it had one
	Began       time.Time  // when this attempt began
	Ended       time.Time
	Summary     runs.Summary   // of the commit records
	Uncommitted pipeline.Tally // what was counted in splits that were not committed
	Resumed     int64          // of all these, instances that earlier attempts had sealed
	Workers     Workers
	Versions    runs.Versions
}

// Build makes the report of a run that has just ended.
func Build(in Input) Report {
	r := Report{
		Name: in.Name, Status: in.Status, Started: in.Began.UTC(), Ended: in.Ended.UTC(), Output: in.Output, Folder: cmp.Or(in.Folder, in.Output), Retry: in.Retry,
		Error: describe(in.Err), Versions: in.Versions, Attempt: Attempt{Started: in.Began.UTC()},
		PeakMemory: PeakMemory{Program: peakMemory(), Workers: in.Workers.PeakMemory},
		Workers: WorkerCounts{
			Count: in.Workers.Count, Started: in.Workers.Started, Died: in.Workers.Died, Timeouts: in.Workers.Timeouts,
		},
		Splits: Splits{Done: in.Summary.Parts, Skipped: in.Summary.Parts - in.Summary.Own},
	}
	if in.Plan != nil {
		r.RunID, r.Started, r.ConfigDigest = in.Plan.RunID, in.Plan.Started, in.Plan.Digest.Sum()
		r.Splits.Total = in.Plan.Splits.Len()
	}
	total := in.Summary.Tally
	r.Attempt.Instances = in.Summary.OwnRead
	if in.Summary.Errors != "" {
		r.ErrorsFiles = strings.TrimSuffix(in.Output, "/") + "/errors-*." + in.Summary.Errors
	}
	if len(in.Summary.Makers) > 1 {
		r.MadeBy = in.Summary.Makers
	}
	if in.Status != Done && in.Uncommitted.Read > 0 {
		r.Uncommitted = &Instances{Read: in.Uncommitted.Read, Predicted: in.Uncommitted.Predicted, Failed: in.Uncommitted.Failed}
		r.Attempt.Instances += in.Uncommitted.Read
		total.Add(&in.Uncommitted)
	}
	r.Attempt.Instances = max(0, r.Attempt.Instances-in.Resumed)
	r.count(&total, in.Workers)
	return r
}

// count takes the run's numbers over.
func (r *Report) count(t *pipeline.Tally, w Workers) {
	r.Instances = Instances{Read: t.Read, Predicted: t.Predicted, Failed: t.Failed}
	r.Batches = Batches{Count: t.Batches, FurtherCalls: t.FurtherCalls}
	if t.Batches > 0 {
		r.Batches.MeanSize = math.Round(10*float64(t.Read)/float64(t.Batches)) / 10
	}
	r.Seconds = Seconds{
		Load: seconds(w.Load.Seconds()), Idle: seconds(w.Idle.Seconds()),
		Read: seconds(t.Seconds.Read), Decode: seconds(t.Seconds.Decode), Predict: seconds(t.Seconds.Predict),
		Encode: seconds(t.Seconds.Encode), Write: seconds(t.Seconds.Write),
	}
	r.Bytes = Bytes{Read: t.BytesRead, Written: t.BytesWritten}
	r.Failures = make([]Failure, 0, len(t.Failures))
	for _, f := range t.Failures {
		r.Failures = append(r.Failures, Failure{
			Phase: f.Phase, Type: f.Type, Count: f.Count,
			First: First{Source: place(f.First.Source), Message: f.First.Message},
		})
	}
}

func place(o pipeline.Origin) Source {
	s := Source{URI: o.URI, Line: o.Line, MessageID: o.MessageID}
	if o.Offset >= 0 && o.MessageID == "" {
		s.Offset = &o.Offset
	}
	return s
}

// seconds rounds to milliseconds.
func seconds(s float64) float64 { return math.Round(1000*s) / 1000 }

func describe(err error) *Error {
	if err == nil {
		return nil
	}
	var e *pipeline.Error
	if !errors.As(err, &e) {
		return &Error{Message: err.Error()}
	}
	message := e.Message
	if e.Err != nil {
		message = strings.TrimPrefix(message+": "+e.Err.Error(), ": ")
	}
	return &Error{Phase: e.Phase, Type: e.Type, Message: message, Hint: e.Hint, Traceback: e.Traceback, Stderr: e.Stderr}
}

// JSON is the report as report.json has it.
func (r *Report) JSON() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(r)
	return b.Bytes(), err
}
