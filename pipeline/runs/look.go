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
	Plan      *Plan    // nil where there is none
	Committed []Record // in the order of the plan
	Reason    string   // of Failed
	Foreign   []string // some of the names that no plan belongs to
}

// Look reads how far the run in a folder is, and changes nothing.
func Look(ctx context.Context, store objects.Store, folder string) (State, error) {
	folder = clean(folder)
	plan, err := loadPlan(ctx, store, folder)
	if errors.Is(err, objects.ErrNotExist) {
		return lookWithoutPlan(ctx, store, folder)
	}
	if err != nil {
		return State{}, Fault(pipeline.PhasePlan, "read", join(folder, planName), err)
	}
	records, err := loadRecords(ctx, store, folder, plan)
	if err != nil {
		return State{}, err
	}
	state := State{Condition: Begun, Plan: plan, Committed: records}
	success, err := exists(ctx, store, join(folder, successName))
	if err != nil {
		return State{}, Fault(pipeline.PhasePlan, "look for", join(folder, successName), err)
	}
	if success {
		state.Condition = Finished
		return state, nil
	}
	return state, state.lookFailed(ctx, store, folder)
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
	return state, state.lookFailed(ctx, store, folder)
}
