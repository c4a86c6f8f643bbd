package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func (p *program) planCommand() *cobra.Command {
	var f jobFlags
	var withEstimate bool
	cmd := &cobra.Command{
		Use:   "plan --config job.yaml",
		Short: "Print the splits of the run, a line each",
		Long: `Print a line for each split of the run: its ID, its state (done, open, or how many
of its instances are sealed), URI, range in bytes, and size. Where the output folder holds a
plan, that one is printed: it is fixed when a run starts. Nothing is written.

With --estimate the workers are loaded, what is not done is predicted for ten seconds and
thrown away, and the time of the whole run is told.`,
		Args: exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			job, err := f.load(cmd, p)
			if err != nil {
				return err
			}
			return p.printPlan(cmd.Context(), job, withEstimate)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&withEstimate, "estimate", false, "predict for ten seconds, and tell how long all of it will take")
	return cmd
}

func (p *program) printPlan(ctx context.Context, job *configs.Job, withEstimate bool) error {
	run, err := runs.Inspect(ctx, p.store, job.Resolve(job.Sink.JSONL.URI))
	if err != nil {
		return err
	}
	defer func() { _ = run.Close() }()
	var splits *runs.Splits
	if plan := run.Plan(); plan != nil {
		splits = plan.Splits
	} else {
		input := &jobInput{store: p.store, job: job}
		if splits, err = runs.Spool(ctx, input.Plan(ctx)); err != nil {
			return err
		}
		defer func() { _ = splits.Close() }()
	}
	sealed, err := run.Sealed(ctx)
	if err != nil {
		return err
	}
	if err := p.printSplits(run, splits, sealed); err != nil || !withEstimate {
		return err
	}
	return p.estimate(ctx, job, run, splits)
}

// printSplits writes a line a split.
func (p *program) printSplits(run *runs.Run, splits *runs.Splits, sealed map[pipeline.SplitID]int64) error {
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for split, err := range splits.All() {
		if err != nil {
			return err
		}
		number, _ := splits.Number(split.ID)
		word := "open"
		switch {
		case run.Plan() != nil && run.Committed(number):
			word = "done"
		case sealed[split.ID] > 0:
			word = fmt.Sprintf("%d sealed", sealed[split.ID])
		}
		where, stretch, size := describeSplit(split)
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\n", split.ID, word, where, stretch, size); err != nil {
			return err
		}
		if number%flushLines == flushLines-1 { // a plan may be longer than memory
			if err := table.Flush(); err != nil {
				return err
			}
		}
	}
	return table.Flush()
}

// flushLines is after how many lines a table is printed, and its columns begin anew.
const flushLines = 10_000

// describeSplit tells what a split reads: one stretch of a file, or several whole files.
func describeSplit(split pipeline.PlannedSplit) (where, stretch string, size int64) {
	for _, piece := range split.Pieces {
		size += piece.End - piece.Start
	}
	switch len(split.Pieces) {
	case 0:
		return "-", "-", 0
	case 1:
		piece := split.Pieces[0]
		return printable(piece.URI), fmt.Sprintf("%d-%d", piece.Start, piece.End), size
	}
	return fmt.Sprintf("%s and %d more", printable(split.Pieces[0].URI), len(split.Pieces)-1), "whole", size
}

// printable is a name as it may stand in a line: in quotes, with escapes, where it has
// what a terminal would obey or a line can not hold.
func printable(name string) string {
	if utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return name
	}
	return strconv.Quote(name)
}
