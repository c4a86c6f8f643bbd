package configs_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/cpr-batch/cpr-batch/configs"
)

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := configs.Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("job.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("job.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// check holds a job file, as YAML, against the schema.
func check(t *testing.T, schema *jsonschema.Schema, text string) error {
	t.Helper()
	var value map[string]any
	if err := yaml.Load([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(doc)
}

func TestTheSchemaAcceptsGoodJobFiles(t *testing.T) {
	t.Parallel()
	schema := compile(t)
	good := map[string]string{
		"the smallest":        smallest,
		"empty values":        smallest + "name:\nbatch: {size: , max_bytes: \"\"}\nworkers:\nerrors: {retry_on: }\n",
		"an empty source":     "model: {prediction_class: p.P}\nsource: {jsonl: {uris: [a]}, parquet: }\nsink: {jsonl: {uri: out}}\n",
		"replaced values":     head + "batch: {size: \"${N}\", max_bytes: \"${N}MiB\"}\nworkers: {load_timeout: \"${D}\", start: \"${S}\"}\nerrors: {max_failure_ratio: \"${R}\"}\noutput: {message: [\"${M}\"]}\n",
		"numbers":             head + "batch: {size: 5, max_bytes: 4096}\nerrors: {max_failure_ratio: 1, max_failures: -1}\npython: {env: {A: 1, B: x}}\n",
		"other forms":         head + "batch: {size: auto}\noutput: {instance: [a]}\npython: {requirements: [numpy]}\nworkers: {load_timeout: 1h30m}\n",
		"the word null":       head + "output: {non_finite: null}\n",
		"kwargs of any shape": "model: {prediction_class: p.P, kwargs: {a: [1, {b: null}]}}\n" + rest,
		"parquet to BigQuery": "model: {prediction_class: p.P}\nsource: {parquet: {uris: [a]}}\nsink: {bigquery: {table: a.b.c, uri: out, labels: {a: b}}}\n",
	}
	for path, text := range exampleFiles(t) {
		good[path] = text
	}
	for name, text := range good {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := check(t, schema, text); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

// exampleFiles reads the job files that come with the program.
func exampleFiles(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, root := range []string{"examples", "template"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || entry.Name() != "job.yaml" {
				return err
			}
			text, err := os.ReadFile(path)
			files[path] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(files) == 0 {
		t.Error("no job file comes with the program")
	}
	return files
}

func TestExamplesLoad(t *testing.T) {
	t.Parallel()
	for path := range exampleFiles(t) {
		o := options("")
		o.Path = path
		mustLoad(t, o)
	}
}

func TestTheSchemaRefusesWhatLoadRefuses(t *testing.T) {
	t.Parallel()
	schema := compile(t)
	for name, text := range map[string]string{
		"nothing":                   "{}",
		"no source":                 "model: {prediction_class: p.P}\nsink: {jsonl: {uri: out}}\n",
		"two sources":               "model: {prediction_class: p.P}\nsource: {jsonl: {uris: [a]}, parquet: {uris: [a]}}\nsink: {jsonl: {uri: out}}\n",
		"an empty source":           "model: {prediction_class: p.P}\nsource: {jsonl: }\nsink: {jsonl: {uri: out}}\n",
		"no class":                  "model: {origin: m}\n" + rest,
		"no URI":                    "model: {prediction_class: p.P}\nsource: {jsonl: {uris: []}}\nsink: {jsonl: {uri: out}}\n",
		"an unknown key":            head + "workers: {cuont: 3}\n",
		"an unknown section":        head + "wrokers: {count: 3}\n",
		"a word":                    head + "workers: {start: frok}\n",
		"a size":                    head + "batch: {max_bytes: 5 apples}\n",
		"a fraction of an instance": head + "batch: {size: 1.5}\n",
		"a duration without a unit": head + "workers: {load_timeout: 600}\n",
		"yes for true":              "model: {prediction_class: p.P, decode_b64: 'yes'}\n" + rest,
		"a ratio":                   head + "errors: {max_failure_ratio: 2}\n",
		"a number below":            head + "errors: {max_failures: -2}\n",
		"a text for a list":         head + "errors: {retry_on: A}\n",
		"a name of kwargs":          "model: {prediction_class: p.P, kwargs: {self: 1}}\n" + rest,
		"a switch for a variable":   head + "python: {env: {A: true}}\n",
		"no echoed field":           head + "output: {instance: []}\n",
		"a message's part":          head + "output: {message: [id]}\n",
		"a number for a text":       head + "metrics: {listen: 5}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := check(t, schema, text); err == nil {
				t.Error("the schema accepts it")
			}
			problemsOf(t, options(text))
		})
	}
}

func TestTheSchemaExplainsKeys(t *testing.T) {
	t.Parallel()
	text, err := configs.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Schema     string `json:"$schema"`
		Properties struct {
			Batch struct {
				AnyOf []struct {
					Properties map[string]struct {
						Description string
						Default     any
					}
				} `json:"anyOf"`
			}
		}
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Schema != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema = %s", schema.Schema)
	}
	size := schema.Properties.Batch.AnyOf[0].Properties["max_bytes"]
	if size.Default != "8MiB" || !strings.HasPrefix(size.Description, "Bytes of instance text") {
		t.Errorf("batch.max_bytes = %+v", size)
	}
}
