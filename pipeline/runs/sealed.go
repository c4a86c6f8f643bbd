package runs

import (
	"context"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// Sealed tells how many instances of parts that are not committed are sealed.
func (r *Run) Sealed(ctx context.Context) (map[pipeline.SplitID]int64, error) {
	sealed := make(map[pipeline.SplitID]int64)
	if r.state.Plan == nil {
		return sealed, nil
	}
	open := make(map[pipeline.SplitID]bool)
	dir := join(r.folder, segmentsDir)
	for o, err := range r.store.List(ctx, dir) {
		if err != nil {
			return nil, Fault(pipeline.PhasePlan, "list", dir, err)
		}
		id, _, _ := strings.Cut(within(dir, o.Name), "/")
		if i, ok := r.state.Plan.Splits.Number(pipeline.SplitID(id)); ok && !r.ledger.isDone(i) {
			open[pipeline.SplitID(id)] = true
		}
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for id := range open {
		group.Go(func() error {
			seal, err := r.LastSeal(ctx, id)
			if err != nil || seal == nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			sealed[id] = seal.Tally.Read
			return nil
		})
	}
	return sealed, group.Wait()
}
