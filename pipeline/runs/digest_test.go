package runs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func TestAnotherDigestNamesEachDifference(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*runs.Digest)
		words  []string
	}{
		"a value that may be shown": {func(d *runs.Digest) { d.Parts[0].Text = "p.Other" },
			[]string{"model.prediction_class was predictor.MyPredictor, is p.Other"}},
		"a value that may be a secret": {func(d *runs.Digest) {
			var other runs.Digest
			other.Hide("model.kwargs", `{"token":"swordfish"}`)
			d.Parts[1] = other.Parts[0]
		},
			[]string{"model.kwargs differ"}},
		"files": {func(d *runs.Digest) {
			d.Parts = d.Parts[:2]
			d.Add("model files", []runs.File{{Name: "weights.bin", Sum: "9"}, {Name: "b", Sum: ""}, {Name: "c", Sum: ""}, {Name: "d", Sum: ""}, {Name: "e", Sum: ""}})
		}, []string{"model files: 4 added (b, c, d, …), 1 changed (weights.bin), 1 gone (a.txt)"}},
		"a part more": {func(d *runs.Digest) { d.Show("sink.compression", "") }, []string{"sink.compression has been added"}},
		"a part less": {func(d *runs.Digest) { d.Parts = d.Parts[:2] }, []string{"model files has been taken away"}},
		"two things at once": {func(d *runs.Digest) { d.Parts[0].Text = ""; d.Show("x", "") },
			[]string{"is empty; ", "x has been added"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, folder := objects.NewLocal(), t.TempDir()
			begin(t, store, folder, plan(1))
			e := asError(t, beginError(t, planWith(1, tt.change).config(store, folder)),
				pipeline.FixConfig, append(tt.words, folder, "was begun by another job", "--overwrite")...)
			if strings.Contains(e, "swordfish") || strings.Contains(e, "hunter2") {
				t.Errorf("a secret is told: %s", e)
			}
			// What is not named may not differ.
			if got := strings.Count(e, "; ") + 1; got != max(1, len(tt.words)) {
				t.Errorf("%d differences in %q", got, e)
			}
		})
	}
}

func TestSecretsAreNotInThePlan(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	begin(t, objects.NewLocal(), folder, plan(1))
	data, err := os.ReadFile(filepath.Join(folder, "_cpr-batch/plan.jsonl"))
	if err != nil || strings.Contains(string(data), "hunter2") {
		t.Errorf("%v: %s", err, data)
	}
}

func TestDigestsOfOtherFieldsDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[string]string)
	for name, change := range map[string]func(*runs.Digest){
		"nothing":             func(*runs.Digest) {},
		"a part":              func(d *runs.Digest) { d.Show("a", "bc") },
		"a longer name":       func(d *runs.Digest) { d.Show("ab", "c") },
		"the same, hidden":    func(d *runs.Digest) { d.Hide("a", "bc") },
		"a file":              func(d *runs.Digest) { d.Add("a", []runs.File{{Name: "b", Sum: "c"}}) },
		"two files":           func(d *runs.Digest) { d.Add("a", []runs.File{{Name: "b"}, {Name: "c"}}) },
		"two parts of a file": func(d *runs.Digest) { d.Add("a", []runs.File{{Name: "b"}}); d.Show("", "") },
	} {
		sum := planWith(1, change).digest.Sum()
		if other, ok := seen[sum]; ok {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[sum] = name
		if again := planWith(1, change).digest.Sum(); again != sum {
			t.Errorf("%s: another digest each time", name)
		}
	}
}
