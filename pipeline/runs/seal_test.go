package runs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

const (
	sealFolder  = "gs://b/out"
	sealedSplit = pipeline.SplitID("00000-of-00002")
	segments    = sealFolder + "/_cpr-batch/segments/" + string(sealedSplit) + "/"
)

// madeFile makes a file of an attempt, of lines of predictions or errors.
func madeFile(t *testing.T, store objects.Store, run *runs.Run, kind, content string) runs.WorkFile {
	t.Helper()
	name := kind + "-" + string(sealedSplit) + ".jsonl"
	w, err := store.Create(t.Context(), run.Work("piece-"+name))
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err == nil {
		err = w.Commit(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	f := runs.PartFile{Name: name, Size: int64(len(content)), CRC32C: crc32.Checksum([]byte(content), crc32.MakeTable(crc32.Castagnoli))}
	return runs.WorkFile{Path: run.Work("piece-" + name), File: f}
}

// toSeal is a seal behind another one, when read instances are predicted.
func toSeal(last runs.Seal, read int64) runs.Seal {
	last.Split, last.Tally = sealedSplit, pipeline.Tally{Read: read, Predicted: read}
	return last
}

// seal seals a line of predictions.
func seal(t *testing.T, store objects.Store, run *runs.Run, last runs.Seal, read int64) runs.Seal {
	t.Helper()
	made := madeFile(t, store, run, "predictions", fmt.Sprintf("%d by %s\n", read, run.Attempt()))
	sealed, err := run.Seal(t.Context(), toSeal(last, read), made)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// lastSeal is how many instances are sealed, and the seal.
func lastSeal(t *testing.T, run *runs.Run) (int64, *runs.Seal) {
	t.Helper()
	s, err := run.LastSeal(t.Context(), sealedSplit)
	if err != nil {
		t.Fatal(err)
	}
	if s == nil {
		return 0, nil
	}
	return s.Tally.Read, s
}

func sealNames(store *memtest.Store) []string {
	names := slices.DeleteFunc(store.Names(), func(n string) bool { return !strings.HasPrefix(n, segments) })
	for i, n := range names {
		names[i] = strings.TrimPrefix(n, segments)
	}
	return names
}

func TestASealHoldsWhatWasMade(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	run := begin(t, store, sealFolder, plan(2))
	if read, _ := lastSeal(t, run); read != 0 {
		t.Errorf("%d instances are sealed of nothing", read)
	}
	s := toSeal(runs.Seal{}, 3)
	s.Tally.Predicted, s.Tally.Failed, s.Failed = 2, 1, runs.Ordinals{Ranges: [][2]int64{{1, 1}}}
	sealed, err := run.Seal(t.Context(), s, madeFile(t, store, run, "predictions", "1\n3\n"), madeFile(t, store, run, "errors", "2\n"))
	if err != nil {
		t.Fatal(err)
	}
	name := sealed.Segments[0].Name
	if diff := cmp.Diff([]string{name + ".errors.jsonl", name + ".json", name + ".predictions.jsonl"}, sealNames(store)); diff != "" {
		t.Error(diff)
	}
	if name != run.Attempt()+"-1" || sealed.Digest != run.Digest() || sealed.RunID != run.Plan().RunID || sealed.Tally.BytesWritten != 6 {
		t.Errorf("%+v", sealed)
	}
	for _, n := range store.Names() {
		if strings.Contains(n, "piece-") {
			t.Errorf("%s is left", n)
		}
	}
	// Somebody else's: of another process the attempt would be another one.
	_, found := lastSeal(t, begin(t, store, sealFolder, plan(2)))
	if diff := cmp.Diff(&sealed, found); diff != "" {
		t.Error(diff)
	}
	if !found.Holds("errors-00000-of-00002.jsonl") || found.Holds("errors-00000-of-00002.jsonl.gz") ||
		!found.Consists("predictions-00000-of-00002.jsonl", "errors-00000-of-00002.jsonl") || found.Consists("errors-00000-of-00002.jsonl") {
		t.Errorf("%+v", found.Segments)
	}
}

func TestTheSealWithTheMostInstancesIsTheLast(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	one, two := begin(t, store, sealFolder, plan(2)), begin(t, store, sealFolder, plan(2))
	first := seal(t, store, one, runs.Seal{}, 10)
	long := seal(t, store, one, first, 30)
	seal(t, store, two, first, 20)
	if read, s := lastSeal(t, two); read != 30 || s.Attempt != one.Attempt() {
		t.Errorf("%d instances of %+v", read, s)
	}
	// Two of a length: all find the same one.
	same := seal(t, store, two, first, 30)
	want := min(long.Segments[1].Name, same.Segments[1].Name)
	for _, run := range []*runs.Run{one, two} {
		if _, s := lastSeal(t, run); s.Segments[1].Name != want {
			t.Errorf("%s, want %s", s.Segments[1].Name, want)
		}
	}
}

// record is the name of the record of a seal.
func record(s *runs.Seal) string { return segments + s.Segments[len(s.Segments)-1].Name + ".json" }

func TestSealsThatCanNotBeUsedArePassedOver(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(t *testing.T, store *memtest.Store, s *runs.Seal){
		"a torn record": func(_ *testing.T, store *memtest.Store, s *runs.Seal) {
			data, _ := store.Content(record(s))
			store.Put(record(s), data[:len(data)-9])
		},
		"an empty record":            func(_ *testing.T, store *memtest.Store, s *runs.Seal) { store.Put(record(s), nil) },
		"a record that is no object": func(_ *testing.T, store *memtest.Store, s *runs.Seal) { store.Put(record(s), []byte("[]")) },
		"another digest": func(t *testing.T, store *memtest.Store, s *runs.Seal) {
			rewrite(t, store, s, func(s *runs.Seal) { s.Digest = "0" })
		},
		"another run": func(t *testing.T, store *memtest.Store, s *runs.Seal) {
			rewrite(t, store, s, func(s *runs.Seal) { s.RunID = "0" })
		},
		"a path out of the folder": func(t *testing.T, store *memtest.Store, s *runs.Seal) {
			store.Put(sealFolder+"/secret.predictions.jsonl", []byte("secret"))
			rewrite(t, store, s, func(s *runs.Seal) { s.Segments[0].Name = "../../../secret" })
		},
		"a record under another's name": func(_ *testing.T, store *memtest.Store, s *runs.Seal) {
			data, _ := store.Content(record(s))
			store.Delete(record(s))
			store.Put(segments+"other-9.json", data)
		},
		"a huge number": func(_ *testing.T, store *memtest.Store, s *runs.Seal) {
			data, _ := store.Content(record(s))
			store.Delete(record(s))
			store.Put(segments+s.Attempt+"-99999999999999999999999.json", data)
		},
		"a file that is gone": func(_ *testing.T, store *memtest.Store, s *runs.Seal) {
			store.Delete(segments + s.Segments[1].Name + ".predictions.jsonl")
		},
		"a file of another length": func(_ *testing.T, store *memtest.Store, s *runs.Seal) {
			store.Put(segments+s.Segments[1].Name+".predictions.jsonl", []byte("x"))
		},
		"a size of another file": func(t *testing.T, store *memtest.Store, s *runs.Seal) {
			rewrite(t, store, s, func(s *runs.Seal) { s.Segments[1].Files[0].Size = 1 << 62 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := memtest.New()
			run := begin(t, store, sealFolder, plan(2))
			last := seal(t, store, run, seal(t, store, run, runs.Seal{}, 10), 20)
			harm(t, store, &last)
			if read, _ := lastSeal(t, run); read != 10 {
				t.Errorf("%d instances are sealed, want 10", read)
			}
		})
	}
}

// rewrite changes the record of a seal.
func rewrite(t *testing.T, store *memtest.Store, s *runs.Seal, change func(*runs.Seal)) {
	t.Helper()
	name := record(s)
	change(s)
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	store.Put(name, data)
}

func TestASealOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	run := begin(t, store, sealFolder, plan(2))
	s := seal(t, store, run, runs.Seal{}, 10)
	store.Put(record(&s), []byte(`{"format": 7, "segments": "elsewhere"}`))
	_, err := run.LastSeal(t.Context(), sealedSplit)
	asError(t, err, pipeline.FixConfig, record(&s), "has format 7")
}

func TestWhatDoesNotFitIsNotSealed(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	run := begin(t, store, sealFolder, plan(2))
	made := madeFile(t, store, run, "predictions", "1\n")
	for name, try := range map[string]func() (runs.Seal, error){
		"no file":       func() (runs.Seal, error) { return run.Seal(t.Context(), toSeal(runs.Seal{}, 1)) },
		"no instance":   func() (runs.Seal, error) { return run.Seal(t.Context(), toSeal(runs.Seal{}, 0), made) },
		"another split": func() (runs.Seal, error) { return run.Seal(t.Context(), runs.Seal{Split: "00009-of-00010"}, made) },
	} {
		if _, err := try(); err == nil || errors.Is(err, pipeline.ErrCommitted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := sealNames(store); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func TestALostReplyIsNoFaultOfASeal(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"copy", "commit"} {
		for _, lost := range []error{errors.New("lost"), objects.ErrExist} {
			t.Run(fmt.Sprintf("of a %s: %v", op, lost), func(t *testing.T) {
				t.Parallel()
				store := memtest.New()
				run := begin(t, store, sealFolder, plan(2))
				made := madeFile(t, store, run, "predictions", "1\n")
				store.After(func(got, _ string) error {
					if got == op {
						return lost
					}
					return nil
				})
				if _, err := run.Seal(t.Context(), toSeal(runs.Seal{}, 1), made); err != nil {
					t.Error(err)
				}
				store.After(nil)
				if read, _ := lastSeal(t, run); read != 1 {
					t.Errorf("%d instances are sealed", read)
				}
			})
		}
	}
}

func TestASealThatFailsLeavesThoseBefore(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"copy", "remove", "create", "write", "commit"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			store := memtest.New()
			run := begin(t, store, sealFolder, plan(2))
			before := seal(t, store, run, runs.Seal{}, 10)
			made := madeFile(t, store, run, "predictions", "1\n")
			full := errors.New("disk is full")
			store.Before(func(got, _ string) error {
				if got == op {
					return full
				}
				return nil
			})
			_, err := run.Seal(t.Context(), toSeal(before, 20), made)
			if asError(t, err, pipeline.TryAgain, "disk is full"); !errors.Is(err, full) {
				t.Errorf("got %v", err)
			}
			store.Before(nil)
			if read, _ := lastSeal(t, run); read != 10 {
				t.Errorf("%d instances are sealed", read)
			}
			// What it has left is not taken for the next one's.
			if read, s := lastSeal(t, begin(t, store, sealFolder, plan(2))); read != 10 || len(s.Segments) != 1 {
				t.Errorf("%d instances are sealed, by %+v", read, s)
			}
		})
	}
}

func TestAPartThatIsCommittedIsNotSealed(t *testing.T) {
	t.Parallel()
	for name, others := range map[string]func(t *testing.T, store objects.Store, slow, fast *runs.Run){
		"by this attempt's knowledge": func(t *testing.T, store objects.Store, slow, fast *runs.Run) {
			commit(t, store, fast, 0, "1\n")
			if err := slow.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"behind its back": func(t *testing.T, store objects.Store, _, fast *runs.Run) { commit(t, store, fast, 0, "1\n") },
		"and its run finished": func(t *testing.T, store objects.Store, _, fast *runs.Run) {
			commit(t, store, fast, 0, "1\n")
			commit(t, store, fast, 1, "1\n")
			if err := fast.Finish(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := memtest.New()
			slow, fast := begin(t, store, sealFolder, plan(2)), begin(t, store, sealFolder, plan(2))
			made := madeFile(t, store, slow, "predictions", "1\n")
			others(t, store, slow, fast)
			if _, err := slow.Seal(t.Context(), toSeal(runs.Seal{}, 1), made); !errors.Is(err, pipeline.ErrCommitted) {
				t.Errorf("got %v", err)
			}
			if got := sealNames(store); len(got) > 0 {
				t.Errorf("%q are left", got)
			}
		})
	}
}
