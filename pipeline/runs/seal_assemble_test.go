package runs_test

import (
	"fmt"
	"hash/crc32"
	"maps"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func TestAPartIsAssembledOfItsSegments(t *testing.T) {
	t.Parallel()
	const final = "predictions-00000-of-00002.jsonl"
	for name, last := range map[string]string{"with a last piece": "the last\n", "without": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := memtest.New()
			one, two := begin(t, store, sealFolder, plan(2)), begin(t, store, sealFolder, plan(2))
			s := seal(t, store, two, seal(t, store, one, runs.Seal{}, 10), 20)
			want := fmt.Sprintf("10 by %s\n20 by %s\n", one.Attempt(), two.Attempt()) + last
			var piece *runs.WorkFile
			if last != "" {
				made := madeFile(t, store, two, "predictions", last)
				piece = &made
			}
			f, err := two.Assemble(t.Context(), &s, final, piece)
			if err != nil {
				t.Fatal(err)
			}
			content, _ := store.Content(two.Work(final))
			sum := crc32.Checksum([]byte(want), crc32.MakeTable(crc32.Castagnoli))
			if diff := cmp.Diff(runs.PartFile{Name: final, Size: int64(len(want)), CRC32C: sum}, f); diff != "" || string(content) != want {
				t.Errorf("%q: %s", content, diff)
			}
			for _, n := range store.Names() {
				if strings.HasPrefix(path.Base(n), "piece-") {
					t.Errorf("%s is left", n)
				}
			}
			if got := len(sealNames(store)); got != 4 {
				t.Errorf("%d files are left of the seals", got)
			}
		})
	}
}

func TestWhatIsAssembledIsWhatWasSealed(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(store *memtest.Store, name string){
		"does not exist":            func(store *memtest.Store, name string) { store.Delete(name) },
		"it is not what was sealed": func(store *memtest.Store, name string) { store.Put(name, []byte("other")) },
	} {
		store := memtest.New()
		run := begin(t, store, sealFolder, plan(2))
		s := seal(t, store, run, runs.Seal{}, 10)
		file := segments + s.Segments[0].Name + ".predictions.jsonl"
		harm(store, file)
		_, err := run.Assemble(t.Context(), &s, "predictions-00000-of-00002.jsonl", nil)
		asError(t, err, pipeline.TryAgain, file, name)
	}
}

func TestTheSealsOfACommittedPartAreDropped(t *testing.T) {
	t.Parallel()
	store := memtest.New()
	run := begin(t, store, sealFolder, plan(2))
	seal(t, store, run, seal(t, store, run, runs.Seal{}, 10), 20)
	other := strings.Replace(segments, "00000-of", "00001-of", 1) + "a-1.json"
	store.Put(other, nil)
	commit(t, store, run, 0, "1\n")
	run.DropSeals(t.Context(), sealedSplit)
	if got := sealNames(store); len(got) > 0 {
		t.Errorf("%q are left", got)
	}
	if _, ok := store.Content(other); !ok {
		t.Error("another part's is gone")
	}
}

func TestSealsAreFoundOnDisk(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	run := begin(t, store, folder, plan(2))
	s := seal(t, store, run, seal(t, store, run, runs.Seal{}, 10), 20)
	if _, found := lastSeal(t, run); cmp.Diff(&s, found) != "" {
		t.Errorf("%+v", found)
	}
	run.DropSeals(t.Context(), sealedSplit)
	for name := range maps.Keys(tree(t, folder)) {
		if strings.Contains(name, "segments") {
			t.Errorf("%s is left", name)
		}
	}
}
