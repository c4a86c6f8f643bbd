package configs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
)

func writeAll(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o666)
}

func TestTheSmallestJobHasDefaultsForAllElse(t *testing.T) {
	t.Parallel()
	job := mustLoad(t, options(smallest))
	want := configs.Default()
	want.Name = "job"
	want.Model.Origin = "model/"
	want.Model.PackageURIs = []string{"code/"}
	want.Model.PredictionClass = "predictor.MyPredictor"
	got := *job
	source, sink := got.Source.JSONL, got.Sink.JSONL
	if diff := cmp.Diff([]any{want.Name, want.Timezone, want.Model, want.Python, want.Workers, want.Instance, want.Batch,
		want.Output, want.Errors, want.Limits, want.Expect, want.Checkpoint, want.Metrics},
		[]any{got.Name, got.Timezone, got.Model, got.Python, got.Workers, got.Instance, got.Batch,
			got.Output, got.Errors, got.Limits, got.Expect, got.Checkpoint, got.Metrics}); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
	if source == nil || cmp.Diff(source.URIs, []string{"instances.jsonl"}) != "" || source.SplitSize != 64<<20 || source.MaxLine != 16<<20 {
		t.Errorf("source = %+v", source)
	}
	if sink == nil || sink.URI != "out/" || sink.Compression != "none" || sink.Window.MaxInstances != 100000 ||
		sink.Window.MaxBytes != 128<<20 || sink.Window.MaxAge != time.Minute {
		t.Errorf("sink = %+v", sink)
	}
	if got.Source.Parquet != nil || got.Source.PubSub != nil || got.Source.BigQuery != nil || got.Sink.Parquet != nil || got.Sink.BigQuery != nil {
		t.Error("a source or sink is set that the file does not have")
	}
	if string(got.Text) != smallest {
		t.Errorf("text = %q", got.Text)
	}
	if wd, err := os.Getwd(); err != nil || got.Dir != wd {
		t.Errorf("dir = %q, want %q (%v)", got.Dir, wd, err)
	}
	if err := job.Unbuilt(); err != nil {
		t.Errorf("unbuilt: %v", err)
	}
}

func TestDefaultsAreTheSpecifiedOnes(t *testing.T) {
	t.Parallel()
	d := configs.Default()
	if d.Model.MaxSize != 10<<30 || d.Python.Interpreter != "python3" || d.Workers.LoadTimeout != 10*time.Minute ||
		d.Workers.PredictTimeout != 5*time.Minute || d.Batch.MaxBytes != 8<<20 || d.Batch.MaxLatency != 500*time.Millisecond ||
		d.Errors.MaxFailures != -1 || d.Errors.MaxFailureRatio != 0.01 || d.Errors.MinInstances != 1000 || d.Errors.Retries != 3 ||
		d.Checkpoint != 2*time.Minute || d.Timezone != "UTC" || d.Output.NonFinite != "error" || d.Instance.As != "json" {
		t.Errorf("defaults = %+v", d)
	}
}

