package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pyworker"
	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

// reaperName is the hidden command by which the program starts itself as its reaper.
const reaperName = "reaper"

func reaperCommand() *cobra.Command {
	return &cobra.Command{
		Use: reaperName, Hidden: true, Args: exactArgs(0, 0),
		RunE: func(*cobra.Command, []string) error { return pyworker.RunReaper(pyworker.Lifeline()) },
	}
}

// workplace is what predicting takes beside a source and a sink: the staged model, an
// environment, workers, and what cleans up behind them.
type workplace struct {
	temp   *pyworker.TempDir
	reaper *pyworker.Reaper
	env    *pyworker.Environment
	pool   *pyworker.Pool
	log    *slog.Logger
}

// placeConfig says what a workplace is for.
type placeConfig struct {
	job     *configs.Job
	store   objects.Store
	model   *pyworker.Model // nil: it is looked for
	base    pyworker.Interpreter
	workers int
	output  func(pyworker.Line) // gets each line that a worker writes
	log     *slog.Logger

	transfer *pyworker.Transfer // counts what is downloaded of the model; nil: nobody does
}

// openWorkplace stages the model and starts the workers. It does not wait until they are
// loaded: their first call does. The workers are killed when life ends.
func openWorkplace(ctx, life context.Context, c placeConfig) (*workplace, error) {
	w := &workplace{log: c.log}
	if err := w.open(ctx, life, c); err != nil {
		return nil, errors.Join(err, w.Close(ctx))
	}
	return w, nil
}

func (w *workplace) open(ctx, life context.Context, c placeConfig) error {
	var err error
	if w.temp, err = pyworker.NewTempDir(); err != nil {
		return err
	}
	program := pyworker.ReaperProgram{Args: []string{reaperName}, Folder: w.temp.Path}
	if w.reaper, err = pyworker.StartReaper(program, c.log); err != nil {
		return &pipeline.Error{Remedy: pipeline.TryAgain, Phase: pipeline.PhaseConfigure, Err: err}
	}
	environments, err := pyworker.UserEnvironments(c.store, c.log)
	if err != nil && needsEnvironment(c.job.Python) {
		return err
	}
	var staged *pyworker.Staged
	group, staging := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		w.env, err = environments.Open(staging, c.job.Python, c.job.Dir, c.base)
		return err
	})
	group.Go(func() (err error) {
		staged, err = c.stage(staging, filepath.Join(w.temp.Path, "stage"))
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if w.pool, err = pyworker.NewPool(w.poolConfig(c, staged)); err != nil {
		return err
	}
	w.pool.Start(life)
	return nil
}

// stage puts the model and the packages into a folder.
func (c *placeConfig) stage(ctx context.Context, into string) (*pyworker.Staged, error) {
	model := c.model
	if model == nil {
		var err error
		if model, err = pyworker.FindModel(ctx, c.store, c.job.Dir, c.job.Model, c.job.Resolve(c.job.Sink.JSONL.URI)); err != nil {
			return nil, err
		}
	}
	models := pyworker.UserModels(c.log)
	models.Progress = c.transfer
	return model.Stage(ctx, models, into)
}

func (w *workplace) poolConfig(c placeConfig, staged *pyworker.Staged) pyworker.PoolConfig {
	nonFinite := map[string]values.NonFinite{"null": values.AsNull, "string": values.AsString}
	return pyworker.PoolConfig{
		Interpreter: w.env.Interpreter.Path,
		Environ:     os.Environ(),
		Env:         c.job.Python.Env,
		Dir:         w.temp.Path,
		Class:       c.job.Model.PredictionClass,
		ModelDir:    staged.ModelDir,
		Paths:       staged.Paths,
		Count:       c.workers,
		LoadTimeout: c.job.Workers.LoadTimeout,
		MaxRequests: c.job.Workers.MaxRequests,
		DecodeB64:   c.job.Model.DecodeB64,
		NonFinite:   nonFinite[c.job.Output.NonFinite],
		RetryOn:     c.job.Errors.RetryOn,
		Groups:      w.reaper,
		Output:      c.output,
		Logger:      c.log,
	}
}

// goodbye is how long ending the workers may take beyond their own time to end, and each of
// what a run that was told to end has still to tell its store.
const goodbye = 10 * time.Second

// Close ends the workers and removes what the workplace took. It may be called twice.
func (w *workplace) Close(ctx context.Context) error {
	var errs []error
	if w.pool != nil {
		// Also when the run was canceled the workers may end by themselves.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		errs = append(errs, w.pool.Close(ctx))
	}
	if w.reaper != nil {
		w.reaper.Close()
	}
	if w.env != nil {
		errs = append(errs, w.env.Close())
	}
	if w.temp != nil {
		if err := w.temp.Close(); err != nil {
			// Something that the Predictor started writes there still: no fault of the run.
			w.log.Warn("the next start removes what is left", "error", err)
		}
	}
	return errors.Join(errs...)
}

// stats are the pool's; none where there is no pool.
func (w *workplace) stats() pyworker.Stats {
	if w == nil || w.pool == nil {
		return pyworker.Stats{}
	}
	return w.pool.Stats()
}

// workerCount is workers.count, or one a core that the program may use.
func workerCount(c pipeline.Count) int {
	if c > 0 {
		return int(c)
	}
	return runtime.GOMAXPROCS(0)
}
