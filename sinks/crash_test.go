package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
	"github.com/cpr-batch/cpr-batch/sinks"
)

var errKilled = errors.New("killed")

// mortal is a store of which nothing works after a number of operations, as for a process
// that was killed there. The last one may go through without a reply.
type mortal struct {
	objects.Store
	last bool // the last operation goes through

	mu   sync.Mutex
	left int
}

func (m *mortal) do(operation func() error) error {
	m.mu.Lock()
	m.left--
	left := m.left
	m.mu.Unlock()
	switch {
	case left > 0:
		return operation()
	case left == 0 && m.last:
		_ = operation()
	}
	return errKilled
}

func (m *mortal) dead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left <= 0
}

func (m *mortal) List(ctx context.Context, folder string) iter.Seq2[objects.Object, error] {
	if err := m.do(func() error { return nil }); err != nil {
		return func(yield func(objects.Object, error) bool) { yield(objects.Object{}, err) }
	}
	return m.Store.List(ctx, folder)
}

func (m *mortal) Stat(ctx context.Context, name string) (o objects.Object, err error) {
	err = m.do(func() (err error) {
		o, err = m.Store.Stat(ctx, name)
		return err
	})
	return o, err
}

func (m *mortal) Open(ctx context.Context, o objects.Object, offset, length int64) (r io.ReadCloser, err error) {
	err = m.do(func() (err error) {
		r, err = m.Store.Open(ctx, o, offset, length)
		return err
	})
	return r, err
}

func (m *mortal) Create(ctx context.Context, name string) (w objects.Writer, err error) {
	err = m.do(func() (err error) {
		w, err = m.Store.Create(ctx, name)
		return err
	})
	return &mortalWriter{Writer: w, store: m}, err
}

func (m *mortal) Compose(ctx context.Context, name string, from []objects.Object) error {
	return m.do(func() error { return m.Store.Compose(ctx, name, from) })
}

func (m *mortal) Copy(ctx context.Context, from, to string) error {
	return m.do(func() error { return m.Store.Copy(ctx, from, to) })
}

func (m *mortal) Remove(ctx context.Context, name string) error {
	return m.do(func() error { return m.Store.Remove(ctx, name) })
}

type mortalWriter struct {
	objects.Writer
	store *mortal
}

func (w *mortalWriter) Write(p []byte) (n int, err error) {
	err = w.store.do(func() (err error) {
		n, err = w.Writer.Write(p)
		return err
	})
	return n, err
}

func (w *mortalWriter) Commit(ctx context.Context) error {
	return w.store.do(func() error { return w.Writer.Commit(ctx) })
}

func (w *mortalWriter) Abort() error {
	if w.store.dead() {
		_ = w.Writer.Abort() // its file is closed, as with a process's end
		return errKilled
	}
	return w.Writer.Abort()
}

// attempt is a whole run of two splits, or what is left of it. Each prediction names the
// attempt that made it.
func attempt(ctx context.Context, store objects.Store, folder, name string) error {
	run, err := runs.Begin(ctx, config(store, folder))
	if err != nil {
		return err
	}
	defer func() { _ = run.Close() }()
	sink := sinks.NewJSONL(run, store, sinks.JSONLConfig{}, sinks.OutputConfig{Instance: pipeline.Echo{None: true}})
	for _, id := range []pipeline.SplitID{first, second} {
		part, err := sink.Open(ctx, id)
		if errors.Is(err, pipeline.ErrCommitted) {
			continue
		}
		if err != nil {
			return err
		}
		batch := pipeline.Batch{Instances: []pipeline.Instance{row("1"), row("2")}}
		err = part.Write(ctx, &batch, []pipeline.Outcome{predicted(name), failed(pipeline.Failure{Phase: pipeline.PhasePredict, Type: name})})
		if err == nil {
			err = part.Commit(ctx, &pipeline.Tally{})
		}
		if err = errors.Join(err, part.Discard()); err != nil {
			return err
		}
	}
	return run.Finish(ctx, []byte("{}"))
}

func TestARunKilledAnywhereIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	const many = 1 << 20
	whole := &mortal{Store: objects.NewLocal(), left: many}
	if err := attempt(t.Context(), whole, t.TempDir(), `"whole"`); err != nil {
		t.Fatal(err)
	}
	operations := many - whole.left
	if operations < 50 {
		t.Errorf("a run of %d operations", operations)
	}
	// Most of the time is the disk's: side by side it takes less.
	var group errgroup.Group
	group.SetLimit(32)
	for n := 1; n <= operations; n++ {
		for _, last := range []bool{true, false} {
			folder := t.TempDir()
			group.Go(func() error {
				if err := killedAndRunAgain(t.Context(), &mortal{Store: objects.NewLocal(), left: n, last: last}, folder); err != nil {
					return fmt.Errorf("killed at operation %d (gone through: %v): %w", n, last, err)
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// killedAndRunAgain runs an attempt on a store that dies, then one on the disk.
func killedAndRunAgain(ctx context.Context, store *mortal, folder string) error {
	disk := store.Store
	if err := attempt(ctx, store, folder, `"killed"`); err == nil && !store.dead() {
		return errors.New("it was not killed")
	}
	before, err := runs.Inspect(ctx, disk, folder)
	if err != nil {
		return err
	}
	defer func() { _ = before.Close() }()
	if err := attempt(ctx, disk, folder, `"next"`); err != nil {
		return err
	}
	want := []string{"_SUCCESS", "errors-00000-of-00002.jsonl", "errors-00001-of-00002.jsonl",
		"predictions-00000-of-00002.jsonl", "predictions-00001-of-00002.jsonl", "report.json"}
	left, err := list(ctx, folder)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(want, left); diff != "" {
		return errors.New(diff)
	}
	for i, id := range []pipeline.SplitID{first, second} {
		maker := `"next"`
		if before.Plan() != nil && before.Committed(i) {
			maker = `"killed"`
		}
		got, err := os.ReadFile(filepath.Join(folder, "predictions-"+string(id)+".jsonl"))
		if err != nil {
			return err
		}
		if string(got) != maker+"\n" {
			return fmt.Errorf("split %s has %q, want %s", id, got, maker)
		}
	}
	return nil
}

func TestTheFilesOfACommitNobodyKnowsOfStay(t *testing.T) {
	t.Parallel()
	// The record goes through; then the store is gone, before that can be asked.
	store, folder := &mortal{Store: objects.NewLocal(), left: 1 << 20, last: true}, t.TempDir()
	sink := sinks.NewJSONL(begin(t, store, folder), store, sinks.JSONLConfig{}, sinks.OutputConfig{})
	part := open(t, sink, first)
	write(t, part, 0, []pipeline.Instance{row("1")}, predicted("2"))
	// write and commit of the file, then create, write and commit of the record
	store.left = 5
	if err := part.Commit(t.Context(), &pipeline.Tally{}); !errors.Is(err, runs.ErrUnsure) {
		t.Fatalf("got %v", err)
	}
	store.left = 1 << 20
	if err := part.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := begin(t, objects.NewLocal(), folder).Summary().Parts; got != 1 {
		t.Errorf("%d parts are committed", got)
	}
	if got := unpacked(t, folder, "predictions-00000-of-00002.jsonl"); got != `{"instance":1,"prediction":2}`+"\n" {
		t.Errorf("%q", got)
	}
}
