package runs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func put(t *testing.T, folder, name, content string) {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestResultsWithoutAPlanAreForeign(t *testing.T) {
	t.Parallel()
	for name, files := range map[string][]string{
		"a part":               {"predictions-00000-of-00003.jsonl.gz"},
		"failures":             {"errors-00000-of-00003.jsonl"},
		"another's _SUCCESS":   {"_SUCCESS"},
		"commits with no plan": {"_cpr-batch/commits/00000-of-00003.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, folder := objects.NewLocal(), t.TempDir()
			for _, f := range files {
				put(t, folder, f, "x")
			}
			state := look(t, store, folder)
			if state.Condition != runs.Foreign {
				t.Fatalf("%+v", state)
			}
			if diff := cmp.Diff(files, state.Foreign); diff != "" {
				t.Error(diff)
			}
			asError(t, beginError(t, plan(3).config(store, folder)), pipeline.FixConfig, folder, files[0], "--overwrite")
		})
	}
}

func TestAFolderWithOtherFilesIsFresh(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	for _, name := range []string{
		"notes.txt", "limit-10/_SUCCESS", "limit-10/predictions-00000-of-00001.jsonl", "predictions-of-mine.jsonl",
		"_cpr-batch/work/0/predictions-00000-of-00003.jsonl", "report.json",
	} {
		put(t, folder, name, "x")
	}
	if err := os.Symlink("nowhere", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	if state := look(t, store, folder); state.Condition != runs.Fresh {
		t.Fatalf("%+v", state)
	}
	if err := runs.Overwrite(t.Context(), store, folder); err != nil { // for all the link to nowhere
		t.Error(err)
	}
}

func TestOverwriteRemovesTheRunAndNothingElse(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	foreign := map[string]string{
		"notes.txt": "n", "predictions-of-mine.jsonl": "m", "predictions-00000-of-00001.jsonl.bak": "b",
		"limit-10/_SUCCESS": "", "limit-10/predictions-00000-of-00001.jsonl": "l", "limit-10/report.json": "r",
		"retry-1/_SUCCESS": "", "_SUCCESS.old": "o", "sub/report.json": "s",
	}
	for name, content := range foreign {
		put(t, folder, name, content)
	}
	if err := whole(t, store, folder); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"errors-00000-of-00001.jsonl.zst", "report.html", "_FAILED", "_cpr-batch/logs/worker-1.log", "_cpr-batch/work/0/x"} {
		put(t, folder, name, "x")
	}
	for range 2 {
		if err := runs.Overwrite(t.Context(), store, folder); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(foreign, tree(t, folder)); diff != "" {
		t.Error(diff)
	}
	if state := look(t, store, folder); state.Condition != runs.Fresh {
		t.Errorf("%+v", state)
	}
}

func TestOverwriteThatIsCutShortLeavesNothingToCarryOn(t *testing.T) {
	t.Parallel()
	disk, folder := objects.NewLocal(), t.TempDir()
	if err := whole(t, disk, folder); err != nil {
		t.Fatal(err)
	}
	var removed atomic.Int64
	store := &faulty{Store: disk, before: func(op, name string) error {
		if op == "remove" && removed.Add(1) > 3 {
			return os.ErrPermission
		}
		return nil
	}}
	asError(t, runs.Overwrite(t.Context(), store, folder), pipeline.TryAgain, "remove", "permission denied")
	if state := look(t, disk, folder); state.Condition != runs.Foreign {
		t.Fatalf("%+v", state)
	}
	if err := runs.Overwrite(t.Context(), disk, folder); err != nil {
		t.Fatal(err)
	}
	if err := whole(t, disk, folder); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedRunSaysWhyUntilItIsBegunAgain(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	run := begin(t, store, folder, plan(1))
	for _, report := range []string{`{"n":1}`, `{"n":2}`} {
		if err := run.Fail(t.Context(), "all\ninstances  failed", limits, []byte(report)); err != nil {
			t.Fatal(err)
		}
		if got := tree(t, folder); got["_FAILED"] != "all instances failed\n" || got["report.json"] != report {
			t.Errorf("%v", got)
		}
	}
	state := look(t, store, folder)
	if state.Condition != runs.Failed || state.Reason != "all instances failed" || state.Plan == nil {
		t.Fatalf("%+v", state)
	}
	again := begin(t, store, folder, plan(1))
	if _, ok := tree(t, folder)["_FAILED"]; ok || again.State().Condition != runs.Begun {
		t.Errorf("_FAILED is left: %v", again.State())
	}
}

func TestAStoppedRunHasAReportAndNoReason(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	if err := begin(t, store, folder, plan(1)).Stop(t.Context(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"report.json": "{}", "_cpr-batch/plan.jsonl": ""}
	if diff := cmp.Diff(want, tree(t, folder)); diff != "" {
		t.Error(diff)
	}
}

func TestNothingIsSaidAgainstASuccess(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	run := begin(t, store, folder, plan(1))
	if err := whole(t, store, folder); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func(context.Context) error{
		func(ctx context.Context) error { return run.Fail(ctx, "late", limits, []byte("late")) },
		func(ctx context.Context) error { return run.Stop(ctx, []byte("late")) },
		func(ctx context.Context) error { return run.Finish(ctx, []byte("late")) },
		func(ctx context.Context) error { return runs.Abandon(ctx, store, folder, "late", []byte("late")) },
	} {
		if err := end(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := tree(t, folder); got["report.json"] != "{}" || got["_FAILED"] != "" {
		t.Errorf("%v", got)
	}
}

func TestAFailureThatSuccessOvertakesIsTakenBack(t *testing.T) {
	t.Parallel()
	disk, folder := objects.NewLocal(), t.TempDir()
	run := begin(t, &faulty{Store: disk, after: func(op, name string) error {
		if op == "copy" && strings.HasSuffix(name, "_FAILED") {
			put(t, folder, "_SUCCESS", "")
		}
		return nil
	}}, folder, plan(1))
	if err := run.Fail(t.Context(), "why", limits, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, ok := tree(t, folder)["_FAILED"]; ok {
		t.Error("_FAILED stands beside _SUCCESS")
	}
}

func TestARunThatEndsBeforeItsPlanLeavesAReport(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), filepath.Join(t.TempDir(), "out")
	if err := runs.Abandon(t.Context(), store, folder, "", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"report.json": "{}"}, tree(t, folder)); diff != "" {
		t.Error(diff)
	}
	if err := runs.Abandon(t.Context(), store, folder, "no such class", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	state := look(t, store, folder)
	if state.Condition != runs.Failed || state.Reason != "no such class" {
		t.Errorf("%+v", state)
	}
	if err := whole(t, store, folder); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedRunIsRefused(t *testing.T) {
	t.Parallel()
	const record = "_cpr-batch/commits/00000-of-00001.json"
	const planFile = "_cpr-batch/plan.jsonl"
	cut := func(s string) string { return s[:len(s)/2] }
	for name, tt := range map[string]struct {
		file   string
		change func(string) string
		words  []string
	}{
		"an empty plan":                    {planFile, func(string) string { return "" }, []string{"damaged", "ends too early"}},
		"a plan cut in its header":         {planFile, func(s string) string { return s[:40] }, []string{"damaged", "line 1", "ends too early"}},
		"a plan without its splits":        {planFile, func(s string) string { return s[:strings.IndexByte(s, '\n')+1] }, []string{"damaged", "line 2"}},
		"a plan with a split too many":     {planFile, func(s string) string { return s + "{}\n" }, []string{"damaged", "line 3"}},
		"a plan with another digest":       {planFile, func(s string) string { return strings.Replace(s, "MyPredictor", "HisPredictor", 1) }, []string{"damaged", "digest"}},
		"a plan of another version":        {planFile, func(string) string { return `{"format":1,"run_id":{},"splits":"many"}` }, []string{"format 1", "format 2", "version that began it"}},
		"an empty record":                  {record, func(string) string { return "" }, []string{"damaged"}},
		"a record cut short":               {record, cut, []string{"damaged"}},
		"a record of another version":      {record, func(s string) string { return strings.Replace(s, `"format": 2`, `"format": 7`, 1) }, []string{"format 7", "version that began it"}},
		"a record of another run":          {record, func(s string) string { return strings.Replace(s, `"run_id": "`, `"run_id": "x`, 1) }, []string{"damaged", "belongs to run"}},
		"a record that names another file": {record, func(s string) string { return strings.Replace(s, `predictions-`, `../predictions-`, 1) }, []string{"damaged", "names the file"}},
		"a record with a strange attempt":  {record, func(s string) string { return strings.Replace(s, `"attempt": "`, `"attempt": "../`, 1) }, []string{"damaged", "attempt"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, folder := objects.NewLocal(), t.TempDir()
			run := begin(t, store, folder, plan(1))
			commit(t, store, run, 0, "one\n")
			path := filepath.Join(folder, tt.file)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := tt.change(string(data))
			if changed == string(data) {
				t.Fatal("nothing was changed")
			}
			if err := os.WriteFile(path, []byte(changed), 0o666); err != nil {
				t.Fatal(err)
			}
			words := append(tt.words, tt.file, "--overwrite")
			asError(t, second(runs.Inspect(t.Context(), store, folder)), pipeline.FixConfig, words...)
			asError(t, beginError(t, plan(1).config(store, folder)), pipeline.FixConfig, words...)
		})
	}
}

func TestOrdinalsAreRangesAndBounded(t *testing.T) {
	t.Parallel()
	var o runs.Ordinals
	for _, n := range []int64{0, 1, 2, 7, 9, 10} {
		o.Add(n)
	}
	if diff := cmp.Diff(runs.Ordinals{Ranges: [][2]int64{{0, 2}, {7, 7}, {9, 10}}}, o); diff != "" {
		t.Error(diff)
	}
	for n := range int64(50_000) {
		o.Add(20 + 2*n)
	}
	if len(o.Ranges) != 10_000 || !o.Cut {
		t.Errorf("%d ranges, cut: %v", len(o.Ranges), o.Cut)
	}
}

func FuzzReadPlan(f *testing.F) {
	for _, n := range []int{0, 2} {
		p := plan(n).planned(f)
		var b strings.Builder
		if err := p.Write(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.String())
		f.Add(b.String()[:b.Len()/2])
	}
	f.Add(`{"format":2,"splits":-1}`)
	f.Add(fmt.Sprintf(`{"format":2,"run_id":"r","splits":1,"digest_sum":"%s","digest":{}}`, runs.Digest{}.Sum()))
	f.Fuzz(func(t *testing.T, data string) {
		p, err := runs.ReadPlan(strings.NewReader(data))
		if err != nil {
			return
		}
		defer func() { _ = p.Splits.Close() }()
		var b strings.Builder
		if err := p.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := runs.ReadPlan(strings.NewReader(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = again.Splits.Close() }()
		if diff := cmp.Diff(p.Digest.Sum(), again.Digest.Sum()); diff != "" || p.Splits.Len() != again.Splits.Len() {
			t.Error(diff)
		}
	})
}

func TestStopLeavesTheReportOfATaskThatHasGivenUp(t *testing.T) {
	t.Parallel()
	store, folder := objects.NewLocal(), t.TempDir()
	one, other := begin(t, store, folder, plan(1)), begin(t, store, folder, plan(1))
	if err := one.Fail(t.Context(), "the model is at fault", pipeline.ErrorsConfig{}, []byte("why")); err != nil {
		t.Fatal(err)
	}
	if err := other.Stop(t.Context(), []byte("stopped")); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, folder); got["report.json"] != "why" || got["_FAILED"] != "the model is at fault\n" {
		t.Errorf("the folder holds %v", got)
	}
}
