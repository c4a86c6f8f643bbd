package runs_test

import (
	"encoding/json"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
)

// processOf is what the process of a run has left, changed.
func processOf(t *testing.T, change func(map[string]any)) []byte {
	t.Helper()
	store := memtest.New()
	run := begin(t, store, output, plan(1))
	data, ok := store.Content(run.Work("process.json"))
	if !ok {
		t.Fatal("no process.json")
	}
	fields := make(map[string]any)
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	change(fields)
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAProcessThatIsGoneHoldsNothingUp(t *testing.T) {
	t.Parallel()
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(map[string]any)
		gone   bool
	}{
		"this process":                    {func(map[string]any) {}, false},
		"a process that is gone":          {func(p map[string]any) { p["pid"] = ended.Process.Pid }, true},
		"an earlier one of the same PID":  {func(p map[string]any) { p["start"] = "1" }, true},
		"one that does not say its start": {func(p map[string]any) { delete(p, "start") }, false},
		"one of another machine":          {func(p map[string]any) { p["space"] = "x"; p["pid"] = ended.Process.Pid }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := processOf(t, tt.change)
			synctest.Test(t, func(t *testing.T) {
				store := memtest.New()
				store.Put(output+"/_cpr-batch/removals/0.json", data)
				store.Put(output+"/_cpr-batch/work/other/process.json", data)
				store.Put(output+"/_cpr-batch/work/other/last-predictions-00000-of-00001.jsonl", []byte("half"))
				begun := time.Now()
				begin(t, store, output, plan(1))
				if waited := time.Since(begun) > 0; waited == tt.gone {
					t.Errorf("it waited: %v", waited)
				}
				for _, file := range []string{"process.json", "last-predictions-00000-of-00001.jsonl"} {
					if _, there := store.Content(output + "/_cpr-batch/work/other/" + file); there == tt.gone {
						t.Errorf("its %s is there: %v", file, there)
					}
				}
			})
		})
	}
}
