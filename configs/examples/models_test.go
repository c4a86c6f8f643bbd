//go:build models

package examples_test

// The examples that have a real model, run as their READMEs say: make test-models. What they
// need is installed into environments that the program itself makes and keeps in the user's
// cache.

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// example is one of the folders here.
type example struct {
	folder string
	// bad is an instance that the Predictor refuses, and type and words those of its reason.
	bad, reason, words string
	// key is the job's key_field.
	key string
	// setting is a --set of which README or job say what it does: answer is what then
	// becomes of a prediction.
	setting string
	answer  func(prediction string) string
}

func TestExamplesPredictWhatTheirModelsSay(t *testing.T) {
	t.Parallel()
	program := build(t)
	for _, e := range []example{
		{folder: "keras", bad: `[5.1, 3.5, 1.4]`, reason: "ValueError", words: "could not be broadcast together with shapes (1,3) (4,)"},
		{folder: "sklearn", bad: `[52.1, "no reading", 1.8, 11.4]`, reason: "ValueError", words: "could not convert string to float: 'no reading'",
			setting: "model.kwargs.probabilities=false", answer: likeliest},
		{folder: "lightgbm", bad: `{"customer": "C-1", "months": "three"}`, reason: "ValueError", words: "could not convert string to float: 'three'", key: "customer",
			setting: "model.kwargs.reasons=0", answer: withoutReasons},
	} {
		t.Run(e.folder, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, e, program)
			p.followReadme(t)
			p.runOfTheReadmeIsComplete(t)
			p.smallBatchesAreTheModelsToo(t)
			p.oneBadInstanceCostsOne(t)
			p.kwargsChangeTheAnswer(t)
		})
	}
}

// place is a folder like the repository's root after make build, with one example.
type place struct {
	example
	root, dir string // dir is the example's own
	instances []string
}

func newPlace(t *testing.T, e example, program string) *place {
	t.Helper()
	p := &place{example: e, root: t.TempDir()}
	p.dir = filepath.Join(p.root, "configs", "examples", e.folder)
	if err := os.Mkdir(filepath.Join(p.root, "bin"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(p.root, "bin", "cpr-batch")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(p.dir, os.DirFS(e.folder)); err != nil {
		t.Fatal(err)
	}
	for _, made := range []string{"model", "dist", "out"} { // by somebody who tried the example
		if err := os.RemoveAll(filepath.Join(p.dir, made)); err != nil {
			t.Fatal(err)
		}
	}
	p.instances = readLines(t, filepath.Join(p.dir, "instances.jsonl"))
	return p
}

// shell runs a command in the root.
func (p *place) shell(t *testing.T, command string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", command)
	cmd.Dir = p.root
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s", command, out)
	if err != nil {
		t.Fatal(err)
	}
}

// followReadme does what the README says.
func (p *place) followReadme(t *testing.T) {
	t.Helper()
	var commands []string
	for _, line := range readLines(t, filepath.Join(p.dir, "README.md")) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands = append(commands, command)
		}
	}
	if len(commands) != 3 {
		t.Fatalf("the README has %d commands, want 3", len(commands))
	}
	p.shell(t, strings.Join(commands, "\n"))
	// Beside a model, a package and an output the model can be made again.
	p.shell(t, strings.Join(commands[:2], "\n"))
}

// run runs the job once more, with other settings, into another folder, of which it
// returns the path.
func (p *place) run(t *testing.T, into string, settings ...string) string {
	t.Helper()
	command := "bin/cpr-batch run --config configs/examples/" + p.folder + "/job.yaml --set sink.jsonl.uri=" + into + "/"
	for _, setting := range settings {
		command += " --set " + setting
	}
	p.shell(t, command)
	out := filepath.Join(p.dir, into)
	if _, err := os.Stat(filepath.Join(out, "_SUCCESS")); err != nil {
		t.Fatal(err)
	}
	return out
}

