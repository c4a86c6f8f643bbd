package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mark is in all that nobody but the Predictor and the errors files may see: in the
// instances' values and names, and in the values of variables.
const mark = "mArKeR"

// secretJob uses the variables wherever values may be secret.
const secretJob = `
model:
  package_uris: [%q]
  prediction_class: discreet.%s
  kwargs:
    key: "${SECRET}"
    list: ["x-${SECRET}"]
    number: ${SECRET_NUMBER}
python: {env: {API_KEY: "${SECRET}", TOKEN: "Bearer ${SECRET}"}}
source: {jsonl: {uris: [in.jsonl], max_line: 4KiB}}
sink: {jsonl: {uri: out/}}
workers: {count: 2}
batch: {size: 4}
`

// secretInput has instances of all kinds, and every kind of broken line.
var secretInput = strings.ReplaceAll(strings.Join([]string{
	`{"id": "M-id", "M-name": "M", "a": ["M", {"M": 1}]}`,
	`"M"`, `["M", "MM"]`, `{"b64": "M!!!"}`, `{"b64": "M"}`, `{"id": {"M": "M"}, "a": "MMM"}`,
	`{"M": M}`, `{"M": "M"`, `M`, `"M`, `"M\M"`, "\"M\x01M\"", `{"M" "M"}`, `{"M": 1,}`, `["M" "M"]`, `{"a": 1} {"M": 1}`, `{"a": 1}M`,
	"\"M\xff\"", "M\xff", `{"M": nul}`, `-M`, `{"M": 1, "M": 2}`, `[1, 2, "M]`, `"\ud800M"`, `"\uM"`, strings.Repeat("[", 1500) + `"M"`,
	`{"id": 1, "a": "` + strings.Repeat("M", 1000) + `"}`, `"` + strings.Repeat("M", 4000) + `"`,
	`{"instance": {"M": "M"}, "error": {"phase": "predict", "type": "E", "message": "no", "traceback": ""}, "source": {"uri": "in", "line": 1}}`,
	`{"error": {"phase": "read", "type": "InvalidJSON", "message": "no"}, "text": "M"}`,
	`{"id": "M", "a": NaN}`, `{"id": "M", "a": 1e999, "M": ` + strings.Repeat("9", 300) + `}`, `{"id": null}`, `null`, ``, `{}`,
}, "\n"), "M", mark) + "\n"

// privacy is one way in which secrets could come out.
type privacy struct {
	class    string
	settings []string
	command  []string // nil: run
	status   int
	stop     bool              // by SIGTERM, once it has begun to predict
	before   map[string]string // a run in the same folder, before, with these variables
}

var privacies = map[string]privacy{
	"a run with broken lines":           {class: "Answers"},
	"arranged fields":                   {class: "Answers", settings: []string{"instance.instance_type=array", "instance.included_fields=[a]", "instance.key_field=id"}},
	"fields left out":                   {class: "Answers", settings: []string{"instance.excluded_fields=[a]", "output.instance=[id]"}},
	"a field of each line":              {class: "Answers", settings: []string{"source.jsonl.field=instance"}},
	"base64":                            {class: "Answers", settings: []string{"model.decode_b64=true"}},
	"an exception":                      {class: "Raises"},
	"exceptions at some":                {class: "RaisesAtOdd"},
	"an exception that ends the run":    {class: "Raises", settings: []string{"errors.max_failures=2"}, status: 3},
	"too many failures in the end":      {class: "RaisesAtOdd", settings: []string{"errors.max_failure_ratio=0.01"}, status: 3},
	"workers that die":                  {class: "Dies", status: 3},
	"workers with segmentation faults":  {class: "Segfaults", status: 3},
	"a dict for a list":                 {class: "ReturnsADict"},
	"a list too short":                  {class: "ReturnsTooLittle"},
	"what is not JSON":                  {class: "ReturnsOddObjects"},
	"garbage on the channel":            {class: "WritesToItsChannel", status: 3},
	"no answer in time":                 {class: "Hangs", status: 3, settings: []string{"workers.predict_timeout=200ms", "batch.size=1", "workers.count=4"}},
	"a model that does not load":        {class: "DoesNotLoad", status: 3},
	"a class that is not there":         {class: "Nothing", status: 3},
	"a run that is stopped":             {class: "HangsAndTells", stop: true, status: 143},
	"an output begun with other values": {class: "RaisesAtOdd", before: map[string]string{"SECRET": mark + "-before"}, settings: []string{"errors.max_failure_ratio=1"}, status: 2},
	"a trial":                           {class: "Answers", command: []string{"validate"}},
	"a trial that fails":                {class: "Raises", command: []string{"validate"}, status: 3},
	"a trial of workers that die":       {class: "Dies", command: []string{"validate"}, status: 3},
	"a plan":                            {class: "Answers", command: []string{"plan"}},
	"a few predictions":                 {class: "RaisesAtOdd", command: []string{"predict"}, status: 3},
	"no prediction":                     {class: "Dies", command: []string{"predict"}, status: 3},
	"values of the wrong kind": {class: "Answers", status: 2, settings: []string{
		"workers.count=${SECRET}", "batch.size=${SECRET}", "batch.max_bytes=${SECRET}", "workers.load_timeout=${SECRET}", "timezone=${SECRET}",
		"name=${SECRET}", "sink.jsonl.compression=${SECRET}", "errors.max_failure_ratio=${SECRET}", "model.decode_b64=${SECRET}",
		"errors.retry_on=${SECRET}", "instance.included_fields=${SECRET}", "source.jsonl.uris=${SECRET}", "expect={failed: \"${SECRET}\"}",
		"model.interface=${SECRET}", "python.service_account=${SECRET}", "metrics.listen=${SECRET}", "output.non_finite=${SECRET}",
	}},
	"kwargs of the wrong kind":                               {class: "Answers", status: 2, settings: []string{"model.kwargs=${SECRET}"}},
	"kwargs with a name that is taken and broken references": {class: "Answers", status: 2, settings: []string{`model.kwargs={instances: "${SECRET}", a: "${SECRET", b: "${SECRET}${UNSET}"}`}},
	"variables as a list":                                    {class: "Answers", status: 2, settings: []string{`python.env=["${SECRET}"]`, `model.kwargs=["${SECRET}"]`}},
	"a variable with a NUL":                                  {class: "Answers", status: 2, settings: []string{`python.env={A: "${SECRET}\0"}`}},
	"a key and nothing else":                                 {class: "Answers", settings: []string{"instance.key_field=id", "output.instance=none", "source.jsonl.field="}},
}

