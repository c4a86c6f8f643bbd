package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// all yields the words of n letters of these.
func all(letters string, n int) []string {
	words := []string{""}
	for range n {
		var longer []string
		for _, w := range words {
			for _, l := range letters {
				longer = append(longer, w+string(l))
			}
		}
		words = longer
	}
	return words
}

func TestASealedPartIsGoneOnWithInEveryOrder(t *testing.T) {
	t.Parallel()
	for compression, outcomes := range map[string][]string{"none": all("pf", 3), "gzip": {"pfp"}, "zstd": {"fpf"}} {
		for _, letters := range outcomes {
			t.Run(compression+" "+letters, func(t *testing.T) {
				t.Parallel()
				sp := split{first, strings.Join(strings.Split(letters, ""), " ")}
				for _, how := range all(".sk", 3) {
					scene, _ := inMemory(compression)
					if err := inAttempts(t.Context(), scene, sp, steps(how)); err != nil {
						t.Errorf("%s: %v", how, err)
					}
				}
			})
		}
	}
}

// inAttempts predicts one split; each k ends an attempt.
func inAttempts(ctx context.Context, s *scene, sp split, how steps) error {
	for range strings.Count(string(how), "k") {
		if err := oneAttempt(ctx, s, sp, how); !errors.Is(err, errGivenUp) {
			return fmt.Errorf("it was not given up: %w", err)
		}
	}
	if err := oneAttempt(ctx, s, sp, how); err != nil {
		return err
	}
	return s.check(ctx, false, sp)
}

func oneAttempt(ctx context.Context, s *scene, sp split, how steps) error {
	run, err := s.begin(ctx)
	if err != nil {
		return err
	}
	return errors.Join(s.predict(ctx, run, sp, how), run.Close())
}

func TestSeventySegmentsBecomeThePart(t *testing.T) {
	t.Parallel()
	var letters, how string
	for i := range 70 {
		letters += []string{"pp ", "pf ", "ff "}[i%3]
		how += string("ssskss"[i%6])
	}
	sp := split{first, letters + "pf"}
	t.Run("on disk", func(t *testing.T) {
		t.Parallel()
		if err := inAttempts(t.Context(), newScene(objects.NewLocal(), t.TempDir(), "gzip"), sp, steps(how)); err != nil {
			t.Error(err)
		}
	})
	t.Run("in Cloud Storage", func(t *testing.T) {
		t.Parallel()
		if err := inAttempts(t.Context(), newScene(cloud(t), "gs://b/out", "zstd"), sp, steps(how)); err != nil {
			t.Error(err)
		}
	})
}