// direct asks the model itself, by a script that knows nothing of the Predictor.
func (p *place) direct(t *testing.T, size int) []string {
	t.Helper()
	script, err := filepath.Abs(filepath.Join("testdata", "direct_"+p.folder+".py"))
	if err != nil {
		t.Fatal(err)
	}
	p.shell(t, fmt.Sprintf("python=$(bin/cpr-batch env python --config configs/examples/%[1]s/job.yaml)\n"+
		"$python %[2]s configs/examples/%[1]s configs/examples/%[1]s/instances.jsonl %[3]d direct.jsonl", p.folder, script, size))
	return readLines(t, filepath.Join(p.root, "direct.jsonl"))
}

// runOfTheReadmeIsComplete compares the README's run, whose instances share one batch,
// with the model: every digit is the same.
func (p *place) runOfTheReadmeIsComplete(t *testing.T) {
	t.Helper()
	out := filepath.Join(p.dir, "out")
	if _, err := os.Stat(filepath.Join(out, "_SUCCESS")); err != nil {
		t.Fatal(err)
	}
	p.equal(t, out, p.direct(t, len(p.instances)))
	p.readmeShowsWhatComes(t, predictions(t, out))
}

// readmeShowsWhatComes looks for the README's lines of output among the real ones.
func (p *place) readmeShowsWhatComes(t *testing.T, got []line) {
	t.Helper()
	for _, text := range readLines(t, filepath.Join(p.dir, "README.md")) {
		text, ok := strings.CutPrefix(text, "    {")
		if !ok {
			continue
		}
		shown := parseLine(t, "{"+text)
		if !slices.ContainsFunc(got, func(l line) bool { return cmp.Equal(shown, l, nearly) }) {
			t.Errorf("the README has a line that the output has not: %+v", shown)
		}
	}
}

// kwargsChangeTheAnswer runs the job with its setting.
func (p *place) kwargsChangeTheAnswer(t *testing.T) {
	t.Helper()
	if p.setting == "" {
		return
	}
	direct := p.direct(t, len(p.instances))
	for i := range direct {
		direct[i] = p.answer(direct[i])
	}
	p.equal(t, p.run(t, "other", p.setting), direct)
}

// likeliest is the state with the greatest probability.
func likeliest(prediction string) string {
	var states map[string]float64
	if err := json.Unmarshal([]byte(prediction), &states); err != nil {
		return err.Error()
	}
	var best string
	for state, p := range states {
		if best == "" || p > states[best] {
			best = state
		}
	}
	return strconv.Quote(best)
}

// withoutReasons is a prediction's number alone.
func withoutReasons(prediction string) string {
	before, _, _ := strings.Cut(prediction, `,"because"`)
	return before + "}"
}

// smallBatchesAreTheModelsToo compares batches that go to several workers.
func (p *place) smallBatchesAreTheModelsToo(t *testing.T) {
	t.Helper()
	out := p.run(t, "small", "batch.size=32", "workers.count=2")
	p.equal(t, out, p.direct(t, 32))
}

// equal compares all of an output's lines with the instances and what the model says,
// every digit of it.
func (p *place) equal(t *testing.T, out string, direct []string) {
	t.Helper()
	if files := glob(t, out, "errors-*"); len(files) > 0 {
		t.Fatalf("%s has failures: %q", out, files)
	}
	if diff := cmp.Diff(p.lines(t, direct), predictions(t, out)); diff != "" {
		t.Errorf("predictions (-the model's +the program's):\n%s", diff)
	}
}

