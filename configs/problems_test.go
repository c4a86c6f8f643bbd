package configs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// head is a job file's first three lines, with nothing wrong in them.
const head = "model: {prediction_class: p.P}\n" + rest

func TestEveryProblemIsTold(t *testing.T) {
	t.Parallel()
	const (
		aSize     = "write a size with its unit: 64MiB, 10GB (KiB MiB GiB TiB, KB MB GB TB)"
		aDuration = "write a duration with its unit: 90s, 10m, 1h30m, 500ms"
		aCount    = "write auto, or a whole number of 1 or more"
		aClass    = "write a module and a class in it: predictor.MyPredictor"
		aScheme   = "the scheme is not known: write gs://bucket/name, or a path without a scheme"
	)
	tests := map[string]struct {
		text string // behind head, or a whole file where it has `model:`
		want []string
	}{
		"a misspelt key":                    {"workers: {cuont: 3}", []string{"4:11: workers.cuont: unknown key; did you mean workers.count?"}},
		"a misspelt section":                {"wrokers: {count: 3}", []string{"4:1: wrokers: unknown key; did you mean workers?"}},
		"a key with hyphens":                {"workers: {predict-timeout: 3m}", []string{"4:11: workers.predict-timeout: unknown key; did you mean workers.predict_timeout?"}},
		"a key of another section":          {"predict_timeout: 3m", []string{"4:1: predict_timeout: unknown key; did you mean workers.predict_timeout?"}},
		"a key of two other sections":       {"output: {columns: [a]}", []string{"4:10: output.columns: unknown key; did you mean source.parquet.columns?"}},
		"a misspelt key of another section": {"instance: {exculde_fields: [a]}", []string{"4:12: instance.exculde_fields: unknown key; did you mean instance.excluded_fields?"}},
		"a key like none":                   {"zzzzzzzz: 1", []string{"4:1: zzzzzzzz: unknown key"}},
		"a key that can not be printed":     {"\"a\\nb\\x07\": 1", []string{`4:1: a\nb\a: unknown key`}},
		"a doubled key":                     {"batch: {size: 1}\nname: x\nbatch: {size: 2}", []string{"6:1: batch: the key is there twice, first on line 4"}},
		"a doubled key below":               {"batch:\n  size: 1\n  size: 2", []string{"6:3: batch.size: the key is there twice, first on line 5"}},
		"a doubled key in kwargs":           {"model: {prediction_class: p.P, kwargs: {a: {b: 1, b: 2}}}\n" + rest, []string{"1:51: model.kwargs.a.b: the key is there twice, first on line 1"}},
		"a fraction for a whole number":     {"workers: {concurrency: 1.5}", []string{"4:24: workers.concurrency: 1.5: is a number: write a whole number"}},
		"a text for a whole number":         {"errors: {retries: many}", []string{`4:19: errors.retries: "many": is text: write a whole number`}},
		"a number over what fits":           {"errors: {max_failures: 99999999999999999999}", []string{"4:24: errors.max_failures: 99999999999999999999: is a number: write a whole number"}},
		"yes for true":                      {"model: {prediction_class: p.P, decode_b64: yes}\n" + rest, []string{`1:44: model.decode_b64: "yes": is text: write true or false`}},
		"a number for a text":               {"model: {prediction_class: p.P, origin: 7}\n" + rest, []string{`1:40: model.origin: 7: is a number: write a text: "7"`}},
		"a switch for a variable":           {"python: {env: {A: true}}", []string{`4:19: python.env.A: true: is true or false: write a text: "true"`}},
		"a list for a text":                 {"name: [a]", []string{"4:7: name: a list: write a text"}},
		"a text for a list":                 {"errors: {retry_on: TimeoutError}", []string{`4:20: errors.retry_on: "TimeoutError": is text: write a list: [TimeoutError]`}},
		"an empty item":                     {"errors: {retry_on: [A, \"\"]}", []string{`4:24: errors.retry_on[1]: "": is empty`}},
		"a text for a section":              {"batch: 12", []string{"4:8: batch: 12: is a number: write its keys below it"}},
		"a text for a source":               {"model: {prediction_class: p.P}\nsource: {jsonl: in.jsonl}\nsink: {jsonl: {uri: out}}", []string{`2:17: source.jsonl: "in.jsonl": is text: write its keys below it`}},
		"a size without meaning":            {"batch: {max_bytes: 10 apples}", []string{`4:20: batch.max_bytes: "10 apples": ` + aSize}},
		"a fraction of bytes":               {"batch: {max_bytes: 1.5}", []string{"4:20: batch.max_bytes: 1.5: " + aSize}},
		"a negative size":                   {"batch: {max_bytes: -5MiB}", []string{`4:20: batch.max_bytes: "-5MiB": ` + aSize}},
		"a size of nothing":                 {"batch: {max_bytes: 0}", []string{"4:20: batch.max_bytes: 0: write more than 0"}},
		"a duration without a unit":         {"workers: {load_timeout: 600}", []string{"4:25: workers.load_timeout: 600: write a duration with its unit: 600s, 10m, 1h30m, 500ms"}},
		"a duration without meaning":        {"workers: {load_timeout: soon}", []string{`4:25: workers.load_timeout: "soon": ` + aDuration}},
		"a negative duration":               {"workers: {load_timeout: -5m}", []string{`4:25: workers.load_timeout: "-5m": write more than 0`}},
		"no time at all":                    {"workers: {predict_timeout: 0s}", []string{`4:28: workers.predict_timeout: "0s": write more than 0`}},
		"no workers":                        {"workers: {count: 0}", []string{"4:18: workers.count: 0: " + aCount}},
		"a fraction of a worker":            {"workers: {count: 1.5}", []string{"4:18: workers.count: 1.5: " + aCount}},
		"a word that is not allowed":        {"workers: {start: spwan}", []string{`4:18: workers.start: "spwan": write auto, spawn or fork; did you mean spawn?`}},
		"a word like none":                  {"output: {non_finite: ignore}", []string{`4:22: output.non_finite: "ignore": write error, null or string`}},
		"an encoding":                       {"workers: {encoding: pickle}", []string{`4:21: workers.encoding: "pickle": write auto or json`}},
		"a ratio over one":                  {"errors: {max_failure_ratio: 1.01}", []string{"4:29: errors.max_failure_ratio: 1.01: write from 0 to 1"}},
		"a ratio in percent":                {"errors: {max_failure_ratio: 5%}", []string{`4:29: errors.max_failure_ratio: "5%": is text: write a number`}},
		"an infinite ratio":                 {"errors: {max_failure_ratio: .inf}", []string{"4:29: errors.max_failure_ratio: .inf: write a finite number"}},
		"fewer failures than no limit":      {"errors: {max_failures: -2}", []string{"4:24: errors.max_failures: -2: write -1 or more"}},
		"negative retries":                  {"errors: {retries: -1}", []string{"4:19: errors.retries: -1: write 0 or more"}},
		"a name that is no exception":       {"errors: {retry_on: [requests.Timeout(), 5xx]}", []string{`4:21: errors.retry_on[0]: "requests.Timeout()": write an exception as Python names it: TimeoutError, requests.exceptions.Timeout`, `4:41: errors.retry_on[1]: "5xx": write an exception as Python names it: TimeoutError, requests.exceptions.Timeout`}},
		"a name with capitals":              {"name: Churn Nightly", []string{`4:7: name: "Churn Nightly": write small letters, digits and - only: churn-nightly`}},
		"a time zone that is not there":     {"timezone: Mars/Base", []string{`4:11: timezone: "Mars/Base": no such time zone: write UTC, or a name like Europe/Berlin`}},
		"this machine's time zone":          {"timezone: Local", []string{`4:11: timezone: "Local": no such time zone: write UTC, or a name like Europe/Berlin`}},
		"a class without a module":          {"model: {prediction_class: Predictor}\n" + rest, []string{`1:27: model.prediction_class: "Predictor": ` + aClass}},
		"a class in a file":                 {"model: {prediction_class: code/predictor.py}\n" + rest, []string{`1:27: model.prediction_class: "code/predictor.py": ` + aClass}},
		"another scheme":                    {"model: {prediction_class: p.P, origin: \"s3://b/m\", package_uris: [\"https://x/y.tar.gz\"]}\n" + rest, []string{`1:40: model.origin: "s3://b/m": ` + aScheme, `1:67: model.package_uris[0]: "https://x/y.tar.gz": ` + aScheme}},
		"a scheme in capitals, no bucket":   {"model: {prediction_class: p.P, origin: GS://b/m, package_uris: [\"gs:///x\"]}\n" + rest, []string{`1:40: model.origin: "GS://b/m": ` + aScheme, `1:65: model.package_uris[0]: "gs:///x": ` + aScheme}},
		"a file's own scheme":               {"python: {requirements: file:///r.txt}", []string{`4:24: python.requirements: "file:///r.txt": ` + aScheme}},
		"included and excluded fields":      {"instance: {included_fields: [a], excluded_fields: [b]}", []string{"4:34: instance.excluded_fields: included_fields is there too: one of them, not both"}},
		"a field twice":                     {"instance: {included_fields: [a, a]}", []string{`4:33: instance.included_fields[1]: "a": the field is there twice`}},
		"a key that is shown":               {"instance: {key_field: id, included_fields: [id]}", []string{`4:23: instance.key_field: "id": is in included_fields too, but the Predictor does not see the key`}},
		"an instance type":                  {"instance: {instance_type: list}", []string{`4:27: instance.instance_type: "list": write object or array`}},
		"no echoed field":                   {"output: {instance: []}", []string{"4:20: output.instance: a list: the list is empty: write full, none, or a list of fields"}},
		"an echo":                           {"output: {instance: some}", []string{`4:20: output.instance: "some": write full, none, or a list of fields`}},
		"names of variables":                {"python: {env: {CPR_BATCH_X: a, A-B: c}}", []string{"4:16: python.env.CPR_BATCH_X: names that begin with CPR_BATCH_ are the program's own", "4:32: python.env.A-B: is no name of a variable: letters, digits and _, not beginning with a digit"}},
		"a NUL character":                   {"python: {env: {A: \"a\\0b\"}}", []string{`4:19: python.env.A: "a\x00b": no text here may have a NUL character`}},
		"an address":                        {"metrics: {listen: everywhere}", []string{`4:19: metrics.listen: "everywhere": write host:port: localhost:9090, or :9090`}},
		"max_bytes over memory":             {"batch: {max_bytes: 5GiB}", []string{`4:20: batch.max_bytes: "5GiB": is more than the memory there is, 4096 MiB`}},
		"max_line over memory":              {"model: {prediction_class: p.P}\nsource: {jsonl: {uris: [a], max_line: 5TB}}\nsink: {jsonl: {uri: out}}", []string{`2:39: source.jsonl.max_line: "5TB": is more than the memory there is, 4096 MiB`}},
		"no URI":                            {"model: {prediction_class: p.P}\nsource: {jsonl: {uris: []}}\nsink: {jsonl: {uri: out}}", []string{"2:18: source.jsonl.uris: the list is empty"}},
		"no keys of source and sink":        {"model: {prediction_class: p.P}\nsource: {jsonl: {}}\nsink: {jsonl: {}}", []string{"2:10: source.jsonl.uris: is missing: write where the instances are, [instances.jsonl]", "3:8: sink.jsonl.uri: is missing: write a folder for the output, out/"}},
		"an empty source":                   {"model: {prediction_class: p.P}\nsource: {jsonl: }\nsink:", []string{"1:1: sink: is missing: write one of jsonl, parquet or bigquery", "2:1: source: is missing: write one of jsonl, parquet, pubsub or bigquery"}},
		"a misspelt source":                 {"model: {prediction_class: p.P}\nsource: {json: {uris: [a]}}\nsink: {jsonl: {uri: out}}", []string{"2:10: source.json: unknown key; did you mean source.jsonl?"}},
		"a source like none":                {"model: {prediction_class: p.P}\nsource: {kafka: {uris: [a]}}\nsink: {jsonl: {uri: out}}", []string{"2:10: source.kafka: unknown key"}},
		"a misspelt class key":              {"model: {predicton_class: p.P}\n" + rest, []string{"1:9: model.predicton_class: unknown key; did you mean model.prediction_class?"}},
		"no model":                          {"model:\n" + rest, []string{"1:1: model.prediction_class: is missing: write the Predictor's module and class, predictor.MyPredictor"}},
		"no class":                          {"name: x\nmodel: {origin: m}\n" + rest, []string{"2:1: model.prediction_class: is missing: write the Predictor's module and class, predictor.MyPredictor"}},
		"names of kwargs":                   {"model: {prediction_class: p.P, kwargs: {self: 1, instances: 2, 3: x}}\n" + rest, []string{"1:41: model.kwargs.self: predict has an argument of that name already: take another one", "1:50: model.kwargs.instances: predict has an argument of that name already: take another one", "1:64: model.kwargs.3: a key of an object is text: write it in quotes"}},
		"numbers that JSON has not":         {"model: {prediction_class: p.P, kwargs: {a: .nan, b: [-.inf]}}\n" + rest, []string{"1:44: model.kwargs.a: .nan: JSON has no such number: write it as a text, or leave it out", "1:54: model.kwargs.b: -.inf: JSON has no such number: write it as a text, or leave it out"}},
		"a list of kwargs":                  {"model: {prediction_class: p.P, kwargs: [a]}\n" + rest, []string{"1:40: model.kwargs: a list: write names and values below it"}},
		"a tag":                             {"name: !python/object x", []string{"4:7: name: !python/object: no such type in a job file: leave the tag out"}},
		"a tag with a line feed":            {"name: !a%0Ab x", []string{`4:7: name: "!a\nb": no such type in a job file: leave the tag out`}},
		"a tag that is not true":            {"batch: {size: !!int x}", []string{`4:15: batch.size: "x": is not of the type that its tag !!int says`}},
		"a merge key without a mapping":     {"batch: {<<: [1]}", []string{"4:13: batch.<<: 1: write a mapping, or a list of mappings"}},
		"an alias in its own anchor":        {"errors: {retry_on: &a [*a]}", []string{"4:20: errors.retry_on[0]: a list: write a text", "4:24: errors.retry_on[0][0]: *a: an alias inside its own anchor has no end"}},
		"a key that is a list":              {"? [a]\n: b", []string{"4:3: a key must be text"}},
		"an unset name":                     {"python: {interpreter: \"${NOT_SET}\"}", []string{`4:23: python.interpreter: "${NOT_SET}": ${NOT_SET} is not set: give --var NOT_SET=VALUE, or set it in the environment`}},
		"names that are not set, in one value": {"python: {interpreter: \"${NOT_SET}/x/${NOR_THIS}/${A:-b}\"}", []string{
			`4:23: python.interpreter: "${NOT_SET}/x/${NOR_THIS}/${A:-b}": ${NOT_SET} is not set: give --var NOT_SET=VALUE, or set it in the environment`,
			`4:23: python.interpreter: "${NOT_SET}/x/${NOR_THIS}/${A:-b}": ${NOR_THIS} is not set: give --var NOR_THIS=VALUE, or set it in the environment`,
			`4:23: python.interpreter: "${NOT_SET}/x/${NOR_THIS}/${A:-b}": ${A:-b} is no name: write ${NAME} with letters, digits and _; $${ stands for ${ itself`,
		}},
		"a URI that is a mapping":               {"model: {prediction_class: p.P}\nsource: {jsonl: {uris: [a: b]}}\nsink: {jsonl: {uri: out}}", []string{"2:25: source.jsonl.uris[0]: a mapping: write a text"}},
		"what is no name":                       {"python: {interpreter: \"${A:-b}\"}", []string{`4:23: python.interpreter: "${A:-b}": ${A:-b} is no name: write ${NAME} with letters, digits and _; $${ stands for ${ itself`}},
		"an open brace":                         {"python: {interpreter: \"x${A\"}", []string{`4:23: python.interpreter: "x${A": ${ without its }; $${ stands for ${ itself`}},
		"a date by the hour":                    {"python: {interpreter: \"${date-1h}\"}", []string{`4:23: python.interpreter: "${date-1h}": ${date-1h} is no form of the date: write ${date}, ${date-1d}, ${date:%Y/%m/%d} or ${date-1d:%Y/%m/%d}`}},
		"a date's format":                       {"python: {interpreter: \"${date:%Q}\"}", []string{`4:23: python.interpreter: "${date:%Q}": %Q in ${date:…} is not known: there are %Y %y %m %d %j %H %M %S %%`}},
		"a date's format, cut":                  {"python: {interpreter: \"${date:%}\"}", []string{`4:23: python.interpreter: "${date:%}": % in ${date:…} is not known: there are %Y %y %m %d %j %H %M %S %%`}},
		"a date without a format":               {"python: {interpreter: \"${date:}\"}", []string{`4:23: python.interpreter: "${date:}": ${date:} has no format: write ${date:%Y/%m/%d}`}},
		"a date in the time zone":               {"timezone: ${date}", []string{`4:11: timezone: "${date}": ${date} is not allowed here: the date depends on the time zone`}},
		"problems of all kinds, in one go":      {"workers: {cuont: 3}\nbatch: {size: 0}\ninstance: {included_fields: [a], excluded_fields: [b]}\nlimits: {instances_per_second: 5}", []string{"4:11: workers.cuont: unknown key; did you mean workers.count?", "5:15: batch.size: 0: " + aCount, "6:34: instance.excluded_fields: included_fields is there too: one of them, not both", `7:32: limits.instances_per_second: 5: a limit is not built yet in this version: write 0`}},
		"an infinite size and a hex one":        {"batch: {max_bytes: .inf}\nlimits: {instances_per_second: -1}", []string{"4:20: batch.max_bytes: .inf: " + aSize, "5:32: limits.instances_per_second: -1: write 0 or more"}},
		"a table in parts of other collections": {"errors: {max_failure_ratio: [1]}", []string{"4:29: errors.max_failure_ratio: a list: write a number"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := test.text
			if !strings.Contains(text, "model:") {
				text = head + text
			}
			if diff := cmp.Diff(test.want, problemsOf(t, options(text+"\n"))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestFilesThatAreNoYAML(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	long := "model: {prediction_class: p.P, kwargs: {a: &a \"" + strings.Repeat("x", 400_000) + "\", b: [*a, *a, *a]}}\n" + rest
	tests := map[string]struct{ text, want string }{
		"a list":                 {"- model: 1", "1:1: a list: write its keys below it"},
		"an open list":           {"a: [1", "2:1: no YAML: did not find expected ',' or ']', while parsing a flow sequence that begins on line 1"},
		"a tab":                  {"a:\n\tb: 1", "2:1: no YAML: found character that cannot start any token, while scanning for the next token; indent with spaces, not with tabs"},
		"an unquoted name":       {"a: {b: ${N}}", "1:9: no YAML: did not find expected ',' or '}', while parsing a flow mapping; inside [] and {} a value with ${…} needs quotes"},
		"two colons":             {"a: b: c", "1:5: no YAML: mapping values are not allowed in this context"},
		"an unknown anchor":      {"a: *b", "1:4: no YAML: unknown anchor 'b' referenced; a text that begins with * needs quotes"},
		"Latin-1":                {"a: b\nc: \xe9t\xe9", "2:4: byte 0xe9 is no UTF-8: a job file is UTF-8"},
		"UTF-16":                 {"\xff\xfea\x00", "1:1: byte 0xff is no UTF-8: a job file is UTF-8"},
		"a control character":    {"a: b\n  \x01", "2:3: the character U+0001 is not allowed: write it as an escape in double quotes"},
		"two documents":          {head + "---\nname: x\n", "4:1: a second document begins here: one file is one job"},
		"an empty second one":    {head + "---\n", "4:1: a second document begins here: one file is one job"},
		"a broken second one":    {head + "---\n[\n", "7:1: no YAML: did not find expected node content, while parsing a flow node"},
		"a lone surrogate":       {`{"a": "\ud800"}`, "1:10: no YAML: found invalid Unicode character escape code, while scanning a quoted scalar"},
		"too large":              {"# " + strings.Repeat("x", 1<<20), " is larger than 1 MiB"},
		"an alias bomb":          {bomb, "aliases repeat too much: more than 1 MiB of values"},
		"a long text repeated":   {long, "aliases repeat too much: more than 1 MiB of values"},
		"nesting without an end": {strings.Repeat("[", 20_000), "exceeded max depth of 10000, while increasing flow level"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := problemsOf(t, options(test.text+"\n"))
			found := false
			for _, line := range got {
				found = found || line == test.want || strings.HasSuffix(line, test.want)
			}
			if !found {
				t.Errorf("problems = %q, want %q", got, test.want)
			}
		})
	}
}

func TestTheFileIsNamedInProblems(t *testing.T) {
	t.Parallel()
	o := options("")
	o.Path = writeFile(t, t.TempDir(), "job.yaml", head+"workers: {cuont: 3}\n")
	got := problemsOf(t, o)
	if want := o.Path + ":4:11: workers.cuont: unknown key; did you mean workers.count?"; len(got) != 1 || got[0] != want {
		t.Errorf("problems = %q, want %q", got, want)
	}
}

func TestProblemsOfTheCommandLine(t *testing.T) {
	t.Parallel()
	o := options(head + "batch: {size: 5}\nworkers: {cuont: 1}\nname:\n")
	o.Set = []string{"batch", "=x", "a..b=1", "batch.size.x=1", "batch.size=[1", "workers.start=frok", "wrokers.count=1", "batch.max_bytes={a: 1, a: 2}", "errors.retries=1\n---\n2", "x=" + strings.Repeat("y", 100)}
	o.Vars = map[string]string{"date": "2026-01-01", "A-B": "1"}
	o.Date = "yesterday"
	want := []string{
		"5:11: workers.cuont: unknown key; did you mean workers.count?",
		`--set: "batch": write path.to.key=VALUE: batch.size=100`,
		`--set: "=x": write path.to.key=VALUE: batch.size=100`,
		`--set: "a..b=1": write path.to.key=VALUE: batch.size=100`,
		"--set: batch.size.x: batch.size is a number in the job file: set it as a whole",
		"--set: batch.size: no YAML: did not find expected ',' or ']', while parsing a flow sequence that begins on line 1",
		"--set: batch.max_bytes.a: the key is there twice, first on line 1",
		"--set: errors.retries: a second document begins here: one file is one job",
		"--var: A-B: write NAME=VALUE, the name of letters, digits and _",
		"--var: date: ${date} is the run's date: set it with --date",
		`--date: "yesterday": write a date, 2026-11-22, or a time as RFC 3339 has it, 2026-11-22T05:00:00Z`,
		`--set: workers.start: "frok": write auto, spawn or fork; did you mean fork?`,
		"--set: wrokers: unknown key; did you mean workers?",
		"--set: x: unknown key",
	}
	if diff := cmp.Diff(want, problemsOf(t, o)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestManyProblemsAreCut(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(head)
	for i := range 20_000 {
		fmt.Fprintf(&text, "key%d: 1\n", i)
	}
	got := problemsOf(t, options(text.String()))
	if len(got) != 101 || !strings.HasSuffix(got[100], "and 19900 more problems") {
		t.Errorf("%d problems, last %q", len(got), got[len(got)-1])
	}
}

func TestLongValuesAreCut(t *testing.T) {
	t.Parallel()
	got := problemsOf(t, options(head+"workers: {start: "+strings.Repeat("é", 5000)+"}\n"))
	if len(got) != 1 || len(got[0]) > 300 || !strings.Contains(got[0], "…") {
		t.Errorf("problems = %q", got)
	}
}
