package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/report"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// conclude ends the run with err: it judges what is committed, leaves the report and the
// mark of the run's end in the output folder, and prints the summary. It returns why the
// run did not end well. With exit status 2 nothing is written.
func (r *jobRun) conclude(ctx context.Context, err error) error {
	if r.run != nil {
		defer func() { _ = r.run.Close() }()
	}
	switch {
	case exitStatus(err) == int(pipeline.FixConfig):
		return err
	case r.again != nil:
		return r.failedBefore()
	case r.finished():
		return r.sayFinished(ctx)
	}
	refreshed := r.refresh(ctx, err)
	summary := r.summary()
	open := r.run != nil && summary.Parts < r.run.Plan().Splits.Len()
	if isStop(err) && r.run != nil && !open && refreshed == nil {
		err = nil // what it was told to leave was the last there was
	}
	if err == nil {
		err = errors.Join(r.unread(), refreshed)
	}
	if err == nil && open && r.flags.wait == "none" {
		return r.leave(ctx, summary)
	}
	if err == nil {
		total := summary.Tally
		total.Add(&r.prior)
		err = r.job.Errors.Judge(&total)
	}
	rep := r.report(summary, err)
	text, jsonErr := rep.JSON()
	if jsonErr != nil {
		return errors.Join(err, jsonErr)
	}
	marking, cancel := leaving(ctx, err)
	defer cancel()
	if markErr := r.mark(marking, err, text); markErr != nil {
		if err == nil {
			err = markErr
			rep = r.report(summary, err)
		} else {
			r.log.Warn("the report could not be written", "reason", markErr)
		}
	}
	return errors.Join(unlessUnread(r.print(rep)), err)
}

// isStop says whether an error is the end that a signal or the deadline has asked for.
func isStop(err error) bool {
	var stopped signalError
	var late deadlineError
	return errors.As(err, &stopped) || errors.As(err, &late)
}

// leaving bounds what a run has still to tell its output when it was told to end by err: it
// ends also where the store is away. A run that ends by itself takes the time it needs.
func leaving(ctx context.Context, err error) (context.Context, context.CancelFunc) {
	if isStop(err) {
		return context.WithTimeoutCause(ctx, goodbye, fmt.Errorf("the run was told to end, and has waited %s for an answer", goodbye))
	}
	return ctx, func() {}
}

// refresh reads what others have committed since; the run ends with err.
func (r *jobRun) refresh(ctx context.Context, err error) error {
	if r.run == nil {
		return nil
	}
	ctx, cancel := leaving(ctx, err)
	defer cancel()
	return r.run.Refresh(ctx)
}

func (r *jobRun) summary() runs.Summary {
	if r.run == nil {
		return runs.Summary{}
	}
	return r.run.Summary()
}

// failedBefore answers a platform that starts a task again which has failed for good.
func (r *jobRun) failedBefore() error {
	return &pipeline.Error{
		Remedy:  pipeline.FixInput,
		Message: "the run has failed before, of the same job and with the same limits: " + r.again.Reason,
		Hint:    "Mend the data or the Predictor, or raise the limits in errors; then it is tried again. To have it tried as it is, run the command by hand.",
	}
}

// leave ends a task that has nothing left to take while others are at work.
func (r *jobRun) leave(ctx context.Context, summary runs.Summary) error {
	rep := r.report(summary, nil)
	rep.Status = report.Stopped
	text, err := rep.JSON()
	if err == nil {
		err = r.run.Stop(ctx, text)
	}
	if err != nil {
		return err
	}
	if r.flags.report == "json" {
		return unlessUnread(r.print(rep))
	}
	_, err = fmt.Fprintf(r.stdout, "task %d of %d has nothing left to take: %d of %d parts of %s are done, others are at work at the rest\n",
		r.task.index, r.task.count, summary.Parts, r.run.Plan().Splits.Len(), here(r.folder))
	return unlessUnread(err)
}

