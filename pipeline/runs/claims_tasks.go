package runs

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// TaskState is a task that is at work at a run, as its last heartbeat tells.
type TaskState struct {
	Attempt      string
	Host         string
	Index, Count int
	Started      time.Time     // by its own machine's clock
	Beat         time.Time     // its last heartbeat, by the store's clock
	Age          time.Duration // of that heartbeat, by this machine's clock
	Lost         bool          // the heartbeat is too old, or the process is known to be gone
	Done         int           // splits that it has committed
	Splits       []TaskSplit   // under way, in order
}

// TaskSplit is a split that a task works at.
type TaskSplit struct {
	Number int
	Since  time.Time // by the store's clock
}

// Tasks tells who is at work at the run, by the numbers of the tasks. It writes nothing,
// and so has to take this machine's clock for the store's.
func (r *Run) Tasks(ctx context.Context) ([]TaskState, error) {
	if r.state.Plan == nil {
		return nil, nil
	}
	var tasks []TaskState
	for range relistings {
		listed, err := listClaims(ctx, r.store, r.folder)
		if err != nil {
			return nil, err
		}
		last := make(map[string]objects.Object, len(listed))
		for attempt, h := range listed {
			last[attempt] = h.last
		}
		claims, err := readClaims(ctx, r.store, r.state.Plan.Splits.Len(), last)
		if err != nil {
			return nil, err
		}
		tasks = nil
		for attempt, c := range claims {
			tasks = append(tasks, c.state(attempt, last[attempt].Updated))
		}
		if len(claims) == len(last) {
			break
		}
	}
	slices.SortFunc(tasks, func(a, b TaskState) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Attempt, b.Attempt))
	})
	return tasks, nil
}

// state is what a claim tells that was written at a time of the store's clock.
func (c *claim) state(attempt string, beat time.Time) TaskState {
	t := TaskState{
		Attempt: attempt, Host: c.Host, Index: c.Index, Count: c.Count, Done: c.Done,
		Started: c.Started, Beat: beat, Age: max(0, time.Since(beat)),
	}
	t.Lost = t.Age > defaultStale || c.Process.isGone(self())
	for _, s := range c.Splits {
		t.Splits = append(t.Splits, TaskSplit{s.Number, s.since(beat)})
	}
	return t
}

// since is when a split was claimed, which a heartbeat of the time given names.
func (s *claimedSplit) since(beat time.Time) time.Time {
	if s.Since.IsZero() {
		return beat
	}
	return s.Since
}
