package runs

import (
	"context"
	"errors"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Condition is what an output folder holds.
type Condition int

// The conditions.
const (
	Fresh    Condition = iota + 1 // nothing of a run
	Begun                         // a plan, and perhaps some parts
	Finished                      // _SUCCESS: all is done
	Failed                        // _FAILED: the run ended with exit status 3
	Foreign                       // results that no plan belongs to
)

// State is what Look finds in an output folder.
type State struct {
	Condition Condition
	Plan      *Plan    // nil where there is none; its Splits are to be closed
	Reason    string   // of Failed
	Foreign   []string // some of the names that no plan belongs to
}

// Look reads what is in a folder, and changes nothing.
func Look(ctx context.Context, store objects.Store, folder string) (State, error) {
	folder = clean(folder)
	plan, err := loadPlan(ctx, store, folder)
	if errors.Is(err, objects.ErrNotExist) {
		state, lookErr := lookWithoutPlan(ctx, store, folder)
		if lookErr != nil || state.Condition != Foreign {
			return state, lookErr
		}
		// They may be of a run that another process has planned since.
		if plan, err = loadPlan(ctx, store, folder); errors.Is(err, objects.ErrNotExist) {
			return state, nil
		}
	}
	if err != nil {
		return State{}, Fault(pipeline.PhasePlan, "read", join(folder, planName), err)
	}
	state := State{Condition: Begun, Plan: plan}
	if err := state.lookEnded(ctx, store, folder); err != nil {
		return State{}, errors.Join(err, plan.Splits.Close())
	}
	return state, nil
}

// lookEnded looks for how the run of a plan has ended, if it has.
func (s *State) lookEnded(ctx context.Context, store objects.Store, folder string) error {
	success, err := exists(ctx, store, join(folder, successName))
	if err != nil {
		return Fault(pipeline.PhasePlan, "look for", join(folder, successName), err)
	}
	if success {
		s.Condition = Finished
		return nil
	}
	return s.lookFailed(ctx, store, folder)
}

// Inspect is Look, and reads the commit records too: what it returns can be asked, and
// nothing can be done with it. It is to be closed.
func Inspect(ctx context.Context, store objects.Store, folder string) (*Run, error) {
	folder = clean(folder)
	state, err := Look(ctx, store, folder)
	if err != nil {
		return nil, err
	}
	r := &Run{store: store, folder: folder, state: state, ledger: newLedger("", 0)}
	if state.Plan != nil {
		r.ledger, r.digest = newLedger("", state.Plan.Splits.Len()), state.Plan.Digest.Sum()
	}
	if err := r.Refresh(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// lookFailed reads _FAILED where it is there.
func (s *State) lookFailed(ctx context.Context, store objects.Store, folder string) error {
	name := join(folder, failedName)
	reason, err := read(ctx, store, name)
	switch {
	case errors.Is(err, objects.ErrNotExist):
		return nil
	case err != nil:
		return Fault(pipeline.PhasePlan, "read", name, err)
	}
	s.Condition, s.Reason = Failed, strings.TrimSpace(string(reason))
	return nil
}

func isCommit(name string) bool {
	return strings.HasPrefix(name, commitsDir+"/") && strings.HasSuffix(name, ".json")
}

// maxForeign is how many foreign names are told.
const maxForeign = 3

func lookWithoutPlan(ctx context.Context, store objects.Store, folder string) (State, error) {
	state := State{Condition: Fresh}
	for o, err := range listOwn(ctx, store, folder) {
		if notOurs(folder, o, err) {
			continue
		}
		if err != nil {
			return State{}, Fault(pipeline.PhasePlan, "list", folder, err)
		}
		name := within(folder, o.Name)
		if name == successName || finalPattern.MatchString(name) || isCommit(name) {
			state.Condition = Foreign
			state.Foreign = append(state.Foreign, name)
		}
		if len(state.Foreign) == maxForeign {
			break
		}
	}
	if state.Condition == Foreign {
		return state, nil
	}
	if err := state.lookFailed(ctx, store, folder); err != nil {
		return State{}, err
	}
	return state, nil
}