// TestSecretsStayInErrorsFiles: instances' contents and values from the environment are in
// no other file, log or message.
func TestSecretsStayInErrorsFiles(t *testing.T) {
	t.Parallel()
	for name, p := range privacies {
		formats := []string{"json"}
		if p.status != 0 && !p.stop {
			formats = append(formats, "text") // errors are told in another form
		}
		for _, format := range formats {
			t.Run(name+", logged as "+format, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				writeSecretJob(t, dir, p.class, secretInput)
				if p.before != nil {
					if status, _, stderr := p.run(t, dir, format, p.before); status != 0 {
						t.Fatalf("status %d of the run before\n%s", status, stderr)
					}
				}
				status, stdout, stderr := p.run(t, dir, format, nil)
				if status != p.status {
					t.Errorf("status %d, want %d\n%s", status, p.status, stderr)
				}
				if out := filepath.Join(dir, "out"); status == 0 && p.command == nil && !tells(t, out) {
					t.Errorf("no secret is in %s: it was not in play", out)
				}
				lookForMarks(t, dir, map[string]string{"standard output": stdout, "standard error": stderr})
			})
		}
	}
}

func writeSecretJob(t *testing.T, dir, class, input string) {
	t.Helper()
	predictors, err := filepath.Abs(filepath.Join("..", "..", "pyworker", "testdata", "predictors"))
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, dir, map[string]string{
		"in.jsonl": input, "home/none": "", "tmp/none": "", "job.yaml": fmt.Sprintf(secretJob, predictors, class),
	})
}

