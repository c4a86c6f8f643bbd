package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// adopt takes the plan that is there as the one of this job, or says in what they differ.
// trusting: the input is taken as the plan has it.
func (r *Run) adopt(ctx context.Context, c *Config, trusting bool) error {
	digest := c.Digest.reading(r.state.Plan.Splits.files)
	r.digest, r.input = digest.Sum(), inputChange{}
	found, err := r.unaccepted(ctx, digest)
	if err != nil {
		return err
	}
	accepting := c.AcceptChanges && r.state.Condition != Finished && len(found) > 0 && allReplaceable(found)
	if accepting {
		found = nil
	}
	if !trusting {
		if r.input, err = r.inputNow(ctx, c); err != nil {
			return err
		}
	}
	if r.input.added.count > 0 || r.state.Condition == Finished && r.input.changed.count > 0 {
		found = append(found, difference{Part{Name: sourceFiles}, r.input.String()})
	}
	if len(found) > 0 {
		return otherJobError(r.folder, r.state, found, c.AcceptChanges)
	}
	if accepting {
		return r.accept(ctx, digest)
	}
	return nil
}

// unaccepted is in what a digest differs from the plan's, unless the run was told to go on
// with it.
func (r *Run) unaccepted(ctx context.Context, digest Digest) ([]difference, error) {
	found := differences(r.state.Plan.Digest, digest)
	if len(found) == 0 {
		return nil, nil
	}
	name := acceptedName(r.folder, r.digest)
	accepted, err := exists(ctx, r.store, name)
	if err != nil || accepted {
		return nil, Fault(pipeline.PhasePlan, "look for", name, err)
	}
	return found, nil
}

// inputNow compares the input with the plan's. What has become of the input of a finished
// run, as far as it is not there to be seen, is of no matter.
func (r *Run) inputNow(ctx context.Context, c *Config) (inputChange, error) {
	change, err := compareInput(ctx, r.state.Plan.Splits, c.Input)
	if r.state.Condition == Finished {
		return change, context.Cause(ctx)
	}
	return change, err
}

func allReplaceable(found []difference) bool {
	for _, d := range found {
		if !d.part.Replaceable {
			return false
		}
	}
	return true
}

func acceptedName(folder, sum string) string {
	return join(folder, home+"/accepted/"+sum+".json")
}

// accept lets the run go on with another digest.
func (r *Run) accept(ctx context.Context, digest Digest) error {
	data, err := json.MarshalIndent(digest, "", " ")
	if err != nil {
		return err
	}
	name := acceptedName(r.folder, r.digest)
	if err := write(ctx, r.store, name, data); err != nil && !errors.Is(err, objects.ErrExist) {
		return Fault(pipeline.PhasePlan, "write", name, err)
	}
	return nil
}

// otherJob is the error of an output that another job has begun.
type otherJob struct{ cause *pipeline.Error }

func (e otherJob) Error() string { return e.cause.Error() }

func (e otherJob) Unwrap() error { return e.cause }

func isOtherJob(err error) bool {
	var e otherJob
	return errors.As(err, &e)
}

func otherJobError(folder string, state State, found []difference, accepting bool) error {
	what := "was begun by"
	if state.Condition == Finished {
		what = "holds the finished run of"
	}
	texts := make([]string, len(found))
	for i, d := range found {
		texts[i] = d.text
	}
	hint := "Choose another output, or run with --overwrite to remove that run and begin anew."
	switch {
	case state.Condition == Finished:
	case allReplaceable(found):
		hint = "Choose another output, run with --overwrite to remove that run and begin anew, or with --accept-changes to carry it on: what is committed stays, and the report tells which part was made by what."
	case accepting:
		hint = "--accept-changes takes another model, other packages, another Python or environment, nothing else. " + hint
	}
	return otherJob{&pipeline.Error{
		Remedy: pipeline.FixConfig,
		Phase:  pipeline.PhasePlan,
		Message: fmt.Sprintf("%s %s another job (run %s of %s): %s", folder, what, state.Plan.RunID,
			state.Plan.Started.Format(time.RFC3339), strings.Join(texts, "; ")),
		Hint: hint,
	}}
}
