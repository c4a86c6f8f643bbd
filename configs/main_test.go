package configs_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// smallest is the smallest job file there is.
const smallest = `model: {origin: model/, package_uris: [code/], prediction_class: predictor.MyPredictor}
source: {jsonl: {uris: [instances.jsonl]}}
sink: {jsonl: {uri: out/}}
`

// options load text as standard input, with nothing in the environment, at noon.
func options(text string) configs.Options {
	return configs.Options{
		Path: "-", Stdin: strings.NewReader(text), LookupEnv: environment(nil),
		Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Memory: 4 << 30,
	}
}

func environment(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func mustLoad(t *testing.T, o configs.Options) *configs.Job {
	t.Helper()
	job, err := configs.Load(t.Context(), o)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return job
}

// problemsOf loads a job file that is wrong, and returns its problems as lines without the
// file's name.
func problemsOf(t *testing.T, o configs.Options) []string {
	t.Helper()
	job, err := configs.Load(t.Context(), o)
	if err == nil {
		t.Fatalf("loaded %+v; want problems", job)
	}
	var p configs.Problems
	if !errors.As(err, &p) {
		t.Fatalf("error %v holds no Problems", err)
	}
	var e *pipeline.Error
	if !errors.As(err, &e) || e.Remedy != pipeline.FixConfig || e.Phase != pipeline.PhaseConfigure {
		t.Fatalf("error %#v is none of the configuration", err)
	}
	var lines []string
	for line := range strings.SplitSeq(p.Error(), "\n") {
		lines = append(lines, strings.TrimPrefix(line, "standard input:"))
	}
	return lines
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := writeAll(path, text); err != nil {
		t.Fatal(err)
	}
	return path
}
