package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
	"github.com/cpr-batch/cpr-batch/pyworker"
	"github.com/cpr-batch/cpr-batch/sources"
)

const (
	// trialTime is how long a trial predicts.
	trialTime = 10 * time.Second
	// trialSplits is how many splits a trial may read.
	trialSplits = 1000
)

// errTrialOver is the end of a trial that would go on.
var errTrialOver = errors.New("the trial's time is over")

// estimate is what a trial tells of a whole run.
type estimate struct {
	load      time.Duration // of the workers
	took      time.Duration // predicting
	workers   int
	instances int64 // predicted or failed in that time
	failed    int64
	read      int64 // instances read
	bytes     int64 // of the source, for them
	left      int64 // bytes of the source that are not done
	whole     bool  // the trial has predicted all that is left
}

// estimate predicts for some seconds what is not done, throws the outcomes away, and tells
// how long all of it will take.
func (p *program) estimate(ctx context.Context, job *configs.Job, run *runs.Run, splits *runs.Splits) error {
	work, fetch, stop := watchSignals(ctx, p.log, limits{drain: defaultDrain()})
	defer stop()
	var open []pipeline.PlannedSplit
	var left int64
	for i := range splits.Len() {
		if run.Plan() != nil && run.Committed(i) {
			continue
		}
		left += splits.Bytes(i)
		if len(open) < trialSplits {
			split, err := splits.At(i)
			if err != nil {
				return err
			}
			open = append(open, split)
		}
	}
	if len(open) == 0 {
		_, err := fmt.Fprintf(p.stdout, "\nestimate: nothing is left to predict\n")
		return err
	}
	e, err := p.measure(work, fetch, job, open)
	if err != nil {
		return causeOf(fetch, err)
	}
	e.left = left
	e.whole = e.whole && len(open) < trialSplits
	_, err = fmt.Fprintf(p.stdout, "\n%s", e)
	return err
}

// measure runs the trial.
func (p *program) measure(work, fetch context.Context, job *configs.Job, open []pipeline.PlannedSplit) (e estimate, err error) {
	base, err := pyworker.FindInterpreter(fetch, job.Python, job.Dir)
	if err != nil {
		return e, err
	}
	e.workers = workerCount(job.Workers.Count)
	began := time.Now()
	place, err := openWorkplace(fetch, work, placeConfig{job: job, store: p.store, base: base, workers: e.workers, output: p.workerOutput(false), log: p.log})
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, place.Close(work)) }()
	if err := place.pool.Ready(fetch); err != nil {
		return e, err
	}
	e.load = time.Since(began)
	trial, end := context.WithCancelCause(fetch)
	defer end(nil)
	timer := time.AfterFunc(trialTime, func() { end(errTrialOver) })
	defer timer.Stop()
	source := sources.NewJSONL(p.store, *job.Source.JSONL, rows(job), sources.InOrder(open...))
	j := newJob(job, place.pool, source, nowhere{}, p.log)
	j.Errors.MaxFailures, j.Errors.MaxFailureRatio = -1, 1
	began = time.Now()
	result, err := j.Run(work, trial)
	e.took = time.Since(began)
	if errors.Is(err, errTrialOver) {
		err = nil
	} else if err == nil {
		e.whole = len(result.Unread) == 0
	}
	if err == nil && len(result.Unread) > 0 {
		err = result.Unread[0].Err
	}
	e.failed = j.Counters.Failed.Load()
	e.instances = j.Counters.Predicted.Load() + e.failed
	e.read, e.bytes = j.Counters.Read.Load(), j.Counters.BytesRead.Load()
	return e, errors.Join(err, source.Close())
}

// String tells the estimate in words.
func (e estimate) String() string {
	text := fmt.Sprintf("estimate: a trial of %s loaded %s in %s and predicted %s, %d of which failed\n",
		round(e.took), counted(int64(e.workers), "worker"), round(e.load), counted(e.instances, "instance"), e.failed)
	if e.whole {
		return text + fmt.Sprintf("estimate: that is all there is: the run will take about %s\n", round(e.load+e.took))
	}
	if e.instances == 0 || e.read == 0 {
		return text + "estimate: too slow for one: nothing was predicted in that time\n"
	}
	rate := float64(e.instances) / e.took.Seconds()
	instances := float64(e.left) / (float64(e.bytes) / float64(e.read))
	seconds := instances / rate
	return text + fmt.Sprintf("estimate: about %.0f instances are left, at %.0f a second: about %s on this machine; on n machines like it the nth part\n",
		instances, rate, round(e.load+time.Duration(seconds*float64(time.Second))))
}

func round(d time.Duration) time.Duration {
	switch {
	case d > time.Hour:
		return d.Round(time.Minute)
	case d > 10*time.Second:
		return d.Round(time.Second)
	}
	return d.Round(10 * time.Millisecond)
}

// nowhere is a pipeline.Sink that keeps nothing.
type nowhere struct{}

// Open begins a part.
func (nowhere) Open(context.Context, pipeline.SplitID) (pipeline.Part, error) { return nowhere{}, nil }

// Close does nothing.
func (nowhere) Close() error { return nil }

// Sealed is nil.
func (nowhere) Sealed() *pipeline.Tally { return nil }

// Write forgets the outcomes.
func (nowhere) Write(context.Context, *pipeline.Batch, []pipeline.Outcome) error { return nil }

// Seal does nothing.
func (nowhere) Seal(context.Context, *pipeline.Tally) error { return nil }

// Commit does nothing.
func (nowhere) Commit(context.Context, *pipeline.Tally) error { return nil }

// Discard does nothing.
func (nowhere) Discard() error { return nil }
