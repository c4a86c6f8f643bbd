package pipeline

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// maxFailureKinds is how many pairs of phase and type a tally tells apart.
const maxFailureKinds = 100

// Tally counts what became of the instances of one split, or of a run.
type Tally struct {
	Read         int64          `json:"read"`
	Predicted    int64          `json:"predicted"`
	Failed       int64          `json:"failed"`
	Batches      int64          `json:"batches"`
	FurtherCalls int64          `json:"further_calls"` // calls beside the first one of each batch
	Lines        int64          `json:"lines"`         // of the split's range, blank ones too
	BytesRead    int64          `json:"bytes_read"`
	BytesWritten int64          `json:"bytes_written"` // set by the sink
	Seconds      Seconds        `json:"seconds"`
	Failures     []FailureCount `json:"failures,omitempty"` // by source, then phase and type
}

// Seconds is where the time of a split went, summed over what ran side by side.
type Seconds struct {
	Read    float64 `json:"read"`
	Decode  float64 `json:"decode"`
	Predict float64 `json:"predict"`
	Encode  float64 `json:"encode"`
	Write   float64 `json:"write"`
}

// FailureCount counts the failures of one phase and type.
type FailureCount struct {
	Phase Phase        `json:"phase"`
	Type  string       `json:"type"`
	Count int64        `json:"count"`
	First FirstFailure `json:"first"`
}

// FirstFailure is the first failure of its kind in the order of the plan.
type FirstFailure struct {
	Split   SplitID `json:"split"`
	Ordinal int64   `json:"ordinal"` // in the split
	Source  Origin  `json:"source"`
	Message string  `json:"message"` // cut at 200 characters
}

// Fail counts one failure at number ordinal of split.
func (t *Tally) Fail(split SplitID, ordinal int64, o Origin, f *Failure) {
	t.Failed++
	t.addFailure(FailureCount{Phase: f.Phase, Type: f.Type, Count: 1,
		First: FirstFailure{Split: split, Ordinal: ordinal, Source: o, Message: Quote(f.Message)}})
}

// Add adds other to t.
func (t *Tally) Add(other *Tally) {
	t.Read += other.Read
	t.Predicted += other.Predicted
	t.Failed += other.Failed
	t.Batches += other.Batches
	t.FurtherCalls += other.FurtherCalls
	t.Lines += other.Lines
	t.BytesRead += other.BytesRead
	t.BytesWritten += other.BytesWritten
	t.Seconds.Read += other.Seconds.Read
	t.Seconds.Decode += other.Seconds.Decode
	t.Seconds.Predict += other.Seconds.Predict
	t.Seconds.Encode += other.Seconds.Encode
	t.Seconds.Write += other.Seconds.Write
	for _, f := range other.Failures {
		t.addFailure(f)
	}
}

// clone returns a copy that shares nothing with t.
func (t *Tally) clone() Tally {
	c := *t
	c.Failures = slices.Clone(t.Failures)
	return c
}

// reach notes how far a split has been read. What a decompressor has read ahead may differ
// from one attempt to the next: it never goes back.
func (t *Tally) reach(e Extent) {
	t.Lines, t.BytesRead = max(t.Lines, e.Lines), max(t.BytesRead, e.Bytes)
}

func (t *Tally) addFailure(f FailureCount) {
	i := slices.IndexFunc(t.Failures, func(g FailureCount) bool { return g.Phase == f.Phase && g.Type == f.Type })
	switch {
	case i >= 0:
		t.Failures[i].Count += f.Count
		if f.First.before(t.Failures[i].First) {
			t.Failures[i].First = f.First
		}
	case len(t.Failures) < maxFailureKinds:
		t.Failures = append(t.Failures, f)
	default:
		return
	}
	slices.SortFunc(t.Failures, func(a, b FailureCount) int {
		switch {
		case a.First.before(b.First):
			return -1
		case b.First.before(a.First):
			return 1
		}
		return cmp.Or(cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.Type, b.Type))
	})
}

// before compares two places of one plan: split IDs of a plan have one width.
func (f FirstFailure) before(g FirstFailure) bool {
	if f.Split != g.Split {
		return f.Split < g.Split
	}
	return f.Ordinal < g.Ordinal
}

// cut shortens s to at most n characters.
func cut(s string, n int) string {
	i := 0
	for j := range s {
		if i == n {
			return s[:j] + "…"
		}
		i++
	}
	return s
}

// Counters tell how far a running job is; safe to read while it runs.
type Counters struct {
	Read, Predicted, Failed atomic.Int64 // instances; Read counts those handed to batches
	SplitsDone              atomic.Int64
	BytesRead               atomic.Int64 // of the source, as stored
}

// Elsewhere counts what other processes have committed while a job runs.
type Elsewhere struct {
	Predicted, Failed atomic.Int64
}
