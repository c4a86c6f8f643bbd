package pyworker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

func TestRequirementsFromCloudStorage(t *testing.T) {
	t.Parallel()
	text := "# numbers\nnumpy==2.1 \\\n  --hash=sha256:aa\n--index-url https://index.example/simple\nplugin @ https://host.example/plugin-1.tar.gz\n"
	for name, c := range map[string]struct {
		file, dir string
		gzipped   bool
	}{
		"named by its URI":               {"gs://b/r.txt", "/job", false},
		"relative to a job file's":       {"r.txt", "gs://b", false},
		"with Content-Encoding: gzip":    {"gs://b/r.txt", "/job", true},
		"beside the folder, with a dot.": {"./r.txt", "gs://b/", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(nil)
			content := []byte(text)
			if c.gzipped {
				content = zipped(t, content)
			}
			b.store("gs://b/r.txt", content, c.gzipped)
			r := Requirements{File: c.file}
			if found, err := RequirementsText(t.Context(), b, r, c.dir); err != nil || found != text {
				t.Errorf("%q, %v", found, err)
			}
			uv := fakeUV(t, `for file; do :; done; cp "$file" "$(dirname "$0")/got"`)
			s, _ := environments(t, uv)
			s.Store = b
			for range 2 {
				env, err := s.Open(t.Context(), PythonConfig{Requirements: r}, c.dir, mustFind(t))
				if err != nil {
					t.Fatal(err)
				}
				if err := env.Close(); err != nil {
					t.Error(err)
				}
			}
			if n := installed(t, uv); n != 1 {
				t.Errorf("installed %d times", n)
			}
			got, err := os.ReadFile(filepath.Join(filepath.Dir(uv), "got"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(cleanLines(text), strings.Split(strings.TrimSpace(string(got)), "\n")); diff != "" {
				t.Error(diff)
			}
			b.put("gs://b/r.txt", "numpy==2.2\n")
			env, err := s.Open(t.Context(), PythonConfig{Requirements: r}, c.dir, mustFind(t))
			if err != nil || installed(t, uv) != 2 {
				t.Fatalf("installed %d times, %v", installed(t, uv), err)
			}
			if err := env.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRequirementsOfCloudStorageThatAreRefused(t *testing.T) {
	t.Parallel()
	s, _ := environments(t, "")
	for line, want := range map[string]string{
		"-r more.txt":            "names a local file or folder",
		"-c../limits.txt":        "names a local file or folder",
		"--requirement=more.txt": "names a local file or folder",
		"./lib":                  "names a local file or folder",
		"lib/":                   "names a local file or folder",
		"-e .":                   "names a local file or folder",
		"tiny-1.0-py3-none-any.whl ; python_version > '3'": "names a local file or folder",
		"tiny @ file:lib":          "names a local file or folder",
		"--find-links dist":        "names a local file or folder",
		"-r gs://b/more.txt":       "can not read from Cloud Storage",
		"tiny @ gs://b/t-1.tar.gz": "can not read from Cloud Storage",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			s := s
			s.Store = newBucket(map[string]string{"gs://b/r.txt": "six\n" + line + "\n"})
			for _, r := range []Requirements{{File: "r.txt"}, {Lines: []string{line}}} {
				_, err := s.Open(t.Context(), PythonConfig{Requirements: r}, "gs://b", mustFind(t))
				wantError(t, err, pipeline.FixInput, "python.requirements", want)
			}
		})
	}
	for name, c := range map[string]struct {
		file   string
		remedy pipeline.Remedy
		want   string
	}{
		"it is not there":            {"gs://b/gone.txt", pipeline.FixConfig, `"gs://b/gone.txt" does not exist`},
		"it is far larger":           {"gs://b/large.txt", pipeline.FixInput, "is larger than 4MiB"},
		"it is far larger, unpacked": {"gs://b/bomb.txt", pipeline.FixInput, "is larger than 4MiB"},
		"it does not unpack":         {"gs://b/broken.txt", pipeline.FixInput, "Content-Encoding: gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(map[string]string{"gs://b/large.txt": strings.Repeat("x", maxRequirements+1)})
			b.store("gs://b/bomb.txt", zipped(t, make([]byte, maxRequirements+1)), true)
			b.store("gs://b/broken.txt", []byte("six"), true)
			_, err := RequirementsText(t.Context(), b, Requirements{File: c.file}, "/job")
			wantError(t, err, c.remedy, c.want)
		})
	}
	if _, err := s.Open(t.Context(), PythonConfig{Interpreter: "bin/python"}, "gs://b", Interpreter{}); err != nil {
		t.Error(err)
	}
	_, err := FindInterpreter(t.Context(), PythonConfig{Interpreter: "venv/bin/python"}, "gs://b")
	wantError(t, err, pipeline.FixConfig, "gs://b/venv/bin/python is in Cloud Storage", "absolute path")
}

func TestRequirementsText(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "r.txt"), []byte("six\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string]Requirements{"six\n": {File: "r.txt"}, "a\nb": {Lines: []string{"a", "b"}}, "": {}} {
		if found, err := RequirementsText(t.Context(), objects.NewLocal(), r, dir); err != nil || found != want {
			t.Errorf("%q, %v; want %q", found, err, want)
		}
	}
	_, err := RequirementsText(t.Context(), objects.NewLocal(), Requirements{File: "gone.txt"}, dir)
	wantError(t, err, pipeline.FixConfig, "python.requirements", "relative to its folder")
}
