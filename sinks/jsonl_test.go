package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
	"github.com/cpr-batch/cpr-batch/sinks"
)

func open(t *testing.T, sink pipeline.Sink, id pipeline.SplitID) pipeline.Part {
	t.Helper()
	part, err := sink.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return part
}

func write(t *testing.T, part pipeline.Part, first int64, rows []pipeline.Instance, outcomes ...pipeline.Outcome) {
	t.Helper()
	if err := part.Write(t.Context(), &pipeline.Batch{First: first, Instances: rows}, outcomes); err != nil {
		t.Fatal(err)
	}
}

func TestAPartIsInvisibleUntilItIsCommitted(t *testing.T) {
	t.Parallel()
	for compression, extension := range map[string]string{"none": ".jsonl", "": ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"} {
		t.Run("compression "+compression, func(t *testing.T) {
			t.Parallel()
			store, folder := objects.NewLocal(), t.TempDir()
			run := begin(t, store, folder)
			sink := sinks.NewJSONL(run, store, sinks.JSONLConfig{Compression: compression}, sinks.OutputConfig{})
			part := open(t, sink, first)
			write(t, part, 0, []pipeline.Instance{row("1"), row("2"), row("3")}, predicted("10"), failed(raised), failed(raised))
			bad := row("{x")
			bad.Failure = &pipeline.Failure{Phase: pipeline.PhaseRead, Type: pipeline.TypeInvalidJSON, Message: "m", Text: "{x", NotJSON: true}
			write(t, part, 3, []pipeline.Instance{row("4"), bad}, predicted("40"), pipeline.Outcome{})
			for _, name := range names(t, folder) {
				if !strings.HasPrefix(name, "_cpr-batch/") {
					t.Errorf("%s is there before the commit", name)
				}
			}
			tally := pipeline.Tally{Read: 5, Predicted: 2, Failed: 3}
			if err := part.Commit(t.Context(), &tally); err != nil {
				t.Fatal(err)
			}
			if err := part.Discard(); err != nil {
				t.Fatal(err)
			}

			predictions, errorsFile := "predictions-00000-of-00002"+extension, "errors-00000-of-00002"+extension
			if diff := cmp.Diff([]string{errorsFile, predictions}, names(t, folder)); diff != "" {
				t.Error(diff)
			}
			want := `{"instance":1,"prediction":10}` + "\n" + `{"instance":4,"prediction":40}` + "\n"
			if diff := cmp.Diff(want, unpacked(t, folder, predictions)); diff != "" {
				t.Error(diff)
			}
			const place = `,"source":{"uri":"in/a.jsonl","line":17,"offset":2210}}` + "\n"
			const why = `,"error":{"phase":"predict","type":"ValueError","message":"no","traceback":"Traceback"}` + place
			want = `{"instance":2` + why + `{"instance":3` + why +
				`{"instance":null,"text":"{x","error":{"phase":"read","type":"InvalidJSON","message":"m"}` + place
			if diff := cmp.Diff(want, unpacked(t, folder, errorsFile)); diff != "" {
				t.Error(diff)
			}
			checkRecord(t, run, folder, tally)
		})
	}
}

func checkRecord(t *testing.T, run *runs.Run, folder string, tally pipeline.Tally) {
	t.Helper()
	record, err := run.Record(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][2]int64{{1, 2}, {4, 4}}, record.Failed.Ranges); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(tally, record.Tally); diff != "" {
		t.Error(diff)
	}
	var size int64
	for _, f := range record.Files {
		data, err := os.ReadFile(filepath.Join(folder, f.Name))
		if err != nil {
			t.Fatal(err)
		}
		size += f.Size
		if int64(len(data)) != f.Size || crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) != f.CRC32C {
			t.Errorf("%s is not what its record says: %+v", f.Name, f)
		}
	}
	if len(record.Files) != 2 || record.Tally.BytesWritten != size {
		t.Errorf("%d files, %d bytes, want %d", len(record.Files), record.Tally.BytesWritten, size)
	}
}

func TestAnEmptySplitHasAPredictionsFileAndNoErrors(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"none", "gzip", "zstd"} {
		store, folder := objects.NewLocal(), t.TempDir()
		sink := sinks.NewJSONL(begin(t, store, folder), store, sinks.JSONLConfig{Compression: compression}, sinks.OutputConfig{})
		if err := open(t, sink, second).Commit(t.Context(), &pipeline.Tally{}); err != nil {
			t.Fatal(err)
		}
		got := names(t, folder)
		if len(got) != 1 || !strings.HasPrefix(got[0], "predictions-00001-of-00002.jsonl") || unpacked(t, folder, got[0]) != "" {
			t.Errorf("%s: %v", compression, got)
		}
	}
}

