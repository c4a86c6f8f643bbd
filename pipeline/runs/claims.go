package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// claim is what one heartbeat of a task tells. It is a hint: two tasks that work at the
// same split lose time, nothing else.
type claim struct {
	Format  int            `json:"format"`
	Index   int            `json:"index"`
	Count   int            `json:"count"`
	Process process        `json:"process"`
	Host    string         `json:"host"`
	Started time.Time      `json:"started"` // by that machine's clock, for people
	Helping bool           `json:"helping"` // it has done its share, and takes what is of others'
	Splits  []claimedSplit `json:"splits"`  // under way
	Done    int            `json:"done"`    // splits that it has committed
	Seconds float64        `json:"seconds"` // that those took together
}

// claimedSplit is a split that a task works at.
type claimedSplit struct {
	Number int `json:"number"`
	// Since is when it was first claimed, by the store's clock: when the first object that
	// names it was written, in which it is left out.
	Since time.Time `json:"since,omitzero"`
}

// beatName names a heartbeat; the names of an attempt's are in their order.
func beatName(folder, attempt string, beat int) string {
	return join(folder, fmt.Sprintf("%s/%s/%010d.json", claimsDir, attempt, beat))
}

// heartbeats are the objects in which one attempt tells its claim.
type heartbeats struct {
	last   objects.Object
	former []string
}

// listClaims lists the heartbeats that are there, by attempt. There is more than one of an
// attempt while one takes the place of the former.
func listClaims(ctx context.Context, store objects.Store, folder string) (map[string]heartbeats, error) {
	dir := join(folder, claimsDir)
	found := make(map[string]heartbeats)
	for o, err := range store.List(ctx, dir) {
		if err != nil {
			return nil, Fault(pipeline.PhasePlan, "list", dir, err)
		}
		attempt, beat, ok := strings.Cut(within(dir, o.Name), "/")
		if !ok || !strings.HasSuffix(beat, ".json") {
			continue
		}
		h := found[attempt]
		if h.last.Name != "" {
			h.former = append(h.former, h.last.Name)
		}
		h.last = o // a listing is in the order of the names
		found[attempt] = h
	}
	return found, nil
}

// readClaims reads what heartbeats tell, by attempt. What has gone meanwhile is left out;
// what can not be understood, such as another version's, claims nothing.
func readClaims(ctx context.Context, store objects.Store, splits int, from map[string]objects.Object) (map[string]claim, error) {
	var mu sync.Mutex
	read := make(map[string]claim, len(from))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for attempt, o := range from {
		group.Go(func() error {
			data, err := readObject(ctx, store, o)
			switch {
			case errors.Is(err, objects.ErrNotExist), errors.Is(err, objects.ErrChanged):
				return nil
			case err != nil:
				return Fault(pipeline.PhasePlan, "read", o.Name, err)
			}
			c := parseClaim(data, splits)
			mu.Lock()
			defer mu.Unlock()
			read[attempt] = c
			return nil
		})
	}
	return read, group.Wait()
}

func parseClaim(data []byte, splits int) claim {
	var c claim
	if json.Unmarshal(data, &c) != nil || c.Format != formatVersion {
		return claim{}
	}
	for _, s := range c.Splits {
		if s.Number < 0 || s.Number >= splits {
			return claim{}
		}
	}
	return c
}
