package runs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func TestARunFromItsPlanToSuccess(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), filepath.Join(t.TempDir(), "deep", "out")
	if state := look(t, store, folder); state.Condition != runs.Fresh {
		t.Fatalf("before: %v", state.Condition)
	}
	run := begin(t, store, folder, plan(2))
	for i, content := range []string{"one\n", ""} {
		record := commit(t, store, run, i, content)
		if err := run.Publish(t.Context(), record); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // finishing twice is harmless
		if err := run.Finish(t.Context(), []byte("{}\n")); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{
		"_SUCCESS": "", "report.json": "{}\n",
		"predictions-00000-of-00002.jsonl": "one\n", "predictions-00001-of-00002.jsonl": "",
		"_cpr-batch/plan.jsonl":                  "",
		"_cpr-batch/report.json":                 "",
		"_cpr-batch/commits/00000-of-00002.json": "",
		"_cpr-batch/commits/00001-of-00002.json": "",
	}
	if diff := cmp.Diff(want, tree(t, folder)); diff != "" {
		t.Error(diff)
	}
	after := inspect(t, store, folder+"/")
	if after.State().Condition != runs.Finished || after.Summary().Parts != 2 {
		t.Fatalf("after: %+v, %+v", after.State(), after.Summary())
	}
	if got, err := after.Record(t.Context(), "00000-of-00002"); err != nil || got.Attempt != run.Attempt() || got.Versions != versions || got.Tally.Read != 1 {
		t.Errorf("record: %+v, %v", got, err)
	}
	again := begin(t, store, folder, plan(2))
	if again.State().Condition != runs.Finished || again.Plan().RunID != run.Plan().RunID {
		t.Errorf("begun again: %+v", again.State())
	}
	asError(t, beginError(t, plan(3).config(store, folder)), pipeline.FixConfig,
		"holds the finished run of another job", "source files: 1 added (in/2.jsonl)", "--overwrite")
}

func second[A any](_ A, err error) error { return err }

func TestARunWithoutASplitSucceeds(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	if err := begin(t, store, folder, plan(0)).Finish(t.Context(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if state := look(t, store, folder); state.Condition != runs.Finished {
		t.Fatalf("%+v", state)
	}
}

func TestFinishRefusesARunWithoutAllParts(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	run := begin(t, store, folder, plan(2))
	commit(t, store, run, 1, "two\n")
	asError(t, run.Finish(t.Context(), nil), pipeline.TryAgain, "1 of 2 parts")
	if _, ok := tree(t, folder)["_SUCCESS"]; ok {
		t.Error("_SUCCESS is there")
	}
}

func TestALostReplyIsNoLostCommit(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection reset")
	store, folder := &faulty{Store: objects.NewLocal(), after: on("commit", "commits/00000-of-00002.json", lost)}, t.TempDir()
	run := begin(t, store, folder, plan(2))
	record := commit(t, store, run, 0, "one\n")
	if record.Attempt != run.Attempt() {
		t.Errorf("%+v", record)
	}
}

func TestALostReplyToThePlanIsNoForeignPlan(t *testing.T) {
	t.Parallel()
	store := &faulty{Store: objects.NewLocal(), after: on("commit", "plan.jsonl", errors.New("connection reset"))}
	c := plan(2).config(store, t.TempDir())
	c.RunID = "mine"
	if run := beginWith(t, c); run.Plan().RunID != c.RunID {
		t.Errorf("run %s, want %s", run.Plan().RunID, c.RunID)
	}
}

func TestACommitNobodyKnowsOfIsUnsure(t *testing.T) {
	t.Parallel()
	store, folder := &faulty{Store: objects.NewLocal()}, t.TempDir()
	run := begin(t, store, folder, plan(2))
	record, err := prepare(t.Context(), store, run, 0, "one\n")
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("network is unreachable")
	store.after = on("commit", ".json", gone)
	store.before = on("stat", ".json", gone)
	_, err = run.Commit(t.Context(), record)
	if !errors.Is(err, runs.ErrUnsure) {
		t.Errorf("got %v", err)
	}
	asError(t, err, pipeline.TryAgain, "commits/00000-of-00002.json")
}

func TestAnAttemptKilledAfterItsRecordIsPublishedByTheNext(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	first := begin(t, store, folder, plan(2))
	commit(t, store, first, 0, "one\n")

	next := begin(t, store, folder, plan(2))
	if got := tree(t, folder)["predictions-00000-of-00002.jsonl"]; got != "one\n" || next.Summary().Parts != 1 {
		t.Errorf("Begin published %q of %d parts", got, next.Summary().Parts)
	}
	commit(t, store, next, 1, "two\n")
	if err := first.Finish(t.Context(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, folder)["predictions-00001-of-00002.jsonl"]; got != "two\n" {
		t.Errorf("Finish published %q", got)
	}
}

func TestPublishingEndsHoweverFarItGot(t *testing.T) {
	t.Parallel()
	killed := errors.New("killed")
	for name, fault := range map[string]func(string, string) error{
		"killed before the final name":   on("copy", "predictions-00000-of-00001.jsonl", killed),
		"killed before the work is gone": on("remove", "predictions-00000-of-00001.jsonl", killed),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, folder := &faulty{Store: objects.NewLocal()}, t.TempDir()
			run := begin(t, store, folder, plan(1))
			record := commit(t, store, run, 0, "one\n")
			store.before = fault
			asError(t, run.Publish(t.Context(), record), pipeline.TryAgain, "predictions-00000-of-00001.jsonl", "killed")
			store.before = nil
			for range 2 {
				if err := run.Publish(t.Context(), record); err != nil {
					t.Fatal(err)
				}
			}
			if err := run.Finish(t.Context(), []byte("{}")); err != nil {
				t.Fatal(err)
			}
			if got := tree(t, folder)["predictions-00000-of-00001.jsonl"]; got != "one\n" {
				t.Errorf("published %q", got)
			}
		})
	}
}

func TestAFinalNameWithOtherContentIsNotTakenForThePart(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"of another size": "something else\n", "of the same size": "two\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, folder := objects.NewLocal(), t.TempDir()
			run := begin(t, store, folder, plan(1))
			record := commit(t, store, run, 0, "one\n")
			final := filepath.Join(folder, "predictions-00000-of-00001.jsonl")
			if err := os.WriteFile(final, []byte(content), 0o666); err != nil {
				t.Fatal(err)
			}
			asError(t, run.Publish(t.Context(), record), pipeline.FixConfig, final, "--overwrite")
		})
	}
}

