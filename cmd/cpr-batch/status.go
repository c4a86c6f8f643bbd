package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func (p *program) statusCommand() *cobra.Command {
	var f jobFlags
	var form string
	cmd := &cobra.Command{
		Use:   "status --config job.yaml",
		Short: "Tell how far the run is",
		Long: `Tell how far the run is, from its output alone: also while it goes on, and from another
machine than those that are at work. Nothing is written and no worker is started. Status 0
whenever the output can be read.`,
		Args: exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if form != "text" && form != "json" {
				return usageError(cmd, fmt.Errorf("--report %q: it is text or json", form))
			}
			job, err := f.load(cmd, p)
			if err != nil {
				return err
			}
			status, err := p.status(cmd.Context(), job)
			if err != nil {
				return err
			}
			if form == "json" {
				return unlessUnread(status.writeJSON(p.stdout))
			}
			return unlessUnread(status.write(p.stdout))
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&form, "report", "text", "how it is told: text, json")
	return cmd
}

// runStatus is how far a run is.
type runStatus struct {
	RunID     string        `json:"run_id,omitempty"`
	Name      string        `json:"name"`
	Output    string        `json:"output"`
	State     string        `json:"state"` // none, open, done, failed
	Reason    string        `json:"reason,omitempty"`
	Started   *time.Time    `json:"started,omitempty"`
	Last      *time.Time    `json:"last_commit,omitempty"`
	Splits    splitsStatus  `json:"splits"`
	Bytes     bytesStatus   `json:"bytes"`
	Instances tallyStatus   `json:"instances"`
	MadeBy    []runs.Maker  `json:"made_by,omitempty"`
	Tasks     []taskStatus  `json:"tasks,omitempty"`
	Failures  []kindOfError `json:"failures,omitempty"`
}

type splitsStatus struct {
	Total int `json:"total"`
	Done  int `json:"done"`
}

// bytesStatus counts bytes of the source.
type bytesStatus struct {
	Total int64 `json:"total"`
	Done  int64 `json:"done"` // of splits that are done
}

type tallyStatus struct {
	Predicted int64 `json:"predicted"`
	Failed    int64 `json:"failed"`
	Sealed    int64 `json:"sealed"` // of splits that are not done
}

type kindOfError struct {
	Phase   pipeline.Phase `json:"phase"`
	Type    string         `json:"type"`
	Count   int64          `json:"count"`
	Message string         `json:"message"`
}

type taskStatus struct {
	Attempt string   `json:"attempt"`
	Host    string   `json:"host,omitempty"`
	Index   int      `json:"index"`
	Count   int      `json:"count"`
	Lost    bool     `json:"lost"`
	Seen    float64  `json:"seconds_since_seen"`
	Splits  []string `json:"splits"`
}

func (p *program) status(ctx context.Context, job *configs.Job) (status runStatus, err error) {
	folder := job.Resolve(job.Sink.JSONL.URI)
	run, err := runs.Inspect(ctx, p.store, folder)
	if err != nil {
		return runStatus{}, err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	state := run.State()
	words := map[runs.Condition]string{runs.Fresh: "none", runs.Foreign: "none", runs.Begun: "open", runs.Finished: "done", runs.Failed: "failed"}
	s := runStatus{Name: job.Name, Output: here(folder), State: words[state.Condition], Reason: state.Reason}
	if state.Plan == nil {
		return s, nil
	}
	s.RunID, s.Name, s.Started = state.Plan.RunID, state.Plan.Name, &state.Plan.Started
	s.count(run)
	sealed, err := run.Sealed(ctx)
	if err != nil {
		return runStatus{}, err
	}
	for _, n := range sealed {
		s.Instances.Sealed += n
	}
	tasks, err := run.Tasks(ctx)
	if err != nil {
		return runStatus{}, err
	}
	for _, t := range tasks {
		task := taskStatus{Attempt: t.Attempt, Host: t.Host, Index: t.Index, Count: t.Count, Lost: t.Lost, Seen: t.Age.Seconds()}
		for _, split := range t.Splits {
			task.Splits = append(task.Splits, string(state.Plan.Splits.ID(split.Number)))
		}
		s.Tasks = append(s.Tasks, task)
	}
	return s, nil
}

// count takes over what the commit records say.
func (s *runStatus) count(run *runs.Run) {
	summary, splits := run.Summary(), run.Plan().Splits
	s.Splits = splitsStatus{Total: splits.Len(), Done: summary.Parts}
	for i := range splits.Len() {
		s.Bytes.Total += splits.Bytes(i)
		if run.Committed(i) {
			s.Bytes.Done += splits.Bytes(i)
		}
	}
	s.Instances.Predicted, s.Instances.Failed = summary.Tally.Predicted, summary.Tally.Failed
	if summary.Parts > 0 {
		s.Last = &summary.Last
	}
	if len(summary.Makers) > 1 {
		s.MadeBy = summary.Makers
	}
	for _, f := range summary.Tally.Failures {
		s.Failures = append(s.Failures, kindOfError{Phase: f.Phase, Type: f.Type, Count: f.Count, Message: f.First.Message})
	}
}

func (s *runStatus) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}

