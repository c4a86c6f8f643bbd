package pyworker

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// writeScript writes a shell script that can be run, and returns its path.
func writeScript(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// mustFind returns the python3 of this machine.
func mustFind(t *testing.T) Interpreter {
	t.Helper()
	found, err := FindInterpreter(t.Context(), PythonConfig{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestInterpreterIsFoundByName(t *testing.T) {
	t.Parallel()
	found := mustFind(t)
	want, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal(err)
	}
	if found.Path != want || found.Version[0] != 3 || found.Version[1] < 7 || found.Implementation == "" {
		t.Errorf("found %+v, want the one at %s", found, want)
	}
}

func TestInterpreterIsNotResolved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(mustFind(t).Path, filepath.Join(dir, "bin", "python3")); err != nil {
		t.Fatal(err)
	}
	found, err := FindInterpreter(t.Context(), PythonConfig{Interpreter: "bin/python3"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "bin", "python3"); found.Path != want {
		t.Errorf("found %s, want %s", found.Path, want)
	}
}

func TestInterpreterIsAskedWithoutPythonVariables(t *testing.T) {
	t.Setenv("PYTHONHOME", filepath.Join(t.TempDir(), "nowhere"))
	t.Setenv("PYTHONPATH", t.TempDir())
	mustFind(t)
	// -E alone would not keep them from a script that starts the interpreter.
	path := writeScript(t, t.TempDir(), "python", `[ -z "$PYTHONHOME$PYTHONPATH" ] && printf '\ncpr-batch-python 3 9 0 cpython\n'`)
	if _, err := probe(t.Context(), path, probeLimit); err != nil {
		t.Error(err)
	}
}

func TestInterpretersThatAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) { writeScript(t, dir, name, text) }
	write("garbage", "echo hello")
	write("fails", "echo 'symbol lookup error' >&2; exit 127")
	write("old", `printf '\ncpr-batch-python 2 7 18 python\n'`)
	write("older", `printf '\ncpr-batch-python 3 6 15 cpython\n'`)
	write("dies", "kill -SEGV $$")
	for name, mode := range map[string]os.FileMode{"plain": 0o644, "binary": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("\x00\x01\x02"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		interpreter string
		want        []string
	}{
		"no such name":                  {"python3.99", []string{`no "python3.99" on PATH`, "one that is there: ", "python3"}},
		"no such path":                  {"venv/bin/python", []string{"no file " + filepath.Join(dir, "venv/bin/python")}},
		"the home folder's short name":  {"~/venv/bin/python", []string{"${HOME}"}},
		"a folder":                      {"./", []string{"is a folder", "bin/python"}},
		"a file that is not executable": {"./plain", []string{"is not executable"}},
		"a file that is no program":     {"./binary", []string{"run " + filepath.Join(dir, "binary"), "exec format error"}},
		"a program that is no Python":   {"./garbage", []string{"is no Python", "hello"}},
		"one that fails":                {"./fails", []string{"exit status 127", "symbol lookup error"}},
		"one that dies":                 {"./dies", []string{"signal: segmentation fault"}},
		"Python 2":                      {"./old", []string{"is Python 2.7.18, which is too old", "3.7 is the oldest"}},
		"Python 3.6":                    {"./older", []string{"is Python 3.6.15, which is too old"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := FindInterpreter(t.Context(), PythonConfig{Interpreter: c.interpreter}, dir)
			wantError(t, err, pipeline.FixConfig, append(c.want, "python.interpreter")...)
		})
	}
}

// wantError checks that err ends the run before it begins, and says all of words.
func wantError(t *testing.T, err error, remedy pipeline.Remedy, words ...string) {
	t.Helper()
	var fault *pipeline.Error
	if !errors.As(err, &fault) {
		t.Fatalf("error %v is no *pipeline.Error", err)
	}
	if fault.Remedy != remedy || fault.Phase != pipeline.PhaseConfigure || fault.Hint == "" {
		t.Errorf("remedy %d, phase %q, hint %q; want %d, configure", fault.Remedy, fault.Phase, fault.Hint, remedy)
	}
	text := fault.Error() + "\n" + fault.Hint + "\n" + fault.Stderr
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("the error does not say %q:\n%s", word, text)
		}
	}
}

func TestInterpreterThatHangs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := writeScript(t, dir, "hangs", "echo waiting for the license server; echo $$ > "+dir+"/pid; sleep 600 & sleep 600")
	_, err := probe(t.Context(), path, time.Second)
	wantError(t, err, pipeline.FixConfig, "did not say its version within 1s", "waiting for the license server")
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second, "its group is gone", func() bool { return !groupAlive(atoi(t, string(text))) })
}

func TestInterpreterThatLeavesAProcessBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := writeScript(t, dir, "leaves", "echo $$ > "+dir+"/pid; sleep 600 >/dev/null 2>&1 & exec python3 \"$@\"")
	if _, err := probe(t.Context(), path, probeLimit); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second, "its group is gone", func() bool { return !groupAlive(atoi(t, string(text))) })
}

func TestLookingForAnInterpreterEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("stopped")
	cancel(cause)
	if _, err := FindInterpreter(ctx, PythonConfig{}, t.TempDir()); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
}