// unread is the error of a run that has splits that could not be read to their end, neither
// here nor, as far as is known, by another task; each file is named once.
func (r *jobRun) unread() error {
	unread := slices.DeleteFunc(slices.Clone(r.result.Unread), func(split *pipeline.SplitError) bool {
		i, ok := r.run.Plan().Splits.Number(split.ID)
		return ok && r.run.Committed(i)
	})
	if len(unread) == 0 {
		return nil
	}
	e := &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhaseRead}
	var lines, hints []string
	for _, split := range unread {
		var cause *pipeline.Error
		if !errors.As(split, &cause) {
			cause = &pipeline.Error{Remedy: pipeline.TryAgain, Err: split.Err}
		}
		if cause.Remedy == pipeline.TryAgain {
			e.Remedy = pipeline.TryAgain
		}
		plain := *cause
		plain.Phase = "" // of all of them alike
		lines, hints = append(lines, plain.Error()), append(hints, cause.Hint)
	}
	lines, hints = unique(lines), unique(hints)
	e.Message, e.Hint = lines[0], strings.TrimSpace(strings.Join(hints, " "))
	if n := len(unread); n > 1 {
		e.Message = fmt.Sprintf("%d splits could not be read to their end:\n%s", n, strings.Join(lines, "\n"))
	}
	return e
}

// unique is texts with each there once, in the order of their first places.
func unique(texts []string) []string {
	seen := make(map[string]bool, len(texts))
	return slices.DeleteFunc(texts, func(text string) bool {
		twice := seen[text]
		seen[text] = true
		return twice
	})
}

func (r *jobRun) report(summary runs.Summary, err error) report.Report {
	status := report.Done
	switch {
	case isStop(err):
		status = report.Stopped
	case err != nil:
		status = report.Failed
	}
	in := report.Input{
		Name: r.job.Name, Output: r.shown, Folder: here(r.folder), Retry: r.retryCommandLine(), Status: status, Err: err,
		Began: r.started, Ended: time.Now(),
		Summary: summary, Uncommitted: r.result.Uncommitted, Resumed: r.result.Resumed, Versions: r.versions(),
		Workers: report.Workers{
			Count: r.stats.Count, Started: r.stats.Started, Died: r.stats.Died, Timeouts: r.stats.Timeouts,
			Load: r.stats.Load, Idle: r.stats.Idle, PeakMemory: r.stats.PeakMemory,
		},
	}
	if r.run != nil {
		in.Plan = r.run.Plan()
	}
	return report.Build(in)
}

// retryCommandLine is the command that predicts again what has failed.
func (r *jobRun) retryCommandLine() string {
	if r.flags.limit > 0 || r.flags.config == "-" {
		return ""
	}
	line := "cpr-batch retry --config " + quoted(r.flags.config)
	if r.flags.date != "" {
		line += " --date " + quoted(r.flags.date)
	}
	if len(r.flags.vars)+len(r.flags.set) > 0 {
		line += ", and --var and --set as before" // whose values may be secrets
	}
	return line
}

// quoted is an argument as one types it.
func quoted(arg string) string {
	if arg != "" && !strings.ContainsAny(arg, " \t\n\"'\\$&|;<>()*?[]{}~#!`") {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// here is a folder's path as one types it in the working directory.
func here(folder string) string {
	if objects.IsCloud(folder) {
		return folder + "/"
	}
	working, err := os.Getwd()
	if err != nil {
		return folder
	}
	name, err := filepath.Rel(working, folder)
	if err != nil || name == ".." || strings.HasPrefix(name, "../") {
		name = folder
	}
	return name + "/"
}

// mark leaves report.json, and _SUCCESS or _FAILED where the run ended so.
func (r *jobRun) mark(ctx context.Context, err error, text []byte) error {
	reason := ""
	if exitStatus(err) == int(pipeline.FixInput) {
		reason = err.Error()
	}
	switch {
	case r.run == nil:
		return runs.Abandon(ctx, r.store, r.folder, reason, text)
	case err == nil:
		return r.run.Finish(ctx, text)
	case reason != "":
		return r.run.Fail(ctx, reason, r.job.Errors, text)
	}
	return r.run.Stop(ctx, text)
}

// print writes what standard output gets.
func (r *jobRun) print(rep report.Report) error {
	if r.flags.report == "json" {
		text, err := rep.JSON()
		if err != nil {
			return err
		}
		_, err = r.stdout.Write(text)
		return err
	}
	return report.Summary(r.stdout, rep)
}

// sayFinished tells that there was nothing to do.
func (r *jobRun) sayFinished(ctx context.Context) error {
	if err := r.refresh(ctx, nil); err != nil {
		return err
	}
	summary := r.summary()
	if r.flags.report == "json" {
		return unlessUnread(r.print(r.report(summary, nil)))
	}
	_, err := fmt.Fprintf(r.stdout, "%s is finished already: %d instances, %d of them without a prediction, in %s\nTo run it anew, add --overwrite.\n",
		r.job.Name, summary.Tally.Read, summary.Tally.Failed, here(r.folder))
	return unlessUnread(err)
}
