package runs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// WorkFile is a file that this attempt has made of a part: whole and durable, with all of
// the lines that the part's file of that name will have, or with some.
type WorkFile struct {
	Path string   // where it was made, below Work
	File PartFile // by its final name
}

// Seal makes made, what was written of a part since before, survive this attempt, and
// returns the seal that stands then; its Tally and Failed, of all that is sealed, are
// those of s, whose segments come first. The files of made are not under their paths
// afterwards. Segments that are sealed already stay, whatever goes wrong.
// pipeline.ErrCommitted: somebody has committed the part, and nobody needs a seal.
func (r *Run) Seal(ctx context.Context, s Seal, made ...WorkFile) (Seal, error) {
	number, ok := r.state.Plan.Splits.Number(s.Split)
	if !ok {
		return Seal{}, fmt.Errorf("seal split %s: the plan has no such split", s.Split)
	}
	if r.ledger.isDone(number) {
		return Seal{}, pipeline.ErrCommitted
	}
	s = r.extend(s, made)
	if err := s.check(s.name(), r.state.Plan.RunID, s.Split); err != nil {
		return Seal{}, fmt.Errorf("seal split %s: %w", s.Split, err)
	}
	err := r.seal(ctx, &s, made)
	// Who commits a part removes its seals afterwards, but none that came later. And what
	// another process has removed, when it finished the run, can not be sealed.
	if committed, lookErr := exists(ctx, r.store, commitName(r.folder, string(s.Split))); lookErr == nil && committed {
		sweep(ctx, r.store, r.ownNames(&s))
		return Seal{}, pipeline.ErrCommitted
	}
	if err != nil {
		return Seal{}, err
	}
	return s, nil
}

// extend is a seal of one segment more.
func (r *Run) extend(s Seal, made []WorkFile) Seal {
	// No two segments of one attempt have the same name, so that one found is its own.
	own := Segment{Name: fmt.Sprintf("%s-%d", r.attempt, r.segments.Add(1))}
	for _, m := range made {
		f := m.File
		f.Name = segmentFile(f.Name, s.Split)
		own.Files = append(own.Files, f)
	}
	s.Format, s.RunID, s.Attempt, s.Digest = formatVersion, r.state.Plan.RunID, r.attempt, r.digest
	s.Sealed = time.Now().UTC()
	s.Segments = append(slices.Clone(s.Segments), own)
	s.Tally.BytesWritten = 0
	for _, f := range s.files {
		s.Tally.BytesWritten += f.Size
	}
	return s
}

// ownNames are the names of a seal's record and of its own segment's files.
func (r *Run) ownNames(s *Seal) []string {
	dir := sealsFolder(r.folder, s.Split)
	own := s.Segments[len(s.Segments)-1]
	names := []string{join(dir, own.Name+".json")}
	for _, f := range own.Files {
		names = append(names, join(dir, own.Name+"."+f.Name))
	}
	return names
}

// seal gives the files their names, and writes the record when all have theirs.
func (r *Run) seal(ctx context.Context, s *Seal, made []WorkFile) error {
	names := r.ownNames(s)
	record, files := names[0], names[1:]
	for i, m := range made {
		err := r.store.Copy(ctx, m.Path, files[i])
		if err != nil && !r.isThere(ctx, files[i], &m.File) {
			return Fault(pipeline.PhaseWrite, "write", files[i], err)
		}
	}
	for _, m := range made {
		if err := r.store.Remove(ctx, m.Path); err != nil {
			return Fault(pipeline.PhaseWrite, "remove", m.Path, err)
		}
	}
	data, err := s.marshal()
	if err != nil {
		return fmt.Errorf("seal split %s: %w", s.Split, err)
	}
	if err := write(ctx, r.store, record, data); err != nil {
		if there, lookErr := exists(ctx, r.store, record); lookErr != nil || !there {
			return Fault(pipeline.PhaseWrite, "write", record, err)
		}
	}
	return nil
}

// isThere says whether a write under a name that is this attempt's alone has gone through
// although its reply was an error.
func (r *Run) isThere(ctx context.Context, name string, f *PartFile) bool {
	o, err := r.store.Stat(ctx, name)
	return err == nil && f.is(o)
}

// Assemble makes the file of a part of which a seal holds pieces, from these and from
// last, what this attempt has made behind them; nil: nothing. It is under Work(name)
// afterwards, and last is not under its path any more. The segments stay.
func (r *Run) Assemble(ctx context.Context, s *Seal, name string, last *WorkFile) (PartFile, error) {
	listing, err := r.listSeals(ctx, s.Split)
	if err != nil {
		return PartFile{}, err
	}
	whole, from, err := s.join(sealsFolder(r.folder, s.Split), name, listing)
	if err != nil {
		return PartFile{}, err
	}
	if last != nil {
		whole.append(&last.File)
		from = append(from, objects.Object{Name: last.Path})
	}
	path := r.Work(name)
	if err := r.store.Compose(ctx, path, from); err != nil {
		return PartFile{}, Fault(pipeline.PhaseWrite, "write", path, err)
	}
	if last != nil {
		if err := r.store.Remove(ctx, last.Path); err != nil {
			return PartFile{}, Fault(pipeline.PhaseWrite, "remove", last.Path, err)
		}
	}
	return whole, nil
}

// join describes the file that the pieces of a name are together, and the pieces, which
// have to be in the listing as they were sealed.
func (s *Seal) join(dir, final string, listing map[string]objects.Object) (PartFile, []objects.Object, error) {
	whole := PartFile{Name: final}
	var from []objects.Object
	for name, f := range s.files {
		if f.Name != segmentFile(final, s.Split) {
			continue
		}
		o, ok := listing[name]
		switch {
		case !ok:
			return PartFile{}, nil, Fault(pipeline.PhaseWrite, "read", join(dir, name), objects.ErrNotExist)
		case !f.is(o):
			return PartFile{}, nil, Fault(pipeline.PhaseWrite, "read", o.Name, errors.New("it is not what was sealed"))
		}
		whole.append(&f)
		from = append(from, o)
	}
	return whole, from, nil
}

// append puts the content of another file behind that of f.
func (f *PartFile) append(next *PartFile) {
	f.CRC32C = objects.JoinSums(f.CRC32C, next.CRC32C, next.Size)
	f.Size += next.Size
}

// removers is how many objects are removed side by side.
const removers = 16

// DropSeals removes the seals of a part that is committed. What can not be removed only
// takes room, until the run is finished.
func (r *Run) DropSeals(ctx context.Context, id pipeline.SplitID) {
	var group errgroup.Group
	group.SetLimit(removers)
	for _, name := range below(ctx, r.store, sealsFolder(r.folder, id)) {
		group.Go(func() error { return r.store.Remove(ctx, name) })
	}
	_ = group.Wait()
}
