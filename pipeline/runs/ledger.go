package runs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Summary is what commit records say together.
type Summary struct {
	Parts   int            // committed
	Own     int            // of them, by this attempt
	OwnRead int64          // instances in those
	Tally   pipeline.Tally // of all
	Errors  string         // what the names of errors files end with (jsonl.gz); "" where there are none
	Last    time.Time      // when the last part was committed
	Makers  []Maker        // what made the parts, by the first of them
}

// Maker is what made some of the parts of a run.
type Maker struct {
	Digest   string           `json:"config_digest"`
	Versions Versions         `json:"versions"`
	Parts    int              `json:"parts"`
	First    pipeline.SplitID `json:"first"`
}

// ledger folds the commit records of a run. It holds 17 bytes a split, not the records.
type ledger struct {
	attempt string

	mu      sync.Mutex
	done    []bool
	lines   []int64 // of parts that are done
	failed  []int64 // instances of them
	summary Summary
	added   func(i int, r *Record) // told of every record that add takes down; may be nil
}

// watch has added be told of every part from now on, and returns which are done already.
func (l *ledger) watch(added func(i int, r *Record)) []bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.added = added
	return slices.Clone(l.done)
}

// failedIn is how many instances of part number i are known to have failed.
func (l *ledger) failedIn(i int) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed[i]
}

func newLedger(attempt string, splits int) *ledger {
	return &ledger{attempt: attempt, done: make([]bool, splits), lines: make([]int64, splits), failed: make([]int64, splits)}
}

// add takes the record of part number i down, once.
func (l *ledger) add(i int, r *Record) {
	if added := l.fold(i, r); added != nil {
		added(i, r)
	}
}

// fold is add without telling of it, and returns who is to be told.
func (l *ledger) fold(i int, r *Record) (added func(i int, r *Record)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done[i] {
		return nil
	}
	l.done[i], l.lines[i], l.failed[i] = true, r.Tally.Lines, r.Tally.Failed
	s := &l.summary
	s.Parts++
	if r.Attempt == l.attempt {
		s.Own++
		s.OwnRead += r.Tally.Read
	}
	s.Tally.Add(&r.Tally)
	if r.Committed.After(s.Last) {
		s.Last = r.Committed
	}
	for _, f := range r.Files {
		if kind, rest, _ := strings.Cut(f.Name, "-"); kind == errorsKind {
			_, s.Errors, _ = strings.Cut(rest, ".")
		}
	}
	l.credit(r)
	return l.added
}

func (l *ledger) credit(r *Record) {
	s := &l.summary
	k := slices.IndexFunc(s.Makers, func(m Maker) bool { return m.Digest == r.Digest && m.Versions == r.Versions })
	if k < 0 {
		s.Makers = append(s.Makers, Maker{Digest: r.Digest, Versions: r.Versions, First: r.Split})
		k = len(s.Makers) - 1
	}
	s.Makers[k].Parts++
	s.Makers[k].First = min(s.Makers[k].First, r.Split)
}

// isDone says whether part number i is known to be committed.
func (l *ledger) isDone(i int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done[i]
}

func (l *ledger) linesOf(i int) (int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[i], l.done[i]
}

func (l *ledger) sum() Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.summary
	s.Tally.Failures = slices.Clone(s.Tally.Failures)
	s.Makers = slices.SortedFunc(slices.Values(s.Makers), func(a, b Maker) int { return strings.Compare(string(a.First), string(b.First)) })
	return s
}

// readers is how many small objects are read side by side.
const readers = 64

// readRecords reads the commit records of those parts that are wanted, shows each, and
// takes it down. What has gone since it was listed is left out.
func (r *Run) readRecords(ctx context.Context, wanted func(i int) bool, show func(context.Context, int, *Record) error) error {
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	listing := r.eachCommit(reading, func(i int, o objects.Object) {
		if !wanted(i) {
			return
		}
		group.Go(func() error {
			record, err := loadRecord(reading, r.store, o, r.state.Plan.RunID, r.state.Plan.Splits.ID(i))
			if errors.Is(err, objects.ErrNotExist) {
				return nil
			}
			if err == nil && show != nil {
				err = show(reading, i, &record)
			}
			if err == nil {
				r.ledger.add(i, &record)
			}
			return err
		})
	})
	if err := group.Wait(); err != nil {
		return err // the listing may have been ended by it
	}
	return listing
}

// eachCommit calls do with the commit record of each part that has one.
func (r *Run) eachCommit(ctx context.Context, do func(i int, o objects.Object)) error {
	dir := join(r.folder, commitsDir)
	for o, err := range r.store.List(ctx, dir) {
		name := within(r.folder, o.Name)
		i, ok := r.state.Plan.Splits.Number(commitOf(name))
		switch {
		case err != nil && (o.Name == "" || ok):
			return Fault(pipeline.PhasePlan, "list", dir, err)
		case err == nil && ok && isCommit(name):
			do(i, o)
		}
	}
	return context.Cause(ctx)
}

// commitOf is the split that a commit record's name, as seen from the folder, is of.
func commitOf(name string) pipeline.SplitID {
	return pipeline.SplitID(strings.TrimSuffix(strings.TrimPrefix(name, commitsDir+"/"), ".json"))
}

// Committed says whether part number i is known to be committed: what was so when the run
// was begun here, what this attempt has committed, and what Refresh has found.
func (r *Run) Committed(i int) bool { return r.ledger.isDone(i) }

// Lines is how many lines split number i has, blank ones too, where its commit record is
// known.
func (r *Run) Lines(i int) (int64, bool) { return r.ledger.linesOf(i) }

// Summary is what the known commit records say together.
func (r *Run) Summary() Summary { return r.ledger.sum() }

// Refresh reads the records of the parts that others have committed meanwhile.
func (r *Run) Refresh(ctx context.Context) error {
	if r.state.Plan == nil {
		return nil
	}
	return r.readRecords(ctx, func(i int) bool { return !r.ledger.isDone(i) }, nil)
}
