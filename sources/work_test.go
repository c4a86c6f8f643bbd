package sources_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/sources"
)

// someWork gives out splits in an order of its own, and notes what became of them.
type someWork struct {
	sources.Work
	order []int
	known map[int]int64 // lines
	fault error         // of At

	mu      sync.Mutex
	settled map[int]error
}

func newWork(plan []pipeline.PlannedSplit, order ...int) *someWork {
	return &someWork{Work: sources.InOrder(plan...), order: order, known: map[int]int64{}, settled: map[int]error{}}
}

func (w *someWork) Next(context.Context) (int, error) {
	if len(w.order) == 0 {
		return 0, io.EOF
	}
	i := w.order[0]
	w.order = w.order[1:]
	return i, nil
}

func (w *someWork) At(i int) (pipeline.PlannedSplit, error) {
	if w.fault != nil {
		return pipeline.PlannedSplit{}, w.fault
	}
	return w.Work.At(i)
}

func (w *someWork) Settle(i int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled[i] = err
}

func (w *someWork) Lines(i int) (int64, bool) {
	n, ok := w.known[i]
	return n, ok
}

func TestWorkGivesOutAndIsToldOfSplits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "in.jsonl", "1\n2\n3\n4\n")
	cfg := config("in.jsonl")
	cfg.SplitSize = 2
	work := newWork(plan(t, dir, cfg), 3, 0, 2)
	source := sources.NewJSONL(objects.NewLocal(), cfg, sources.Rows{}, work)
	lost := errors.New("lost")
	var got []string
	for _, end := range []error{nil, lost, nil} {
		split, err := source.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b := pipeline.Batch{Limits: limits}
		if err := split.Read(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		got = append(got, string(b.Split)+" "+string(b.Instances[0].Echo))
		for range 2 { // told once
			if err := split.Settle(t.Context(), end); err != nil {
				t.Error(err)
			}
			end = errors.New("again")
		}
	}
	if _, err := source.Next(t.Context()); err != io.EOF {
		t.Errorf("behind the last: %v", err)
	}
	if diff := cmp.Diff([]string{"00003-of-00004 4", "00000-of-00004 1", "00002-of-00004 3"}, got); diff != "" {
		t.Error(diff)
	}
	if len(work.settled) != 3 || work.settled[3] != nil || work.settled[0] != lost || work.settled[2] != nil {
		t.Errorf("settled: %v", work.settled)
	}
	work.order, work.fault = []int{1}, lost
	if _, err := source.Next(t.Context()); err != lost || work.settled[1] != lost {
		t.Errorf("a split that can not be had: %v, settled as %v", err, work.settled[1])
	}
}

// cutInHundred is a file of 400 bytes and 100 lines, in splits of 100 bytes.
func cutInHundred(t *testing.T, store objects.Store) []pipeline.PlannedSplit {
	t.Helper()
	object, err := store.Stat(t.Context(), write(t, t.TempDir(), "in.jsonl", strings.Repeat("[1]\n", 100)))
	if err != nil {
		t.Fatal(err)
	}
	return cutAt(object, "in.jsonl", []int64{100, 200, 300})
}

func TestLinesThatAreKnownAreNotCounted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		known  map[int]int64
		opened int64
	}{
		"none is known":  {nil, 3},
		"some are known": {map[int]int64{0: 25, 1: 25}, 1},
		"all are known":  {map[int]int64{0: 25, 1: 25, 2: 25}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &countingStore{Store: objects.NewLocal()}
			work := newWork(cutInHundred(t, store), 3, 2)
			work.known = tc.known
			source := sources.NewJSONL(store, config("in.jsonl"), sources.Rows{}, work)
			for _, want := range []int64{77, 52} {
				split, err := source.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var all sync.WaitGroup
				for range 8 { // who comes second waits, and counts nothing
					all.Go(func() {
						o := pipeline.Origin{URI: "in.jsonl", Line: 2}
						if err := split.Locate(t.Context(), &o); err != nil || o.Line != want {
							t.Errorf("line %d, %v; want %d", o.Line, err, want)
						}
					})
				}
				all.Wait()
			}
			if opened := store.opened.Load(); opened != tc.opened {
				t.Errorf("the file was opened %d times; want %d", opened, tc.opened)
			}
		})
	}
}

func TestWhoWaitsForLinesToBeCountedEndsWithItsContext(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	store := &hookedStore{Store: objects.NewLocal(), opening: func() {
		close(entered)
		<-leave
	}}
	source := sources.NewJSONL(store, config("in.jsonl"), sources.Rows{}, newWork(cutInHundred(t, objects.NewLocal()), 1))
	split, err := source.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var first sync.WaitGroup
	first.Go(func() {
		o := pipeline.Origin{Line: 1}
		if err := split.Locate(t.Context(), &o); err != nil || o.Line != 26 {
			t.Errorf("line %d, %v", o.Line, err)
		}
	})
	<-entered
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if err := split.Locate(ctx, &pipeline.Origin{Line: 1}); err != enough {
		t.Errorf("who waits: %v", err)
	}
	close(leave)
	first.Wait()
}

// hookedStore calls a function when an object is opened.
type hookedStore struct {
	objects.Store
	opening func()
}

func (s *hookedStore) Open(ctx context.Context, o objects.Object, offset, length int64) (io.ReadCloser, error) {
	s.opening()
	return s.Store.Open(ctx, o, offset, length)
}

// A stretch of a file may stand in a plan without the one before it.
func TestLinesBeforeAGapAreCounted(t *testing.T) {
	t.Parallel()
	plan := cutInHundred(t, objects.NewLocal())
	other := plan[1]
	other.Pieces = []pipeline.Piece{plan[1].Pieces[0]}
	other.Pieces[0].Name += "x"
	for name, splits := range map[string][]pipeline.PlannedSplit{
		"nothing is before it":         {plan[2]},
		"another stretch is before it": {plan[0], plan[2]},
		"another file is before it":    {other, plan[2]},
	} {
		source := sources.NewJSONL(objects.NewLocal(), config("in.jsonl"), sources.Rows{}, newWork(splits, len(splits)-1))
		split, err := source.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		o := pipeline.Origin{Line: 3}
		if err := split.Locate(t.Context(), &o); err != nil || o.Line != 53 {
			t.Errorf("%s: line %d, %v", name, o.Line, err)
		}
	}
}
