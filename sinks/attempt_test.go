package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
	"github.com/cpr-batch/cpr-batch/sinks"
)

// split is what becomes of one, whoever predicts it: a letter an instance, p for a
// prediction and f for a failure, a word a batch.
type split struct {
	id      pipeline.SplitID
	batches string
}

// steps are what is done behind the batches of a split, a letter a batch: s seals, k seals
// and gives up, x gives up. Behind the last one the part is committed, unless it is given up.
type steps string

var errGivenUp = errors.New("given up")

// scene is a folder in which attempts at a run are made.
type scene struct {
	store       objects.Store
	folder      string
	compression string

	mu     sync.Mutex
	sealed map[pipeline.SplitID]int64 // instances that a seal is known to hold
}

func newScene(store objects.Store, folder, compression string) *scene {
	return &scene{store: store, folder: folder, compression: compression, sealed: map[pipeline.SplitID]int64{}}
}

// inMemory is a scene, and its store.
func inMemory(compression string) (*scene, *memtest.Store) {
	store := memtest.New()
	return newScene(store, "gs://b/out", compression), store
}

func (s *scene) begin(ctx context.Context) (*runs.Run, error) {
	return runs.Begin(ctx, config(s.store, s.folder))
}

func (s *scene) sink(run *runs.Run) *sinks.JSONL {
	return sinks.NewJSONL(run, s.store, sinks.JSONLConfig{Compression: s.compression}, sinks.OutputConfig{})
}

// run makes a whole attempt: the splits, each in these steps, and the run's end.
func (s *scene) run(ctx context.Context, how steps, splits ...split) error {
	run, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = run.Close() }()
	for _, sp := range splits {
		if err := s.predict(ctx, run, sp, how); err != nil && !errors.Is(err, pipeline.ErrCommitted) {
			return err
		}
	}
	return run.Finish(ctx, []byte("{}"))
}

// predict does with a split what the engine does.
func (s *scene) predict(ctx context.Context, run *runs.Run, sp split, how steps) error {
	s.mu.Lock()
	held := s.sealed[sp.id]
	s.mu.Unlock()
	part, err := s.sink(run).Open(ctx, sp.id)
	if err != nil {
		return err
	}
	var t pipeline.Tally
	if sealed := part.Sealed(); sealed != nil {
		t = *sealed
		t.Failures = slices.Clone(t.Failures)
	}
	if t.Read < held {
		return errors.Join(fmt.Errorf("split %s goes on behind %d instances, and %d were sealed", sp.id, t.Read, held), part.Discard())
	}
	err = s.write(ctx, part, sp, how, &t)
	if err == nil {
		err = part.Commit(ctx, &t)
	}
	return errors.Join(err, part.Discard())
}

// write writes what comes behind the instances that t counts.
func (s *scene) write(ctx context.Context, part pipeline.Part, sp split, how steps, t *pipeline.Tally) error {
	begin := int64(0)
	for i, letters := range strings.Fields(sp.batches) {
		if begin < t.Read {
			begin += int64(len(letters))
			continue
		}
		batch, outcomes := batchOf(sp.id, begin, letters)
		if err := part.Write(ctx, batch, outcomes); err != nil {
			return err
		}
		count(t, batch, outcomes)
		begin += int64(len(letters))
		step := byte('.')
		if i < len(how) {
			step = how[i]
		}
		if step == 's' || step == 'k' {
			if err := part.Seal(ctx, t); err != nil {
				return err
			}
			s.mu.Lock()
			s.sealed[sp.id] = max(s.sealed[sp.id], t.Read)
			s.mu.Unlock()
		}
		if step == 'k' || step == 'x' {
			return errGivenUp
		}
	}
	return nil
}

// batchOf is a batch of a split and its outcomes.
func batchOf(id pipeline.SplitID, begin int64, letters string) (*pipeline.Batch, []pipeline.Outcome) {
	batch := &pipeline.Batch{Split: id, First: begin}
	var outcomes []pipeline.Outcome
	for i, letter := range letters {
		text := fmt.Sprintf(`"instance %d of %s"`, begin+int64(i), id)
		in := row(text)
		in.Origin.Line = begin + int64(i) + 1
		batch.Instances = append(batch.Instances, in)
		if letter == 'f' {
			outcomes = append(outcomes, failed(raised))
		} else {
			outcomes = append(outcomes, predicted(text))
		}
	}
	return batch, outcomes
}

