package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// hopeless is how many instances must have failed, all of them, for a run to be given up
// before errors.min_instances are there to be judged.
const hopeless = 100

// budget counts outcomes as soon as they are known, while a batch is still being divided
// too, and ends the run when more have failed than the job allows.
type budget struct {
	config    ErrorsConfig
	counters  *Counters
	elsewhere *Elsewhere // nil: there are no others

	mu                sync.Mutex
	predicted, failed int64
}

func newBudget(j *Job, counters *Counters) *budget {
	return &budget{
		config: j.Errors, counters: counters, elsewhere: j.Elsewhere,
		predicted: j.Before.Predicted, failed: j.Before.Failed,
	}
}

// count adds outcomes and returns a *Error when the budget is spent.
func (b *budget) count(predicted, failed int64, last *Failure) error {
	b.counters.Predicted.Add(predicted)
	b.counters.Failed.Add(failed)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.predicted += predicted
	b.failed += failed
	predicted, failed = b.everywhere()
	judged := predicted+failed >= b.config.MinInstances || (failed >= hopeless && predicted == 0)
	e := b.config.judge(predicted, failed, judged)
	if e == nil {
		return nil
	}
	if last != nil {
		e.Message += fmt.Sprintf("; the last one: %s: %s", last.Type, Quote(last.Message))
		e.Traceback = quotedTraceback(last)
	}
	return e
}

// everywhere is what this process and the others have counted; the caller holds mu.
func (b *budget) everywhere() (predicted, failed int64) {
	predicted, failed = b.predicted, b.failed
	if b.elsewhere != nil {
		predicted += b.elsewhere.Predicted.Load()
		failed += b.elsewhere.Failed.Load()
	}
	return predicted, failed
}

// forget takes back what was counted of a split that another process has committed, which
// counts it elsewhere.
func (b *budget) forget(t *Tally) {
	if b.elsewhere == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.predicted -= t.Predicted
	b.failed -= t.Failed
}

// refused takes one prediction back that the sink refused.
func (b *budget) refused() error {
	b.counters.Predicted.Add(-1)
	b.mu.Lock()
	b.predicted--
	b.mu.Unlock()
	return b.count(0, 1, nil)
}

// Judge holds the outcomes of a whole run against the limits: a *Error with FixInput when
// more have failed than the job allows.
func (c *ErrorsConfig) Judge(t *Tally) error {
	e := c.judge(t.Predicted, t.Failed, true)
	if e == nil {
		return nil
	}
	if len(t.Failures) > 0 {
		most := slices.MaxFunc(t.Failures, func(a, b FailureCount) int { return cmp.Compare(a.Count, b.Count) })
		e.Message += fmt.Sprintf("; most often %s: %s (%s line %d)", most.Type, most.First.Message, most.First.Source.URI, most.First.Source.Line)
	}
	return e
}

func (c *ErrorsConfig) judge(predicted, failed int64, ratio bool) *Error {
	total := predicted + failed
	var limit string
	switch {
	case failed == 0:
		return nil
	case c.MaxFailures >= 0 && failed > c.MaxFailures:
		limit = fmt.Sprintf("errors.max_failures (%d)", c.MaxFailures)
	case ratio && c.MaxFailureRatio < 1 && float64(failed) > c.MaxFailureRatio*float64(total):
		limit = fmt.Sprintf("errors.max_failure_ratio (%g)", c.MaxFailureRatio)
	default:
		return nil
	}
	return &Error{
		Remedy:  FixInput,
		Phase:   PhasePredict,
		Type:    "TooManyFailures",
		Message: fmt.Sprintf("%d of %d instances failed (%.3g %%), more than %s allows", failed, total, 100*float64(failed)/float64(total), limit),
		Hint:    "Mend the data or the Predictor and run it anew (with --overwrite, or to another output). Where so many failures are expected, raise the limit and run the same command again: what is committed stays.",
	}
}
