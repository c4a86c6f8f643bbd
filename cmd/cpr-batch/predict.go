package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pyworker"
	"github.com/cpr-batch/cpr-batch/sinks"
	"github.com/cpr-batch/cpr-batch/sources"
)

func (p *program) predictCommand() *cobra.Command {
	var f jobFlags
	cmd := &cobra.Command{
		Use:   "predict --config job.yaml [FILE]",
		Short: "Predict a few instances and print the predictions",
		Long: `Predict the instances of FILE, or of standard input (-, or no FILE), one JSON value a line, and
print the predictions, one a line, in order; a failed instance is a failure line in its
place. What the Predictor prints goes to standard error. The job's source and sink are not
used. Status 3 when an instance failed.`,
		Example: `  echo '{"text": "hello"}' | cpr-batch predict --config job.yaml
  head -n 20 instances.jsonl | cpr-batch predict --config job.yaml -`,
		Args: exactArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := f.load(cmd, p)
			if err != nil {
				return err
			}
			name := "-"
			if len(args) == 1 {
				name = args[0]
			}
			if name == "-" && f.config == "-" {
				return usageError(cmd, errors.New("the job file and the instances can not both be standard input"))
			}
			return p.predict(cmd.Context(), job, name)
		},
	}
	f.add(cmd)
	return cmd
}

// openInstances opens a file of instances, or standard input for -.
func (p *program) openInstances(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(p.stdin), nil
	}
	wrong := &pipeline.Error{Remedy: pipeline.FixConfig, Phase: pipeline.PhaseConfigure,
		Hint: "Name a file of JSON Lines, or - for standard input."}
	if objects.IsCloud(name) {
		r, err := objects.OpenFile(ctx, p.store, objects.Object{Name: name})
		if err != nil {
			wrong.Err, wrong.Hint = err, cmp.Or(objects.Hint(err), wrong.Hint)
			return nil, wrong
		}
		return r, nil
	}
	file, err := os.Open(name)
	if err != nil {
		wrong.Err = err
		return nil, wrong
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		wrong.Message, wrong.Err = name+" is a folder", file.Close()
		return nil, wrong
	}
	return file, nil
}

// predict runs the instances of a file through the Predictor and prints the outcomes.
func (p *program) predict(ctx context.Context, job *configs.Job, name string) (err error) {
	input, err := p.openInstances(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, input.Close()) }()
	work, fetch, stop := watchSignals(ctx, p.log, limits{drain: defaultDrain()})
	defer stop()
	base, err := pyworker.FindInterpreter(fetch, job.Python, job.Dir)
	if err != nil {
		return causeOf(fetch, err)
	}
	result, err := p.try(work, fetch, trial{
		job: job, store: p.store, base: base, out: p.stdout, show: true,
		source: sources.NewReader(input, name, *job.Source.JSONL, rows(job)),
	})
	if err != nil {
		return err
	}
	if len(result.Unread) > 0 {
		return result.Unread[0].Err
	}
	if t := result.Committed; t.Failed > 0 {
		return failedInstances{failed: t.Failed, read: t.Read}
	}
	return nil
}

// trial is a run without an output folder.
type trial struct {
	job    *configs.Job
	store  objects.Store
	base   pyworker.Interpreter
	source pipeline.Source
	out    io.Writer // gets the outcomes
	show   bool      // what the Predictor prints goes to standard error
}

// try runs a trial. However many instances fail, it goes on to the end.
func (p *program) try(work, fetch context.Context, t trial) (result pipeline.Result, err error) {
	workers := 1
	if t.job.Workers.Count > 0 {
		workers = int(t.job.Workers.Count)
	}
	place, err := openWorkplace(fetch, work, placeConfig{job: t.job, store: t.store, base: t.base, workers: workers, output: p.workerOutput(t.show), log: p.log})
	if err != nil {
		return result, causeOf(fetch, err)
	}
	defer func() { err = errors.Join(err, place.Close(work)) }()
	// A class that does not load is told also where there is no instance.
	if err := place.pool.Ready(fetch); err != nil {
		return result, causeOf(fetch, err)
	}
	job := newJob(t.job, place.pool, t.source, sinks.NewLines(t.out), p.log)
	job.Errors.MaxFailures, job.Errors.MaxFailureRatio = -1, 1
	if result, err = job.Run(work, fetch); err != nil {
		return result, err
	}
	return result, t.source.Close()
}

// workerOutput is what becomes of a line that a worker writes.
func (p *program) workerOutput(show bool) func(pyworker.Line) {
	if show && p.logFormat != "json" {
		return func(line pyworker.Line) { _, _ = fmt.Fprintln(p.stderr, line.Text) }
	}
	return func(line pyworker.Line) {
		p.log.Debug(pipeline.Quote(line.Text), "worker", line.Worker, "stream", string(line.Stream))
	}
}