func TestManyLinesStayInOrder(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	sink := sinks.NewJSONL(begin(t, store, folder), store, sinks.JSONLConfig{Compression: "zstd"}, sinks.OutputConfig{Instance: pipeline.Echo{None: true}})
	part := open(t, sink, first)
	var want bytes.Buffer
	for n := range int64(50_000) {
		text := fmt.Sprintf(`"prediction number %d"`, n)
		write(t, part, n, []pipeline.Instance{row("1")}, predicted(text))
		fmt.Fprintln(&want, text)
	}
	if err := part.Commit(t.Context(), &pipeline.Tally{}); err != nil {
		t.Fatal(err)
	}
	if got := unpacked(t, folder, "predictions-00000-of-00002.jsonl.zst"); got != want.String() {
		t.Errorf("%d bytes, want %d", len(got), want.Len())
	}
}

func TestADiscardedPartLeavesNothing(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	sink := sinks.NewJSONL(begin(t, store, folder), store, sinks.JSONLConfig{Compression: "gzip"}, sinks.OutputConfig{})
	part := open(t, sink, first)
	write(t, part, 0, []pipeline.Instance{row("1"), row("2")}, predicted("1"), failed(raised))
	for range 2 {
		if err := part.Discard(); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, folder); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}

func TestACommittedPartIsNotOpenedAgain(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	run := begin(t, store, folder)
	sink := sinks.NewJSONL(run, store, sinks.JSONLConfig{}, sinks.OutputConfig{})
	part := open(t, sink, first)
	write(t, part, 0, []pipeline.Instance{row("1")}, predicted("1"))
	if err := part.Commit(t.Context(), &pipeline.Tally{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := sink.Open(t.Context(), first); !errors.Is(err, pipeline.ErrCommitted) {
			t.Errorf("got %v", err)
		}
	}
}

func TestOpenPublishesWhatWasCommittedAndNotPublished(t *testing.T) {
	t.Parallel()
	disk, folder := objects.NewLocal(), t.TempDir()
	run := begin(t, disk, folder)
	broken := &faulty{Store: disk, op: "copy", err: errors.New("killed")}
	// The run keeps its own store: a fault in publishing needs a run on the faulty one.
	dying := begin(t, broken, folder)
	part := open(t, sinks.NewJSONL(dying, broken, sinks.JSONLConfig{}, sinks.OutputConfig{}), first)
	write(t, part, 0, []pipeline.Instance{row("1")}, predicted("2"))
	if err := part.Commit(t.Context(), &pipeline.Tally{}); err == nil {
		t.Fatal("it was published")
	}
	if err := part.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := sinks.NewJSONL(run, disk, sinks.JSONLConfig{}, sinks.OutputConfig{}).Open(t.Context(), first); !errors.Is(err, pipeline.ErrCommitted) {
		t.Fatalf("got %v", err)
	}
	if got := unpacked(t, folder, "predictions-00000-of-00002.jsonl"); got != `{"instance":1,"prediction":2}`+"\n" {
		t.Errorf("%q", got)
	}
}

func TestOneOfManyPartsOfASplitIsCommitted(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	var wait sync.WaitGroup
	var mu sync.Mutex
	won := 0
	start := make(chan struct{})
	for n := range 8 {
		sink := sinks.NewJSONL(begin(t, store, folder), store, sinks.JSONLConfig{}, sinks.OutputConfig{})
		part := open(t, sink, first)
		write(t, part, 0, []pipeline.Instance{row("1"), row("2")}, predicted(fmt.Sprint(n)), failed(raised))
		wait.Go(func() {
			<-start
			err := part.Commit(t.Context(), &pipeline.Tally{})
			if err != nil && !errors.Is(err, pipeline.ErrCommitted) {
				t.Error(err)
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				won++
			}
		})
	}
	close(start)
	wait.Wait()
	if won != 1 {
		t.Errorf("%d parts were committed", won)
	}
	if diff := cmp.Diff([]string{"errors-00000-of-00002.jsonl", "predictions-00000-of-00002.jsonl"}, names(t, folder)); diff != "" {
		t.Error(diff)
	}
}

func TestALostRaceIsKnownAlsoWhenTheWorkWasSweptAway(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	slow, fast := begin(t, store, folder), begin(t, store, folder)
	late := open(t, sinks.NewJSONL(slow, store, sinks.JSONLConfig{}, sinks.OutputConfig{}), first)
	for _, id := range []pipeline.SplitID{first, second} {
		if err := open(t, sinks.NewJSONL(fast, store, sinks.JSONLConfig{}, sinks.OutputConfig{}), id).Commit(t.Context(), &pipeline.Tally{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := fast.Finish(t.Context(), []byte("{}")); err != nil { // which removes all work
		t.Fatal(err)
	}
	write(t, late, 0, []pipeline.Instance{row("1")}, predicted("1"))
	if err := late.Commit(t.Context(), &pipeline.Tally{}); !errors.Is(err, pipeline.ErrCommitted) {
		t.Errorf("got %v", err)
	}
	if err := late.Discard(); err != nil {
		t.Error(err)
	}
}

func TestAFaultIsNamedAndLeavesNothingTorn(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]string{
		"a disk that is full when lines are written": "write",
		"a disk that is full at the commit":          "commit",
		"a disk that is full for the file's name":    "create",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk, folder := objects.NewLocal(), t.TempDir()
			run := begin(t, disk, folder)
			store := &faulty{Store: disk, op: op, err: syscall.ENOSPC}
			sink := sinks.NewJSONL(run, store, sinks.JSONLConfig{}, sinks.OutputConfig{})
			part, err := sink.Open(t.Context(), first)
			if err == nil {
				write(t, part, 0, []pipeline.Instance{row("1")}, predicted("1"))
				err = errors.Join(part.Commit(t.Context(), &pipeline.Tally{}), part.Discard())
			}
			var e *pipeline.Error
			if !errors.As(err, &e) || e.Remedy != pipeline.TryAgain || !strings.Contains(e.Error(), "predictions-00000-of-00002.jsonl: no space left") {
				t.Errorf("got %v", err)
			}
			if got := names(t, folder); len(got) != 0 {
				t.Errorf("left: %v", got)
			}
			if _, err := run.Record(t.Context(), first); !errors.Is(err, objects.ErrNotExist) {
				t.Errorf("record: %v", err)
			}
		})
	}
}

func TestACanceledCommitRemovesItsFiles(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	part := open(t, sinks.NewJSONL(begin(t, store, folder), store, sinks.JSONLConfig{}, sinks.OutputConfig{}), first)
	write(t, part, 0, []pipeline.Instance{row("1")}, predicted("1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := part.Commit(ctx, &pipeline.Tally{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := names(t, folder); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestOutcomesThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	part := open(t, sinks.NewJSONL(begin(t, store, folder), store, sinks.JSONLConfig{}, sinks.OutputConfig{}), first)
	both := predicted("1")
	both.Failure = &raised
	for name, outcomes := range map[string][]pipeline.Outcome{
		"too few": {}, "too many": {predicted("1"), predicted("2")}, "an empty one": {{}}, "one that is both": {both},
		"a broken one": {predicted("[\n]")},
	} {
		err := part.Write(t.Context(), &pipeline.Batch{First: 40, Instances: []pipeline.Instance{row("1")}}, outcomes)
		if err == nil || !strings.Contains(err.Error(), "write split 00000-of-00002") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := part.Commit(t.Context(), &pipeline.Tally{}); err != nil {
		t.Fatal(err)
	}
	if got := unpacked(t, folder, "predictions-00000-of-00002.jsonl"); got != "" {
		t.Errorf("broken lines: %q", got)
	}
}

// faulty is a store in which one operation on parts goes wrong.
type faulty struct {
	objects.Store
	op  string
	err error
}

func (f *faulty) fails(op, name string) error {
	if f.op == op && strings.Contains(name, "predictions-") {
		return f.err
	}
	return nil
}

func (f *faulty) Create(ctx context.Context, name string) (objects.Writer, error) {
	if err := f.fails("create", name); err != nil {
		return nil, err
	}
	w, err := f.Store.Create(ctx, name)
	return &faultyWriter{Writer: w, store: f, name: name}, err
}

func (f *faulty) Copy(ctx context.Context, from, to string) error {
	if err := f.fails("copy", to); err != nil {
		return err
	}
	return f.Store.Copy(ctx, from, to)
}

type faultyWriter struct {
	objects.Writer
	store *faulty
	name  string
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if err := w.store.fails("write", w.name); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

func (w *faultyWriter) Commit(ctx context.Context) error {
	if err := w.store.fails("commit", w.name); err != nil {
		return err
	}
	return w.Writer.Commit(ctx)
}