func writeAll(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(content), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs the command to its end, with all that it has to say.
func (p *privacy) run(t *testing.T, dir, format string, variables map[string]string) (status int, stdout, stderr string) {
	t.Helper()
	command := p.command
	if command == nil {
		command = []string{"run", "--progress", "plain"}
	}
	args := append(command[:len(command):len(command)], "--config", filepath.Join(dir, "job.yaml"), "--log-level", "debug", "--log-format", format)
	if p.status == 0 || len(p.command) > 0 {
		args = append(args, "--set", "errors.max_failure_ratio=1")
	}
	for _, setting := range p.settings {
		args = append(args, "--set", setting)
	}
	if command[0] == "predict" {
		args = append(args, filepath.Join(dir, "in.jsonl"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program := exec.CommandContext(ctx, "cpr-batch", args...)
	started := filepath.Join(dir, "started")
	program.Env = append(environment(t, dir), "SECRET="+mark+"-value", "SECRET_NUMBER=31415926535", "STARTED="+started)
	for name, value := range variables {
		program.Env = append(program.Env, name+"="+value)
	}
	var out bytes.Buffer
	errs := listener{words: "a second signal ends at once", heard: make(chan struct{})}
	program.Stdout, program.Stderr = &out, &errs
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	if p.stop {
		if !eventually(time.Minute, func() bool { _, err := os.Stat(started); return err == nil }) {
			t.Error("it has not begun to predict within a minute")
		}
		terminate(t, program)
		select {
		case <-errs.heard: // two at once might be taken for one
		case <-ctx.Done():
		}
		terminate(t, program) // ends what is hanging
	}
	if err := program.Wait(); ctx.Err() != nil {
		t.Fatalf("it does not end: %v\n%s", err, errs.text.String())
	}
	if command[0] == "predict" {
		out.Reset() // has the instances that it was asked for
	}
	return program.ProcessState.ExitCode(), out.String(), errs.text.String()
}

func terminate(t *testing.T, program *exec.Cmd) {
	t.Helper()
	if err := program.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// listener keeps what a program writes, and tells when certain words were among it.
type listener struct {
	text  bytes.Buffer
	words string
	heard chan struct{}
}

func (l *listener) Write(p []byte) (int, error) {
	n, err := l.text.Write(p)
	if l.words != "" && bytes.Contains(l.text.Bytes(), []byte(l.words)) {
		l.words = ""
		close(l.heard)
	}
	return n, err
}

// lookForMarks looks into every file below dir but those that are for instances.
func lookForMarks(t *testing.T, dir string, said map[string]string) {
	t.Helper()
	look := func(where, text string) {
		for _, secret := range []string{mark, "31415926535"} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s tells it: %q", where, text[max(0, i-200):min(len(text), i+100)])
			}
		}
	}
	for where, text := range said {
		look(where, text)
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		if err != nil || !entry.Type().IsRegular() || name == "in.jsonl" || strings.HasPrefix(name, "errors-") || strings.HasPrefix(name, "predictions-") {
			return err
		}
		text, err := os.ReadFile(path)
		look(path, string(text))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// tells says whether an instance is where it may be: in the files of predictions and errors.
func tells(t *testing.T, out string) bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(out, "*-of-*"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(names, func(name string) bool {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(text, []byte(mark))
	})
}

// TestQuotesAreCut: where the Predictor itself quotes an instance, the rest of it is in
// the errors file only.
func TestQuotesAreCut(t *testing.T) {
	t.Parallel()
	const inOneLine, inManyLines = "quoted ", `quoted quoted\n`
	for name, p := range map[string]struct {
		privacy
		words string // that the instance repeats
		told  string // "": a part of the instance
	}{
		"in an exception":                  {privacy{class: "Talks"}, inOneLine, ""},
		"in an exception that ends a run":  {privacy{class: "Talks", status: 3, settings: []string{"errors.max_failures=0"}}, inOneLine, ""},
		"in an exception in a trial":       {privacy{class: "Talks", status: 3, command: []string{"validate"}}, inOneLine, ""},
		"in an exception of predict":       {privacy{class: "Talks", status: 3, command: []string{"predict"}}, inOneLine, ""},
		"in an exception of many lines":    {privacy{class: "RaisesWhatItGot"}, inManyLines, ""},
		"in many lines that end a run":     {privacy{class: "RaisesWhatItGot", status: 3, settings: []string{"errors.max_failures=0"}}, inManyLines, ""},
		"in many lines in a trial":         {privacy{class: "RaisesWhatItGot", status: 3, command: []string{"validate"}}, inManyLines, ""},
		"in the last words of workers":     {privacy{class: "TalksAndDies", status: 3}, inOneLine, "workers keep dying"},
		"in the last words before a trial": {privacy{class: "TalksAndDies", status: 3, command: []string{"validate"}}, inOneLine, ""},
	} {
		instance := `"` + strings.Repeat(p.words, 40) + mark + `"` + "\n"
		formats := []string{"json"}
		if len(p.command) == 0 || p.command[0] != "predict" { // which shows the workers' output as it is
			formats = append(formats, "text")
		}
		for _, format := range formats {
			t.Run(name+", logged as "+format, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				writeSecretJob(t, dir, p.class, strings.Repeat(instance, 40))
				status, stdout, stderr := p.run(t, dir, format, nil)
				if status != p.status {
					t.Errorf("status %d, want %d\n%s", status, p.status, stderr)
				}
				if said := stdout + stderr; !strings.Contains(said, "quoted") || !strings.Contains(said, p.told) {
					t.Errorf("it does not tell of it, and %q:\n%s", p.told, said)
				}
				lookForMarks(t, dir, map[string]string{"standard output": stdout, "standard error": stderr})
			})
		}
	}
}
