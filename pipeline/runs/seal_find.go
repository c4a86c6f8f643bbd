package runs

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// LastSeal finds behind what the work at a split goes on: the seal with the most
// instances, of this process's digest, whose segments are all there; nil where there is
// none. Damaged seals are passed over; one of another version's format is an error.
func (r *Run) LastSeal(ctx context.Context, id pipeline.SplitID) (*Seal, error) {
	listing, err := r.listSeals(ctx, id)
	if err != nil {
		return nil, err
	}
	var (
		mu   sync.Mutex
		best *Seal
	)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for _, segments := range sealedBy(listing) {
		group.Go(func() error {
			found, err := r.lastOf(ctx, id, segments, listing)
			if err != nil || found == nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if best == nil || found.further(best) {
				best = found
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return best, nil
}

// listSeals lists the files of a split's seals, by their names as seen from their folder.
func (r *Run) listSeals(ctx context.Context, id pipeline.SplitID) (map[string]objects.Object, error) {
	dir := sealsFolder(r.folder, id)
	listing := make(map[string]objects.Object)
	for o, err := range r.store.List(ctx, dir) {
		switch {
		case err == nil:
			listing[within(dir, o.Name)] = o
		case o.Name == "":
			return nil, Fault(pipeline.PhasePlan, "list", dir, err)
		}
	}
	return listing, nil
}

// sealedBy gives the names of the segments that have a seal by the attempts that made
// them, the last one first: of one attempt's seals it holds the most.
func sealedBy(listing map[string]objects.Object) map[string][]string {
	type segment struct {
		name   string
		number int64
	}
	made := make(map[string][]segment)
	for file := range listing {
		name, isSeal := strings.CutSuffix(file, ".json")
		if attempt, number, ok := sealNumber(name); ok && isSeal {
			made[attempt] = append(made[attempt], segment{name, number})
		}
	}
	names := make(map[string][]string, len(made))
	for attempt, segments := range made {
		slices.SortFunc(segments, func(a, b segment) int {
			return cmp.Or(cmp.Compare(b.number, a.number), cmp.Compare(a.name, b.name))
		})
		for _, s := range segments {
			names[attempt] = append(names[attempt], s.name)
		}
	}
	return names
}

// lastOf reads the seals of one attempt until one can be used.
func (r *Run) lastOf(ctx context.Context, id pipeline.SplitID, segments []string, listing map[string]objects.Object) (*Seal, error) {
	for _, name := range segments {
		s, err := r.readSeal(ctx, id, name, listing[name+".json"])
		if err != nil {
			return nil, err
		}
		if s != nil && s.Digest == r.digest && s.standsOn(listing) {
			return s, nil
		}
	}
	return nil, nil
}

// readSeal reads one seal; nil where it is damaged, or gone.
func (r *Run) readSeal(ctx context.Context, id pipeline.SplitID, name string, o objects.Object) (*Seal, error) {
	if o.Size > maxSmall {
		return nil, nil
	}
	data, err := readObject(ctx, r.store, o)
	if errors.Is(err, objects.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, Fault(pipeline.PhasePlan, "read", o.Name, err)
	}
	s, err := parseSeal(data, name, r.state.Plan.RunID, id)
	var version versionError
	if errors.As(err, &version) {
		return nil, otherVersion("the seal", o.Name, int(version))
	}
	if err != nil {
		return nil, nil
	}
	return s, nil
}

// further says whether s is the better one to go on behind. Every process has to find the
// same one.
func (s *Seal) further(other *Seal) bool {
	if s.Tally.Read != other.Tally.Read {
		return s.Tally.Read > other.Tally.Read
	}
	return s.name() < other.name()
}

// name is that of the seal's own segment.
func (s *Seal) name() string { return s.Segments[len(s.Segments)-1].Name }
