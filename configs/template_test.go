package configs_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/configs"
)

// driver calls the Predictor of a folder as a worker would and prints its predictions.
const driver = `
import json, sys
sys.dont_write_bytecode = True
sys.path.append("code")
from predictor import MyPredictor
instances = [json.loads(line) for line in open("instances.jsonl", encoding="utf-8")]
for prediction in MyPredictor.from_path("model").predict(instances):
    print(json.dumps(prediction))
`

func TestTemplateIsWrittenInto(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{
		"a folder that is not there yet":   filepath.Join(t.TempDir(), "jobs", "first"),
		"a folder that is there and empty": t.TempDir(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := configs.WriteTemplate(dir); err != nil {
				t.Fatal(err)
			}
			want := []string{"code/predictor.py", "instances.jsonl", "job.yaml", "model/weights.json"}
			if diff := cmp.Diff(want, filesBelow(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTemplatePredictorAnswersTenInstances(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := configs.WriteTemplate(dir); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", driver)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run the Predictor: %v", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != 10 || lines[0] != `{"price": 279800}` || lines[9] != `{"price": 696750}` {
		t.Errorf("predictions: %q", lines)
	}
}

func TestTemplateRefusesAFolderThatHoldsAnything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".hidden"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := configs.WriteTemplate(dir); !errors.Is(err, configs.ErrNotEmpty) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want ErrNotEmpty with the folder's name", err)
	}
	if diff := cmp.Diff([]string{".hidden"}, filesBelow(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestTemplateRefusesAFileInTheFoldersPlace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "job")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := configs.WriteTemplate(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names %s", err, file)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "mine" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

// filesBelow lists the files below dir, by their slash-separated names.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
