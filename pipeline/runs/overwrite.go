package runs

import (
	"context"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Overwrite removes the files of the run in a folder and nothing else: what it does not
// know, and the folders of limited runs, stay. No other process may be at the run.
func Overwrite(ctx context.Context, store objects.Store, folder string) error {
	folder = clean(folder)
	var names []string
	for o, err := range listOwn(ctx, store, folder) {
		if notOurs(folder, o, err) {
			continue
		}
		if err != nil {
			return Fault(pipeline.PhasePlan, "list", folder, err)
		}
		if ownName(within(folder, o.Name)) {
			names = append(names, o.Name)
		}
	}
	// _SUCCESS goes first, so that nobody takes what is left for whole; then the plan, so
	// that a removal that is cut short does not leave a run to be carried on.
	first := []string{join(folder, successName), join(folder, planName)}
	for _, name := range append(first, names...) {
		if err := store.Remove(ctx, name); err != nil {
			return Fault(pipeline.PhasePlan, "remove", name, err)
		}
	}
	return nil
}
