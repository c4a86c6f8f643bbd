package runs

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Verdict is under what a run has failed, kept beside _FAILED: as long as both are the same,
// another try would fail alike.
type Verdict struct {
	Digest string                `json:"config_digest"`
	Errors pipeline.ErrorsConfig `json:"errors"`
	Reason string                `json:"reason"`
}

// verdict tells under what the run in a folder has failed, or nil where that is not known.
func (s *State) verdict(ctx context.Context, store objects.Store, folder string) (*Verdict, error) {
	if s.Condition != Failed {
		return nil, nil
	}
	name := join(folder, verdictName)
	data, err := read(ctx, store, name)
	if errors.Is(err, objects.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, Fault(pipeline.PhasePlan, "read", name, err)
	}
	var v Verdict
	if json.Unmarshal(data, &v) != nil {
		return nil, nil // it is tried once more, which costs time and nothing else
	}
	return &v, nil
}

// Repeats returns the verdict on the run in a folder when it would be the same for a job
// with this digest (without the files that are read) and these limits, else nil.
func Repeats(ctx context.Context, store objects.Store, folder string, digest Digest, limits pipeline.ErrorsConfig) (*Verdict, error) {
	folder = clean(folder)
	state, err := Look(ctx, store, folder)
	if err != nil || state.Plan == nil {
		return nil, err
	}
	defer func() { _ = state.Plan.Splits.Close() }()
	v, err := state.verdict(ctx, store, folder)
	if err != nil || v == nil {
		return nil, err
	}
	if v.Digest != digest.reading(state.Plan.Splits.files).Sum() || !sameLimits(v.Errors, limits) {
		return nil, nil
	}
	return v, nil
}

func sameLimits(a, b pipeline.ErrorsConfig) bool {
	if !slices.Equal(a.RetryOn, b.RetryOn) {
		return false
	}
	a.RetryOn, b.RetryOn = nil, nil
	return reflect.DeepEqual(a, b)
}

// unfail takes back that the run has failed.
func unfail(ctx context.Context, store objects.Store, folder string, phase pipeline.Phase) error {
	for _, name := range []string{failedName, verdictName} {
		if err := store.Remove(ctx, join(folder, name)); err != nil {
			return Fault(phase, "remove", join(folder, name), err)
		}
	}
	return nil
}

// judge leaves behind under what the run has failed, for when _FAILED is there; nil: that
// is not known.
func (v *Verdict) judge(ctx context.Context, store objects.Store, folder, attempt string) error {
	name := join(folder, verdictName)
	if v == nil {
		return Fault(pipeline.PhaseFinish, "remove", name, store.Remove(ctx, name))
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return Fault(pipeline.PhaseFinish, "write", name, replace(ctx, store, workName(folder, attempt, "failed.json"), name, append(data, '\n')))
}