func count(t *pipeline.Tally, b *pipeline.Batch, outcomes []pipeline.Outcome) {
	t.Batches++
	for i, o := range outcomes {
		t.Read++
		t.Lines++
		t.BytesRead += 10
		if o.Failure != nil {
			t.Fail(b.Split, b.First+int64(i), b.Instances[i].Origin, o.Failure)
		} else {
			t.Predicted++
		}
	}
}

// files are those below the folder and what they hold, but for those of the plan, the
// commits and the processes.
func (s *scene) files(ctx context.Context) (map[string]string, error) {
	files := make(map[string]string)
	for o, err := range s.store.List(ctx, s.folder) {
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(o.Name, s.folder+"/")
		if name == "_cpr-batch/plan.jsonl" || path.Base(name) == "process.json" || strings.HasPrefix(name, "_cpr-batch/commits/") {
			continue
		}
		// A process that is killed while it begins leaves what is unnamed.
		if strings.HasPrefix(name, "_cpr-batch/.tmp-") || strings.HasPrefix(name, "_cpr-batch/accepted/") {
			continue
		}
		r, err := s.store.Open(ctx, o, 0, -1)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		files[name] = string(data)
	}
	return files, nil
}

// result is what a run leaves behind.
type result struct {
	files   map[string]string // in the clear
	records map[pipeline.SplitID]runs.Record
}

// undisturbed is the result of one attempt that seals nothing; a finished one, of a run.
func undisturbed(ctx context.Context, compression string, finished bool, splits ...split) (*result, error) {
	s, _ := inMemory(compression)
	run, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = run.Close() }()
	for _, sp := range splits {
		if err := s.predict(ctx, run, sp, ""); err != nil {
			return nil, err
		}
	}
	if finished {
		if err := run.Finish(ctx, []byte("{}")); err != nil {
			return nil, err
		}
	}
	return s.result(ctx, splits)
}

// result reads what is there, and holds the records against the files.
func (s *scene) result(ctx context.Context, splits []split) (*result, error) {
	files, err := s.files(ctx)
	if err != nil {
		return nil, err
	}
	inspected, err := runs.Inspect(ctx, s.store, s.folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = inspected.Close() }()
	r := &result{files: files, records: map[pipeline.SplitID]runs.Record{}}
	for _, sp := range splits {
		record, err := inspected.Record(ctx, sp.id)
		if err != nil {
			return nil, err
		}
		if err := checkFiles(&record, files); err != nil {
			return nil, fmt.Errorf("split %s: %w", sp.id, err)
		}
		record.Tally.BytesWritten = 0 // it depends on where the pieces end
		r.records[sp.id] = runs.Record{Tally: record.Tally, Failed: record.Failed}
	}
	for name, data := range files {
		if files[name], err = unpack(name, []byte(data)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r, nil
}

// checkFiles holds a commit record against the files that it names.
func checkFiles(record *runs.Record, files map[string]string) error {
	size := int64(0)
	for _, f := range record.Files {
		content, ok := files[f.Name]
		if !ok || int64(len(content)) != f.Size || crc32.Checksum([]byte(content), crc32.MakeTable(crc32.Castagnoli)) != f.CRC32C {
			return fmt.Errorf("%s is not what its record says: %+v", f.Name, f)
		}
		size += f.Size
	}
	if record.Tally.BytesWritten != size {
		return fmt.Errorf("%d bytes are counted, of %d", record.Tally.BytesWritten, size)
	}
	return nil
}

// compare holds the folder against another result of these splits.
func (s *scene) compare(ctx context.Context, want *result, splits ...split) error {
	got, err := s.result(ctx, splits)
	if err != nil {
		return err
	}
	return errors.Join(differ(want.files, got.files), differ(want.records, got.records))
}

// check holds the folder against that of an undisturbed run of these splits.
func (s *scene) check(ctx context.Context, finished bool, splits ...split) error {
	want, err := undisturbed(ctx, s.compression, finished, splits...)
	if err != nil {
		return err
	}
	return s.compare(ctx, want, splits...)
}

func differ[T any](want, got T) error {
	if diff := cmp.Diff(want, got); diff != "" {
		return errors.New(diff)
	}
	return nil
}

// sealNames are the names of the records of a split's seals.
func (s *scene) sealNames(t *testing.T, id pipeline.SplitID) []string {
	t.Helper()
	files, err := s.files(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(func(yield func(string) bool) {
		for name := range maps.Keys(files) {
			if strings.HasPrefix(name, "_cpr-batch/segments/"+string(id)+"/") && strings.HasSuffix(name, ".json") && !yield(name) {
				return
			}
		}
	})
}