func TestValuesAreRead(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		yaml string
		get  func(*configs.Job) any
		want any
	}{
		"a number of instances":            {"batch: {size: 100}", func(j *configs.Job) any { return j.Batch.Size }, pipeline.Count(100)},
		"auto":                             {"batch: {size: auto}", func(j *configs.Job) any { return j.Batch.Size }, pipeline.Count(0)},
		"a hexadecimal number":             {"batch: {size: 0x10}", func(j *configs.Job) any { return j.Batch.Size }, pipeline.Count(16)},
		"a leading zero is decimal":        {"batch: {size: 010}", func(j *configs.Job) any { return j.Batch.Size }, pipeline.Count(10)},
		"a size with a binary unit":        {"batch: {max_bytes: 3MiB}", func(j *configs.Job) any { return j.Batch.MaxBytes }, pipeline.Bytes(3 << 20)},
		"a size with a decimal unit":       {"batch: {max_bytes: 1.5 MB}", func(j *configs.Job) any { return j.Batch.MaxBytes }, pipeline.Bytes(1500000)},
		"a size in bytes":                  {"batch: {max_bytes: 4096}", func(j *configs.Job) any { return j.Batch.MaxBytes }, pipeline.Bytes(4096)},
		"a duration":                       {"workers: {load_timeout: 1h30m}", func(j *configs.Job) any { return j.Workers.LoadTimeout }, 90 * time.Minute},
		"true":                             {"model: {decode_b64: true}", func(j *configs.Job) any { return j.Model.DecodeB64 }, true},
		"a whole number for a ratio":       {"errors: {max_failure_ratio: 1}", func(j *configs.Job) any { return j.Errors.MaxFailureRatio }, 1.0},
		"a ratio":                          {"errors: {max_failure_ratio: 1e-3}", func(j *configs.Job) any { return j.Errors.MaxFailureRatio }, 0.001},
		"no limit":                         {"errors: {max_failures: -1}", func(j *configs.Job) any { return j.Errors.MaxFailures }, int64(-1)},
		"null as the word":                 {"output: {non_finite: null}", func(j *configs.Job) any { return j.Output.NonFinite }, "null"},
		"no echo":                          {"output: {instance: none}", func(j *configs.Job) any { return j.Output.Instance }, pipeline.Echo{None: true}},
		"echoed fields":                    {"output: {instance: [id, name]}", func(j *configs.Job) any { return j.Output.Instance }, pipeline.Echo{Fields: []string{"id", "name"}}},
		"the whole echo":                   {"output: {instance: full}", func(j *configs.Job) any { return j.Output.Instance }, pipeline.Echo{}},
		"yes is text":                      {"python: {env: {A: yes, B: no}}", func(j *configs.Job) any { return j.Python.Env }, map[string]string{"A": "yes", "B": "no"}},
		"numbers of variables, as written": {"python: {env: {A: 1.10, B: 007}}", func(j *configs.Job) any { return j.Python.Env }, map[string]string{"A": "1.10", "B": "007"}},
		"an empty text of a variable":      {`python: {env: {A: "", B: }}`, func(j *configs.Job) any { return j.Python.Env }, map[string]string{"A": ""}},
		"requirements in a file":           {"python: {requirements: requirements.txt}", func(j *configs.Job) any { return j.Python.Requirements.File }, "requirements.txt"},
		"requirements in a list":           {"python: {requirements: [numpy, scipy==1]}", func(j *configs.Job) any { return j.Python.Requirements.Lines }, []string{"numpy", "scipy==1"}},
		"exceptions":                       {"errors: {retry_on: [TimeoutError, requests.exceptions.Timeout]}", func(j *configs.Job) any { return j.Errors.RetryOn }, []string{"TimeoutError", "requests.exceptions.Timeout"}},
		"an empty value is absent":         {"batch: {max_bytes: }", func(j *configs.Job) any { return j.Batch.MaxBytes }, pipeline.Bytes(8 << 20)},
		"an empty text is absent":          {`python: {interpreter: ""}`, func(j *configs.Job) any { return j.Python.Interpreter }, "python3"},
		"an empty section is absent":       {"batch:", func(j *configs.Job) any { return j.Batch.MaxBytes }, pipeline.Bytes(8 << 20)},
		"a tilde is absent":                {"workers: {count: ~}", func(j *configs.Job) any { return j.Workers.Count }, pipeline.Count(0)},
		"workers without a GPU":            {"workers: {gpus: none}", func(j *configs.Job) any { return j.Workers.GPUs }, "none"},
		"a name":                           {"name: churn-nightly", func(j *configs.Job) any { return j.Name }, "churn-nightly"},
		"a stream's window, unused":        {"batch: {max_latency: 2s}", func(j *configs.Job) any { return j.Batch.MaxLatency }, 2 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "model: &m {prediction_class: p.P}\n" + rest
			if after, ok := strings.CutPrefix(test.yaml, "model: {"); ok {
				text = "model: {prediction_class: p.P, " + after + "\n" + rest
			} else {
				text += test.yaml + "\n"
			}
			job := mustLoad(t, options(text))
			if diff := cmp.Diff(test.want, test.get(job)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// rest is a job file but for its model.
const rest = "source: {jsonl: {uris: [in.jsonl]}}\nsink: {jsonl: {uri: out}}\n"

func TestFormsOfTheFile(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"a byte order mark":          "\ufeff" + smallest,
		"CRLF":                       strings.ReplaceAll(smallest, "\n", "\r\n"),
		"a document's begin and end": "%YAML 1.2\n---\n" + smallest + "...\n",
		"an empty second source":     strings.Replace(smallest, "{jsonl: {uris", "{parquet: , jsonl: {uris", 1),
		"JSON": `{"model": {"origin": "model\/", "package_uris": ["code/"], "prediction_class": "predictor.MyPredictor"},` +
			"\n\t\"source\":{\"jsonl\":{\"uris\":[\"instances.jsonl\"]}},\n\t\"sink\": {\"jsonl\": {\"uri\": \"out/\"}}}",
		"anchors and aliases": "x: &x code/\n" + smallest,
		"merge keys": "model: {<<: {origin: model/, prediction_class: other.One}, package_uris: [code/], prediction_class: predictor.MyPredictor}\n" +
			"source: {jsonl: {<<: [{uris: [instances.jsonl]}, {uris: [not.this]}]}}\nsink: {jsonl: {uri: out/}}\n",
		"aliases": "model: {origin: &m model/, package_uris: [&c code/], prediction_class: predictor.MyPredictor}\n" +
			"source: &s {jsonl: {uris: [instances.jsonl]}}\nsink: {jsonl: {uri: out/}}\nname: \ntimezone: &u UTC\n",
	}
	tests["anchors and aliases"] = strings.Replace(smallest, "origin: model/, package_uris: [code/]", "origin: model/, package_uris: &x [code/]", 1) +
		"instance: {included_fields: *x}\n"
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := mustLoad(t, options(text))
			m := job.Model
			if m.Origin != "model/" || m.PredictionClass != "predictor.MyPredictor" || len(m.PackageURIs) != 1 || m.PackageURIs[0] != "code/" {
				t.Errorf("model = %+v", m)
			}
			if job.Source.JSONL.URIs[0] != "instances.jsonl" || job.Sink.JSONL.URI != "out/" {
				t.Errorf("source = %+v, sink = %+v", job.Source.JSONL, job.Sink.JSONL)
			}
		})
	}
}