// oneBadInstanceCostsOne runs the instances with a bad one among them. It leaves batches of
// other sizes behind, which a float model's last digits depend on.
func (p *place) oneBadInstanceCostsOne(t *testing.T) {
	t.Helper()
	const place = 100 // the bad one is line 101
	lines := append(append(append([]string{}, p.instances[:place]...), p.bad), p.instances[place:]...)
	if err := os.WriteFile(filepath.Join(p.dir, "bad.jsonl"), []byte(strings.Join(lines, "\n")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	out := p.run(t, "bad", "source.jsonl.uris=[bad.jsonl]", "batch.size=64")
	want := p.lines(t, p.direct(t, 64))
	if diff := cmp.Diff(want, predictions(t, out), nearly); diff != "" {
		t.Errorf("predictions beside a bad instance (-the model's +the program's):\n%s", diff)
	}
	p.failed(t, out, place+1)
}

// failed checks that the bad instance is the only failure, with its reason and place.
func (p *place) failed(t *testing.T, out string, line int) {
	t.Helper()
	var failures []string
	for _, name := range glob(t, out, "errors-*") {
		failures = append(failures, readLines(t, name)...)
	}
	if len(failures) != 1 {
		t.Fatalf("%d failures, want 1: %q", len(failures), failures)
	}
	var got struct {
		Instance json.RawMessage
		Error    struct{ Phase, Type, Message string }
		Source   struct {
			URI  string
			Line int
		}
	}
	if err := json.Unmarshal([]byte(failures[0]), &got); err != nil {
		t.Fatal(err)
	}
	if string(got.Instance) != p.bad || got.Source.URI != "bad.jsonl" || got.Source.Line != line {
		t.Errorf("failed: %s of %s line %d, want %s of bad.jsonl line %d", got.Instance, got.Source.URI, got.Source.Line, p.bad, line)
	}
	if got.Error.Phase != "predict" || got.Error.Type != p.reason || !strings.Contains(got.Error.Message, p.words) {
		t.Errorf("reason: %+v, want a %s with %q", got.Error, p.reason, p.words)
	}
}

// line is a line of the output. Its prediction is compared as text, or as closely as
// nearly says.
type line struct {
	Instance, Key string
	Prediction    prediction
}

type prediction string

var number = regexp.MustCompile(`-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?`)

// nearly lets numbers differ by a millionth.
var nearly = cmp.Comparer(func(a, b prediction) bool {
	as, bs := number.FindAllString(string(a), -1), number.FindAllString(string(b), -1)
	return number.ReplaceAllString(string(a), "#") == number.ReplaceAllString(string(b), "#") &&
		slices.EqualFunc(as, bs, func(a, b string) bool {
			x, errX := strconv.ParseFloat(a, 64)
			y, errY := strconv.ParseFloat(b, 64)
			return errX == nil && errY == nil && math.Abs(x-y) <= 1e-6
		})
})

// lines are the lines that the output should have.
func (p *place) lines(t *testing.T, direct []string) []line {
	t.Helper()
	if len(direct) != len(p.instances) {
		t.Fatalf("the model itself has %d predictions for %d instances", len(direct), len(p.instances))
	}
	all := make([]line, len(direct))
	for i, instance := range p.instances {
		all[i] = line{Instance: instance, Prediction: prediction(direct[i])}
		if p.key != "" {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal([]byte(instance), &fields); err != nil {
				t.Fatal(err)
			}
			all[i].Instance, all[i].Key = "", string(fields[p.key])
		}
	}
	return all
}

// predictions are the lines that the output has, of all its parts in order.
func predictions(t *testing.T, out string) []line {
	t.Helper()
	var all []line
	for _, name := range glob(t, out, "predictions-*") {
		for _, text := range readLines(t, name) {
			all = append(all, parseLine(t, text))
		}
	}
	return all
}

func parseLine(t *testing.T, text string) line {
	t.Helper()
	var fields struct{ Instance, Key, Prediction json.RawMessage }
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	return line{Instance: string(fields.Instance), Key: string(fields.Key), Prediction: prediction(fields.Prediction)}
}

func readLines(t *testing.T, name string) []string {
	t.Helper()
	return strings.Split(strings.TrimSuffix(readText(t, name), "\n"), "\n")
}
