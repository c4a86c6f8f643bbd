package runs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// childFolder is set for a test binary that plays another process at the same run.
const childFolder = "CPRBATCH_TEST_RUN_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		os.Exit(child(folder))
	}
	goleak.VerifyTestMain(m)
}

// child begins the run in folder, waits for a byte on its input, commits the first split
// and says on its output how that went.
func child(folder string) int {
	ctx, store := context.Background(), objects.NewLocal()
	run, err := runs.Begin(ctx, plan(2).config(store, folder))
	if err != nil {
		fmt.Println("begin:", err)
		return 1
	}
	record, err := prepare(ctx, store, run, 0, "one\n")
	if err != nil {
		fmt.Println("prepare:", err)
		return 1
	}
	fmt.Println("ready", run.Plan().RunID)
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return 1
	}
	_, err = run.Commit(ctx, record)
	switch {
	case err == nil:
		fmt.Println("won", run.Attempt())
	case errors.Is(err, pipeline.ErrCommitted):
		fmt.Println("lost", run.Attempt())
	default:
		fmt.Println("commit:", err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

var versions = runs.Versions{CPRBatch: "0.1.0", Go: "go1.26", Python: "3.12.1"}

// limits are those of the job's errors.
var limits = pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 0.01, MinInstances: 1000, RetryOn: []string{"OSError"}, Retries: 3}

// job is what a run is begun with: its input, one split a piece, and the rest of its digest.
type job struct {
	pieces []pipeline.Piece // in the order of their names
	digest runs.Digest
}

// plan is a job of n splits of one file each, which two processes make alike.
func plan(n int) job { return planWith(n, func(*runs.Digest) {}) }

func planWith(n int, change func(*runs.Digest)) job {
	j := job{pieces: make([]pipeline.Piece, n)}
	for i := range n {
		j.pieces[i] = pipeline.Piece{URI: fmt.Sprintf("in/%d.jsonl", i), Generation: "g1", Size: 10, End: 10}
	}
	slices.SortFunc(j.pieces, func(a, b pipeline.Piece) int { return strings.Compare(a.URI, b.URI) })
	j.digest.Show("model.prediction_class", "predictor.MyPredictor")
	j.digest.Hide("model.kwargs", `{"token":"hunter2"}`)
	j.digest.Add("model files", []runs.File{{Name: "weights.bin", Sum: "1"}, {Name: "a.txt", Sum: "2"}})
	change(&j.digest)
	return j
}

// Plan yields the job's splits, as runs.Input says.
func (j job) Plan(context.Context) iter.Seq2[pipeline.PlannedSplit, error] {
	return func(yield func(pipeline.PlannedSplit, error) bool) {
		for _, p := range j.pieces {
			if !yield(pipeline.PlannedSplit{Pieces: []pipeline.Piece{p}}, nil) {
				return
			}
		}
	}
}

// Files yields the job's files, as runs.Input says.
func (j job) Files(context.Context) iter.Seq2[pipeline.Piece, error] {
	return func(yield func(pipeline.Piece, error) bool) {
		for _, p := range j.pieces {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// config is how the job is begun in a folder.
func (j job) config(store objects.Store, folder string) runs.Config {
	return runs.Config{
		Store: store, Folder: folder, Name: "nightly", Started: time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC),
		Digest: j.digest, Input: j, Versions: versions,
	}
}

// planned is the plan of the job.
func (j job) planned(t testing.TB) runs.Plan {
	t.Helper()
	splits, err := runs.Spool(t.Context(), j.Plan(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = splits.Close() })
	p, err := runs.NewPlan("nightly", time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC), j.digest, splits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// prepare makes the work file of a split's part and the record that would commit it.
func prepare(ctx context.Context, store objects.Store, run *runs.Run, split int, content string) (runs.Record, error) {
	id := run.Plan().Splits.ID(split)
	f := runs.PartFile{Name: "predictions-" + string(id) + ".jsonl", Size: int64(len(content)), CRC32C: checksum(content)}
	w, err := store.Create(ctx, run.Work(f.Name))
	if err != nil {
		return runs.Record{}, err
	}
	if _, err := io.WriteString(w, content); err != nil {
		return runs.Record{}, err
	}
	return runs.Record{Split: id, Tally: pipeline.Tally{Read: 1, Predicted: 1}, Files: []runs.PartFile{f}}, w.Commit(ctx)
}

func begin(t testing.TB, store objects.Store, folder string, j job) *runs.Run {
	t.Helper()
	return beginWith(t, j.config(store, folder))
}

func beginWith(t testing.TB, c runs.Config) *runs.Run {
	t.Helper()
	run, err := runs.Begin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run.Close(); err != nil {
			t.Error(err)
		}
	})
	return run
}

// beginError is the error with which a job is not begun.
func beginError(t testing.TB, c runs.Config) error {
	t.Helper()
	run, err := runs.Begin(t.Context(), c)
	if err == nil {
		t.Cleanup(func() { _ = run.Close() })
	}
	return err
}

// look is runs.Look for those who do not read the plan's splits.
func look(t testing.TB, store objects.Store, folder string) runs.State {
	t.Helper()
	state, err := runs.Look(t.Context(), store, folder)
	if err != nil {
		t.Fatal(err)
	}
	if state.Plan != nil {
		t.Cleanup(func() { _ = state.Plan.Splits.Close() })
	}
	return state
}

func inspect(t testing.TB, store objects.Store, folder string) *runs.Run {
	t.Helper()
	run, err := runs.Inspect(t.Context(), store, folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Close() })
	return run
}

// commit commits one split without publishing it, as a process does that is killed then.
func commit(t testing.TB, store objects.Store, run *runs.Run, split int, content string) runs.Record {
	t.Helper()
	record, err := prepare(t.Context(), store, run, split, content)
	if err != nil {
		t.Fatal(err)
	}
	record, err = run.Commit(t.Context(), record)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// tree lists the files of a folder with their content; what lies under _cpr-batch/ only
// by name, and plans, records and work files without what differs from run to run.
func tree(t testing.TB, folder string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for o, err := range objects.NewLocal().List(t.Context(), folder) {
		if err != nil {
			t.Fatal(err)
		}
		rel, err := filepath.Rel(folder, o.Name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(rel, "_cpr-batch/") {
			files[rel] = ""
			continue
		}
		data, err := os.ReadFile(o.Name)
		if err != nil {
			t.Fatal(err)
		}
		files[rel] = string(data)
	}
	return files
}

// asError checks that err is a *pipeline.Error with this remedy and all these words, and
// returns what it says.
func asError(t testing.TB, err error, remedy pipeline.Remedy, words ...string) string {
	t.Helper()
	var e *pipeline.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *pipeline.Error", err)
	}
	if e.Remedy != remedy {
		t.Errorf("remedy %d of %v, want %d", e.Remedy, err, remedy)
	}
	if e.Hint == "" {
		t.Errorf("%v has no hint", err)
	}
	for _, w := range words {
		if !strings.Contains(e.Error()+"\n"+e.Hint, w) {
			t.Errorf("%q (hint: %q) does not say %q", e.Error(), e.Hint, w)
		}
	}
	return e.Error()
}