func TestJSONHasPairsOfSurrogates(t *testing.T) {
	t.Parallel()
	text := `{"model": {"prediction_class": "p.P", "kwargs": {"a": "\ud83d\ude00\\ud83d", "b": "x` + "\u2028" + `y"}},
	"source": {"jsonl": {"uris": ["in.jsonl"]}}, "sink": {"jsonl": {"uri": "out"}}}`
	job := mustLoad(t, options(text))
	if got, want := string(job.Model.Kwargs), `{"a":"😀\\ud83d","b":"x\u2028y"}`; got != want {
		t.Errorf("kwargs = %s, want %s", got, want)
	}
}

func TestJSONHasCharactersThatYAMLHasNot(t *testing.T) {
	t.Parallel()
	text := "{\"model\": {\"prediction_class\": \"p.P\", \"kwargs\": {\"a\": \"\u007f\u0085\u0090\ufeff\uffff\\u0001\"}}," +
		"\"source\": {\"jsonl\": {\"uris\": [\"in.jsonl\"]}}, \"sink\": {\"jsonl\": {\"uri\": \"out\"}}}"
	job := mustLoad(t, options(text))
	if got, want := string(job.Model.Kwargs), "{\"a\":\"\u007f\u0085\u0090\ufeff\uffff\\u0001\"}"; got != want {
		t.Errorf("kwargs = %q, want %q", got, want)
	}
}

func TestFolderAndNameComeFromThePath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for file, want := range map[string]string{
		"churn.yaml": "churn", "Churn Nightly_2.yml": "churn-nightly-2", "é.yaml": "job", ".yaml": "job", "a.b.json": "a-b",
	} {
		o := options("")
		o.Path = writeFile(t, dir, file, smallest)
		job := mustLoad(t, o)
		if job.Name != want || job.Dir != dir || job.Path != o.Path {
			t.Errorf("%s: name %q, dir %q, path %q", file, job.Name, job.Dir, job.Path)
		}
	}
}

func TestFilesThatCanNotBeRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path string
		is   error
	}{
		"a file that is not there": {filepath.Join(t.TempDir(), "none.yaml"), fs.ErrNotExist},
		"a folder":                 {t.TempDir(), nil},
		"an object":                {"gs://bucket/job.yaml", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options("")
			o.Path = test.path
			_, err := configs.Load(t.Context(), o)
			var e *pipeline.Error
			if !errors.As(err, &e) || e.Remedy != pipeline.FixConfig || !strings.Contains(err.Error(), test.path) {
				t.Fatalf("error = %v", err)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("error %v is not %v", err, test.is)
			}
		})
	}
}

func TestSetGoesOverTheFile(t *testing.T) {
	t.Parallel()
	o := options(smallest + "batch: {size: 5}\nerrors:\n")
	o.Set = []string{
		"batch.size=100", "workers.predict_timeout=30s", "model.kwargs={n: 1.50}", "model.kwargs.m=[1, x]",
		"errors.retries=0", "name=${WHO}", "output.instance=[id]", "source.jsonl.uris=[a.jsonl, b.jsonl]", "batch.size=7", "model.origin=",
	}
	o.Vars = map[string]string{"WHO": "me"}
	job := mustLoad(t, o)
	got := []any{job.Batch.Size, job.Workers.PredictTimeout, string(job.Model.Kwargs), job.Errors.Retries, job.Name, job.Output.Instance.Fields, job.Source.JSONL.URIs, job.Model.Origin}
	want := []any{pipeline.Count(7), 30 * time.Second, `{"n":1.50,"m":[1,"x"]}`, 0, "me", []string{"id"}, []string{"a.jsonl", "b.jsonl"}, ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