func cloud(t *testing.T) objects.Store {
	t.Helper()
	store := objects.NewCloud(cloudtest.Start(t, "b").Client(t))
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func TestASealWithoutLinesMakesNoFile(t *testing.T) {
	t.Parallel()
	s, store := inMemory("gzip")
	run := begin(t, s.store, s.folder)
	part := open(t, s.sink(run), first)
	before := len(store.Names())
	var tally pipeline.Tally
	seal := func() {
		t.Helper()
		if err := part.Seal(t.Context(), &tally); err != nil {
			t.Fatal(err)
		}
	}
	seal()
	if got := len(store.Names()); got != before {
		t.Errorf("%d objects of a seal of nothing", got-before)
	}
	batch, outcomes := batchOf(first, 0, "ff")
	if err := part.Write(t.Context(), batch, outcomes); err != nil {
		t.Fatal(err)
	}
	count(&tally, batch, outcomes)
	seal()
	seal()
	for _, name := range store.Names()[before:] {
		if strings.Contains(name, "predictions") {
			t.Errorf("%s holds no lines", name)
		}
	}
	if got := len(store.Names()); got != before+2 {
		t.Errorf("%d objects of one seal of failures", got-before)
	}
	if err := errors.Join(part.Commit(t.Context(), &tally), s.check(t.Context(), false, split{first, "ff"})); err != nil {
		t.Error(err)
	}
}

func TestACommitWithoutSealsCostsOneListing(t *testing.T) {
	t.Parallel()
	s, store := inMemory("none")
	run := begin(t, s.store, s.folder)
	operations := map[string]int{}
	store.Before(func(op, _ string) error { operations[op]++; return nil })
	if err := s.predict(t.Context(), run, split{first, "pf"}, ""); err != nil {
		t.Fatal(err)
	}
	// Two files and the record are made; the record is asked for first; the files get their names.
	want := map[string]int{"stat": 1, "list": 1, "create": 3, "write": 3, "commit": 3, "copy": 2, "remove": 2}
	if err := differ(want, operations); err != nil {
		t.Error(err)
	}
}

func TestADiscardedPartKeepsItsSeals(t *testing.T) {
	t.Parallel()
	s, store := inMemory("none")
	sp := split{first, "pf pf pf"}
	if err := oneAttempt(t.Context(), s, sp, "s.x"); !errors.Is(err, errGivenUp) {
		t.Fatal(err)
	}
	for _, name := range store.Names() {
		if strings.Contains(name, "/work/") && !strings.HasSuffix(name, "process.json") {
			t.Errorf("%s is left", name)
		}
	}
	if got := len(s.sealNames(t, first)); got != 1 {
		t.Errorf("%d seals", got)
	}
	part := open(t, s.sink(begin(t, s.store, s.folder)), first)
	if got := part.Sealed(); got == nil || got.Read != 2 || got.Predicted != 1 || got.Failed != 1 || got.Failures[0].First.Ordinal != 1 {
		t.Errorf("%+v is sealed", got)
	}
	if err := part.Discard(); err != nil {
		t.Error(err)
	}
}

func TestAnotherDigestsSealsAreNotUsed(t *testing.T) {
	t.Parallel()
	s, _ := inMemory("none")
	sp := split{first, "pp pf pp"}
	begun := func(model string) *runs.Run {
		c := config(s.store, s.folder)
		c.Digest.Show("model", model)
		c.Digest.Replaceable()
		c.AcceptChanges = true
		run, err := runs.Begin(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = run.Close() })
		return run
	}
	if err := s.predict(t.Context(), begun("old"), sp, ".k"); !errors.Is(err, errGivenUp) {
		t.Fatal(err)
	}
	changed := begun("new")
	part := open(t, s.sink(changed), first)
	if got := part.Sealed(); got != nil {
		t.Errorf("%+v is gone on with", got)
	}
	if err := part.Discard(); err != nil {
		t.Error(err)
	}
	if part = open(t, s.sink(begun("old")), first); part.Sealed() == nil {
		t.Error("the own digest's seal is not used")
	}
	if err := part.Discard(); err != nil {
		t.Error(err)
	}
	s.sealed[first] = 0
	if err := errors.Join(s.predict(t.Context(), changed, sp, "s"), s.check(t.Context(), false, sp)); err != nil {
		t.Error(err)
	}
}

