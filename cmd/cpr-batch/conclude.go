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
	if exitStatus(err) == int(pipeline.FixConfig) {
		return err
	}
	if r.finished() {
		return r.sayFinished(ctx)
	}
	records, recordsErr := r.records(ctx)
	if err == nil {
		err = errors.Join(r.unread(), recordsErr)
	}
	if err == nil {
		total := total(records)
		err = r.job.Errors.Judge(&total)
	}
	rep := r.report(records, err)
	text, jsonErr := rep.JSON()
	if jsonErr != nil {
		return errors.Join(err, jsonErr)
	}
	if markErr := r.mark(ctx, err, text); markErr != nil {
		if err == nil {
			err = markErr
			rep = r.report(records, err)
		} else {
			r.log.Warn("the report could not be written", "reason", markErr)
		}
	}
	return errors.Join(unlessUnread(r.print(rep)), err)
}

func (r *jobRun) records(ctx context.Context) ([]runs.Record, error) {
	if r.run == nil {
		return nil, nil
	}
	return r.run.Records(ctx)
}

func total(records []runs.Record) pipeline.Tally {
	var t pipeline.Tally
	for i := range records {
		t.Add(&records[i].Tally)
	}
	return t
}

// unread is the error of a run that has splits that could not be read to their end, with
// each file named once.
func (r *jobRun) unread() error {
	if len(r.result.Unread) == 0 {
		return nil
	}
	e := &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhaseRead}
	var lines, hints []string
	for _, split := range r.result.Unread {
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
	if n := len(r.result.Unread); n > 1 {
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

func (r *jobRun) report(records []runs.Record, err error) report.Report {
	status := report.Done
	var stopped signalError
	switch {
	case errors.As(err, &stopped):
		status = report.Stopped
	case err != nil:
		status = report.Failed
	}
	in := report.Input{
		Name: r.job.Name, Output: r.outputName(), Folder: here(r.folder), Status: status, Err: err,
		Began: r.started, Ended: time.Now(),
		Records: records, Uncommitted: r.result.Uncommitted, Versions: r.versions(),
		Workers: report.Workers{
			Count: r.stats.Count, Started: r.stats.Started, Died: r.stats.Died, Timeouts: r.stats.Timeouts,
			Load: r.stats.Load, Idle: r.stats.Idle, PeakMemory: r.stats.PeakMemory,
		},
	}
	if r.run != nil {
		in.Plan, in.Attempt = r.run.Plan(), r.run.Attempt()
	}
	return report.Build(in)
}

// outputName is the output folder as people know it: as the job file has it.
func (r *jobRun) outputName() string {
	name := r.job.Sink.JSONL.URI
	if r.flags.limit > 0 {
		name = strings.TrimSuffix(name, "/") + fmt.Sprintf("/limit-%d/", r.flags.limit)
	}
	return name
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
		return r.run.Fail(ctx, reason, text)
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
	records, err := r.records(ctx)
	if err != nil {
		return err
	}
	if r.flags.report == "json" {
		return unlessUnread(r.print(r.report(records, nil)))
	}
	t := total(records)
	_, err = fmt.Fprintf(r.stdout, "%s is finished already: %d instances, %d of them without a prediction, in %s\nTo run it anew, add --overwrite.\n",
		r.job.Name, t.Read, t.Failed, here(r.folder))
	return unlessUnread(err)
}
