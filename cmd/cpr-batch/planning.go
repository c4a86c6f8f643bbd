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
	"github.com/cpr-batch/cpr-batch/sources"
)

func (p *program) planCommand() *cobra.Command {
	var f jobFlags
	cmd := &cobra.Command{
		Use:   "plan --config job.yaml",
		Short: "Print the splits of the run, a line each",
		Long: `Print a line for each split of the run: its ID, its state (done, or open), URI, range in bytes, and
size. Where the output folder holds a plan, that one is printed: it is fixed when a run
starts. Nothing is written and no worker is started.`,
		Args: exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			job, err := f.load(cmd, p)
			if err != nil {
				return err
			}
			return p.printPlan(cmd.Context(), job)
		},
	}
	f.add(cmd)
	return cmd
}

func (p *program) printPlan(ctx context.Context, job *configs.Job) error {
	state, err := runs.Look(ctx, p.store, job.Resolve(job.Sink.JSONL.URI))
	if err != nil {
		return err
	}
	var splits []pipeline.PlannedSplit
	done := map[pipeline.SplitID]bool{}
	if state.Plan != nil {
		splits = state.Plan.Splits
		for _, record := range state.Committed {
			done[record.Split] = true
		}
	} else if splits, err = sources.PlanJSONL(ctx, p.store, job.Dir, *job.Source.JSONL, 0); err != nil {
		return err
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, split := range splits {
		word := "open"
		if done[split.ID] {
			word = "done"
		}
		where, stretch, size := describeSplit(split)
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\n", split.ID, word, where, stretch, size); err != nil {
			return err
		}
	}
	return table.Flush()
}

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