func TestWhatIsDamagedIsPredictedAgain(t *testing.T) {
	t.Parallel()
	sp := split{first, "pf pf pf pf"}
	// Three seals are there; goes is what an attempt is told to be sealed then.
	for name, tt := range map[string]struct {
		harm func(names []string, content func(string) []byte, put func(string, []byte), remove func(string))
		want int64
	}{
		"the last record is torn": {func(n []string, content func(string) []byte, put func(string, []byte), _ func(string)) {
			put(n[2], content(n[2])[:50])
		}, 4},
		"the last record is empty": {func(n []string, _ func(string) []byte, put func(string, []byte), _ func(string)) {
			put(n[2], nil)
		}, 4},
		"the last record is gone": {func(n []string, _ func(string) []byte, _ func(string, []byte), remove func(string)) {
			remove(n[2])
		}, 4},
		"a file of the last segment is gone": {func(n []string, _ func(string) []byte, _ func(string, []byte), remove func(string)) {
			remove(strings.Replace(n[2], ".json", ".errors.jsonl", 1))
		}, 4},
		"a file of the last segment is cut": {func(n []string, content func(string) []byte, put func(string, []byte), _ func(string)) {
			name := strings.Replace(n[2], ".json", ".predictions.jsonl", 1)
			put(name, content(name)[1:])
		}, 4},
		"a file of the second segment is changed": {func(n []string, content func(string) []byte, put func(string, []byte), _ func(string)) {
			name := strings.Replace(n[1], ".json", ".predictions.jsonl", 1)
			data := content(name)
			data[5] ^= 1
			put(name, data)
		}, 2},
		"a file of the first segment is gone": {func(n []string, _ func(string) []byte, _ func(string, []byte), remove func(string)) {
			remove(strings.Replace(n[0], ".json", ".predictions.jsonl", 1))
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, store := inMemory("none")
			if err := oneAttempt(t.Context(), s, sp, "ssk"); !errors.Is(err, errGivenUp) {
				t.Fatal(err)
			}
			names := s.sealNames(t, first)
			for i, n := range names {
				names[i] = s.folder + "/" + n
			}
			tt.harm(names, func(name string) []byte { data, _ := store.Content(name); return data }, store.Put, store.Delete)
			run := begin(t, s.store, s.folder)
			part := open(t, s.sink(run), first)
			var got int64
			if sealed := part.Sealed(); sealed != nil {
				got = sealed.Read
			}
			if got != tt.want {
				t.Errorf("%d instances are sealed, want %d", got, tt.want)
			}
			if err := part.Discard(); err != nil {
				t.Error(err)
			}
			s.sealed[first] = 0
			if err := errors.Join(s.predict(t.Context(), run, sp, "ssss"), s.check(t.Context(), false, sp)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSegmentsThatVanishWithoutACommitAreNamed(t *testing.T) {
	t.Parallel()
	s, store := inMemory("none")
	run := begin(t, s.store, s.folder)
	part := open(t, s.sink(run), first)
	var tally pipeline.Tally
	if err := s.write(t.Context(), part, split{first, "pp pp"}, "s", &tally); err != nil {
		t.Fatal(err)
	}
	name := s.folder + "/" + strings.Replace(s.sealNames(t, first)[0], ".json", ".predictions.jsonl", 1)
	store.Delete(name)
	err := part.Commit(t.Context(), &tally)
	var e *pipeline.Error
	if !errors.As(err, &e) || e.Remedy != pipeline.TryAgain || !errors.Is(err, objects.ErrNotExist) || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v", err)
	}
	if err := part.Discard(); err != nil {
		t.Error(err)
	}
	s.sealed[first] = 0
	both := []split{{first, "pp pp"}, {second, "p"}}
	if err := errors.Join(s.run(t.Context(), "", both...), s.check(t.Context(), true, both...)); err != nil {
		t.Error(err)
	}
}

func TestACommitThatFailsLeavesTheSealsAndNothingElse(t *testing.T) {
	t.Parallel()
	s, store := inMemory("none")
	run := begin(t, s.store, s.folder)
	part := open(t, s.sink(run), first)
	var tally pipeline.Tally
	if err := s.write(t.Context(), part, split{first, "pf pf pf"}, "s.", &tally); err != nil {
		t.Fatal(err)
	}
	store.Before(func(op, name string) error { return faultIf(op == "commit" && strings.Contains(name, "/commits/")) })
	if err := errors.Join(part.Commit(t.Context(), &tally), part.Discard()); !errors.Is(err, errFault) {
		t.Errorf("got %v", err)
	}
	store.Before(nil)
	for _, name := range store.Names() {
		if strings.Contains(name, "/work/") && !strings.HasSuffix(name, "process.json") {
			t.Errorf("%s is left", name)
		}
	}
	if got := len(s.sealNames(t, first)); got != 1 {
		t.Errorf("%d seals", got)
	}
}

func TestTheSealsOfAnotherSinkAreNotUsed(t *testing.T) {
	t.Parallel()
	s, _ := inMemory("gzip")
	if err := oneAttempt(t.Context(), s, split{first, "pp pp"}, "k"); !errors.Is(err, errGivenUp) {
		t.Fatal(err)
	}
	s.compression = "none" // which another digest goes with, in a job
	part := open(t, s.sink(begin(t, s.store, s.folder)), first)
	if got := part.Sealed(); got != nil {
		t.Errorf("%+v is gone on with", got)
	}
	if err := part.Discard(); err != nil {
		t.Error(err)
	}
}

func TestAnEmptyZstdFileIsAFrame(t *testing.T) {
	t.Parallel()
	s, _ := inMemory("zstd")
	if err := oneAttempt(t.Context(), s, split{first, ""}, ""); err != nil {
		t.Fatal(err)
	}
	o, err := s.store.Stat(t.Context(), s.folder+"/predictions-00000-of-00002.jsonl.zst")
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.store.Open(t.Context(), o, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(r); err != nil || !strings.HasPrefix(string(data), "\x28\xb5\x2f\xfd") {
		t.Errorf("%x, %v", data, err)
	}
}