func TestAPartThatIsGoneIsNamed(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	run := begin(t, store, folder, plan(1))
	record := commit(t, store, run, 0, "one\n")
	if err := run.Publish(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	final := filepath.Join(folder, "predictions-00000-of-00001.jsonl")
	if err := os.Remove(final); err != nil {
		t.Fatal(err)
	}
	asError(t, run.Finish(t.Context(), nil), pipeline.FixConfig, final, "is gone")
}

func TestARecordThatNamesAFileElsewhereIsNotWritten(t *testing.T) {
	t.Parallel()
	store := objects.NewLocal()
	run := begin(t, store, t.TempDir(), plan(1))
	for _, name := range []string{"../x", "predictions-00000-of-00002.jsonl", "notes.txt"} {
		_, err := run.Commit(t.Context(), runs.Record{Split: "00000-of-00001", Files: []runs.PartFile{{Name: name}}})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFaultyDiskIsNamedWithItsRemedy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault func(string, string) error
		words []string
	}{
		"full while the plan is written":      {on("write", "plan.jsonl", syscall.ENOSPC), []string{"plan.jsonl", "no space left", "make room"}},
		"read-only when the plan is begun":    {on("create", "plan.jsonl", syscall.EROFS), []string{"plan.jsonl", "read-only", "choose another"}},
		"full while a record is written":      {on("write", "commits/00000-of-00001.json", syscall.ENOSPC), []string{"commits/00000-of-00001.json", "make room"}},
		"full while a part is published":      {on("copy", "/predictions-00000-of-00001.jsonl", syscall.EDQUOT), []string{"predictions-00000-of-00001.jsonl", "quota", "make room"}},
		"too large a report":                  {on("write", "report.json", syscall.EFBIG), []string{"report.json", "too large", "ulimit"}},
		"full when _SUCCESS is written":       {on("copy", "_SUCCESS", syscall.ENOSPC), []string{"_SUCCESS", "make room"}},
		"an error when it looks for _SUCCESS": {on("stat", "_SUCCESS", syscall.EIO), []string{"_SUCCESS", "input/output error"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := objects.NewLocal()
			store, folder := &faulty{Store: disk, before: tt.fault}, t.TempDir()
			asError(t, whole(t, store, folder), pipeline.TryAgain, tt.words...)
			if _, ok := tree(t, folder)["_SUCCESS"]; ok {
				t.Error("_SUCCESS is there")
			}
			// The same command again, on a disk that was mended.
			if err := whole(t, disk, folder); err != nil {
				t.Fatal(err)
			}
			if got := tree(t, folder); got["predictions-00000-of-00001.jsonl"] != "one\n" || got["report.json"] != "{}" {
				t.Errorf("%v", got)
			}
		})
	}
}

// whole is a whole run of one split, or what is left of it.
func whole(t *testing.T, store objects.Store, folder string) error {
	run, err := runs.Begin(t.Context(), plan(1).config(store, folder))
	if err != nil {
		return err
	}
	defer func() { _ = run.Close() }()
	if !run.Committed(0) {
		record, err := prepare(t.Context(), store, run, 0, "one\n")
		if err != nil {
			return err
		}
		if record, err = run.Commit(t.Context(), record); err != nil {
			return err
		}
		if err := run.Publish(t.Context(), record); err != nil {
			return err
		}
	}
	return run.Finish(t.Context(), []byte("{}"))
}

func TestAFileInThePlaceOfTheFolderIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	asError(t, beginError(t, plan(1).config(objects.NewLocal(), file)), pipeline.TryAgain, file, "has to be a folder")
}