// write tells the status in words.
func (s *runStatus) write(w io.Writer) error {
	var b strings.Builder
	row := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-14s %s\n", label, visible(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintf(&b, "%s: %s\n\n", visible(s.Name), s.headline())
	row("output", "%s", s.Output)
	if s.RunID == "" {
		_, err := io.WriteString(w, b.String())
		return err
	}
	row("run", "%s, begun %s (%s ago)", s.RunID, s.Started.Local().Format(time.RFC3339), ago(*s.Started))
	row("parts", "%d of %d done, %s of the input", s.Splits.Done, s.Splits.Total, s.percent())
	row("instances", "%d predicted, %d failed%s", s.Instances.Predicted, s.Instances.Failed, s.sealed())
	if s.Last != nil {
		row("last part", "%s ago", ago(*s.Last))
	}
	for i, f := range s.Failures {
		if i == 5 {
			row("", "and more kinds")
			break
		}
		row("failures", "%d %s (%s): %s", f.Count, f.Type, f.Phase, f.Message)
	}
	if len(s.MadeBy) > 0 {
		row("made by", "%d versions of the model or its environment", len(s.MadeBy))
	}
	for _, t := range s.Tasks {
		row("task", "%s", t)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *runStatus) headline() string {
	alive := 0
	for _, t := range s.Tasks {
		if !t.Lost {
			alive++
		}
	}
	switch {
	case s.State == "none":
		return "there is no run yet"
	case s.State == "done":
		return "done"
	case s.State == "failed":
		return "failed: " + visible(s.Reason)
	case alive == 0:
		return "not done, and nobody is seen at work: run the same command again to carry it on"
	}
	return fmt.Sprintf("under way, %s at work", counted(int64(alive), "task"))
}

func (s *runStatus) percent() string {
	if s.Bytes.Total == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(s.Bytes.Done)/float64(s.Bytes.Total))
}

func (s *runStatus) sealed() string {
	if s.Instances.Sealed == 0 {
		return ""
	}
	return fmt.Sprintf("; %d more are sealed in parts under way", s.Instances.Sealed)
}

func (t taskStatus) String() string {
	text := fmt.Sprintf("%d of %d", t.Index, t.Count)
	if t.Host != "" {
		text += " on " + t.Host
	}
	seen := (time.Duration(t.Seen) * time.Second).String()
	switch {
	case t.Lost:
		return text + ", lost: seen last " + seen + " ago"
	case len(t.Splits) == 0:
		return text + ", seen " + seen + " ago"
	}
	return text + ", seen " + seen + " ago, at " + strings.Join(t.Splits, ", ")
}

// ago is how long since a time, in a form for people.
func ago(t time.Time) string {
	d := max(0, time.Since(t))
	if d > time.Minute {
		return d.Round(time.Minute).String()
	}
	return d.Round(time.Second).String()
}
