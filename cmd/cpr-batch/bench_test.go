package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	benchLines     = flag.Int("lines", 0, "instances for BenchmarkAgainstScripts (default 300000; 20000 with -benchtime=1x)")
	benchMegabytes = flag.String("megabytes", "", "input sizes for BenchmarkMemory (default 20,200; 2,20 with -benchtime=1x)")
)

// sizes are those of the flags. A lone round (-benchtime=1x) only shows that the
// benchmarks still work: it is small.
func sizes() (lines int, megabytes string) {
	lines, megabytes = 300_000, "20,200"
	if flag.Lookup("test.benchtime").Value.String() == "1x" {
		lines, megabytes = 20_000, "2,20"
	}
	if *benchLines > 0 {
		lines = *benchLines
	}
	if *benchMegabytes != "" {
		megabytes = *benchMegabytes
	}
	return lines, megabytes
}

// scriptFolder holds the Python scripts that the program is measured against.
var scriptFolder = filepath.Join("..", "..", "pyworker", "testdata", "bench")

// buildProgram builds the program as users do and returns its path.
func buildProgram(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "cpr-batch")
	runTimed(b, exec.Command("go", "build", "-o", path, "."))
	return path
}

// contestant is one way to do the same job.
type contestant struct {
	name string
	run  func(output string) *exec.Cmd
}

// BenchmarkAgainstScripts runs the same job as a plain multiprocessing script, as that
// script tuned by hand, and as cpr-batch, with two workers each, in turns. x_plain is how
// many times as fast as the plain script the program is, of the medians of all rounds
// (-benchtime=5x: five rounds); x_tuned and x_orjson likewise. All write the same bytes.
func BenchmarkAgainstScripts(b *testing.B) {
	for _, class := range []string{"Arrays", "Objects"} {
		b.Run(strings.ToLower(class), func(b *testing.B) { benchmarkClass(b, class) })
	}
}

func benchmarkClass(b *testing.B, class string) {
	dir := b.TempDir()
	input := filepath.Join(dir, "instances.jsonl")
	instances, _ := sizes()
	makeData(b, strings.ToLower(class), instances, input)
	binary := buildProgram(b)
	contestants := []contestant{
		{"plain", func(output string) *exec.Cmd { return script("plain.py", class, input, output, "2") }},
		{"tuned", func(output string) *exec.Cmd { return script("tuned.py", class, input, output, "2") }},
	}
	if exec.Command("python3", "-c", "import orjson").Run() == nil {
		contestants = append(contestants, contestant{"orjson", func(output string) *exec.Cmd {
			return script("tuned.py", class, input, output, "2", "orjson")
		}})
	}
	contestants = append(contestants, contestant{"cpr-batch", func(output string) *exec.Cmd {
		return runJob(binary, writeJob(b, class, input, output))
	}})

	took := map[string][]float64{}
	for round := 0; b.Loop(); round++ {
		sums := map[[sha256.Size]byte][]string{}
		for _, c := range contestants {
			output := filepath.Join(dir, fmt.Sprintf("%s-%d", c.name, round))
			took[c.name] = append(took[c.name], runTimed(b, c.run(output)).Seconds())
			sum := sumOutput(b, output)
			sums[sum] = append(sums[sum], c.name)
		}
		if len(sums) != 1 {
			b.Fatalf("the outputs differ: %v", sums)
		}
	}

	ours := median(took["cpr-batch"])
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(instances)/ours, "instances/s")
	for _, c := range contestants {
		if c.name != "cpr-batch" {
			b.ReportMetric(median(took[c.name])/ours, "x_"+c.name)
		}
	}
}

// stampingPredictor notes when its first call begins.
const stampingPredictor = `import time

class Stamp(object):
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        with open(kwargs["stamp"], "w") as f:
            f.write("%.6f" % time.time())
        return instances
`

// BenchmarkStart measures how long after the program's start the first predict call
// begins, on a job of one line, and how much of that is Python's own start.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	writeFile(b, filepath.Join(dir, "code", "stamping.py"), stampingPredictor)
	writeFile(b, filepath.Join(dir, "instances.jsonl"), "1\n")
	stamp := filepath.Join(dir, "stamp")
	binary := buildProgram(b)

	var python, first []float64
	for round := 0; b.Loop(); round++ {
		python = append(python, 1000*runTimed(b, exec.Command("python3", "-c", "pass")).Seconds())
		job := filepath.Join(dir, fmt.Sprintf("job-%d.yaml", round))
		writeFile(b, job, fmt.Sprintf(`
model: {package_uris: [code/], prediction_class: stamping.Stamp, kwargs: {stamp: %q}}
source: {jsonl: {uris: [instances.jsonl]}}
sink: {jsonl: {uri: out-%d/}}
workers: {count: 1}
`, stamp, round))
		cmd := runJob(binary, job)
		start := time.Now()
		runTimed(b, cmd)
		seconds, err := strconv.ParseFloat(string(readFile(b, stamp)), 64)
		if err != nil {
			b.Fatal(err)
		}
		begun := time.UnixMicro(int64(seconds * 1e6))
		first = append(first, 1000*begun.Sub(start).Seconds())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(first), "ms_to_predict")
	b.ReportMetric(median(python), "ms_python")
	b.ReportMetric(median(first)-median(python), "ms_over_python")
}

// script is one of the reference scripts, ready to run.
func script(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("python3", append([]string{filepath.Join(scriptFolder, name)}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}

// runJob is `cpr-batch run` on a job file, ready to run.
func runJob(binary, job string) *exec.Cmd {
	return exec.Command(binary, "run", "--config", job, "--progress", "none")
}

// writeJob writes a job file for the reference Predictor and returns its path.
func writeJob(b *testing.B, class, input, output string) string {
	b.Helper()
	code, err := filepath.Abs(filepath.Join(scriptFolder, "code"))
	if err != nil {
		b.Fatal(err)
	}
	job := output + ".yaml"
	writeFile(b, job, fmt.Sprintf(`
model: {package_uris: [%q], prediction_class: predictor.%s}
source: {jsonl: {uris: [%q]}}
sink: {jsonl: {uri: %q}}
workers: {count: 2}
`, code, class, input, output))
	return job
}

func makeData(b *testing.B, kind string, lines int, path string) {
	b.Helper()
	runTimed(b, script("data.py", kind, strconv.Itoa(lines), path))
}

// runTimed runs a command to its end; what it wrote is shown when it fails.
func runTimed(b *testing.B, cmd *exec.Cmd) time.Duration {
	b.Helper()
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return time.Since(start)
}

// sumOutput is the checksum of a script's output file, or of all the program's
// predictions in order; it removes what it has read.
func sumOutput(b *testing.B, output string) [sha256.Size]byte {
	b.Helper()
	files := []string{output}
	if info, err := os.Stat(output); err != nil {
		b.Fatal(err)
	} else if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(output, "predictions-*.jsonl")); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(files)
	h := sha256.New()
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		_, err = io.Copy(h, f)
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := os.RemoveAll(output); err != nil {
		b.Fatal(err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}

func writeFile(b *testing.B, name, content string) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
		b.Fatal(err)
	}
}

func readFile(b *testing.B, name string) []byte {
	b.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	return content
}
