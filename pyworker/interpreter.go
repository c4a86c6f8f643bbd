package pyworker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Interpreter is a Python that was found, and that runs.
type Interpreter struct {
	// Path is absolute, and not resolved through symbolic links: the python of a virtual
	// environment stays one.
	Path           string
	Version        [3]int
	Implementation string // cpython, pypy
}

// String is how people write it: cpython 3.11.7 (/usr/bin/python3).
func (i Interpreter) String() string {
	return fmt.Sprintf("%s %d.%d.%d (%s)", i.Implementation, i.Version[0], i.Version[1], i.Version[2], i.Path)
}

// oldestPython is the first version that the worker runs on.
var oldestPython = [3]int{3, 7, 0}

// probeLimit is how long an interpreter may take to say its version.
const probeLimit = 10 * time.Second

// probeCode runs on every Python, also on those that are refused for their age.
const probeCode = `import sys
v = sys.version_info
i = getattr(getattr(sys, "implementation", None), "name", "python")
sys.stdout.write("\ncpr-batch-python %d %d %d %s\n" % (v[0], v[1], v[2], i))`

var probeAnswer = regexp.MustCompile(`(?m)^cpr-batch-python (\d+) (\d+) (\d+) (\w+)\r?$`)

// FindInterpreter finds the interpreter that cfg names, by PATH or as a path relative to
// dir, and asks it for its version. An empty name is python3.
//
// Its errors are *pipeline.Error of phase configure, or the context's.
func FindInterpreter(ctx context.Context, cfg PythonConfig, dir string) (Interpreter, error) {
	name := cfg.Interpreter
	if name == "" {
		name = "python3"
	}
	path, err := locate(name, dir)
	if err != nil {
		return Interpreter{}, err
	}
	return probe(ctx, path, probeLimit)
}

// locate returns the absolute path of an interpreter.
func locate(name, dir string) (string, error) {
	if !strings.ContainsRune(name, '/') {
		path, err := exec.LookPath(name)
		if err == nil || errors.Is(err, exec.ErrDot) {
			path, err = filepath.Abs(path)
		}
		if err != nil {
			return "", noInterpreter(fmt.Sprintf("no %q on PATH", name))
		}
		return path, nil
	}
	path := objects.Join(dir, name)
	if objects.IsCloud(path) {
		e := noInterpreter(path + " is in Cloud Storage")
		e.Hint = "Name an interpreter of this machine: by a name on PATH, or an absolute path."
		return "", e
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "~"):
		e := noInterpreter(fmt.Sprintf("no file %s", path))
		e.Hint = `A "~" stands for itself in the job file: write ${HOME} instead.`
		return "", e
	case errors.Is(err, fs.ErrNotExist):
		return "", noInterpreter(fmt.Sprintf("no file %s", path))
	case err != nil:
		e := noInterpreter("open the interpreter")
		e.Err = err
		return "", e
	case info.IsDir():
		e := noInterpreter(fmt.Sprintf("%s is a folder", path))
		e.Hint = "Of a virtual environment, name its bin/python."
		return "", e
	case info.Mode().Perm()&0o111 == 0:
		e := noInterpreter(fmt.Sprintf("%s is not executable", path))
		e.Hint = "Set python.interpreter to a Python, or make the file executable."
		return "", e
	}
	return path, nil
}

// noInterpreter is the error for an interpreter that is not there; its hint names those
// that are.
func noInterpreter(message string) *pipeline.Error {
	hint := "Install Python 3.7 or newer, or set python.interpreter to the path of one."
	if found := pythonsOnPath(); len(found) > 0 {
		hint = "Set python.interpreter to one that is there: " + strings.Join(found, ", ") + "."
	}
	return badInterpreter(message, hint)
}

func badInterpreter(message, hint string) *pipeline.Error {
	return &pipeline.Error{Remedy: pipeline.FixConfig, Phase: pipeline.PhaseConfigure, Message: "python.interpreter: " + message, Hint: hint}
}

var pythonName = regexp.MustCompile(`^(python3?|python3\.\d+|pypy3)$`)

// pythonsOnPath returns the paths of the interpreters on PATH, at most eight.
func pythonsOnPath() []string {
	var found []string
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, e := range entries {
			path := filepath.Join(folder, e.Name())
			if !pythonName.MatchString(e.Name()) || slices.Contains(found, path) {
				continue
			}
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
				found = append(found, path)
			}
			if len(found) == 8 {
				return found
			}
		}
	}
	return found
}

// probe runs the interpreter at path and reads its version.
func probe(ctx context.Context, path string, limit time.Duration) (Interpreter, error) {
	// Python 2 does not know -I, which is these three and leaves the folder of the
	// script out of the module path: only sys is imported here, which is built in.
	output, err := runTool(ctx, limit, tool{args: []string{path, "-E", "-s", "-S", "-c", probeCode}, dir: "/"})
	var timeout *timeoutError
	switch {
	case ctx.Err() != nil:
		return Interpreter{}, context.Cause(ctx)
	case errors.As(err, &timeout):
		return Interpreter{}, withOutput(badInterpreter(fmt.Sprintf("%s did not say its version within %s", path, limit),
			"Run it by hand: `"+path+" -c 'print(1)'` must end at once."), output)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC), errors.Is(err, fs.ErrNotExist):
		e := badInterpreter("run "+path, "Set python.interpreter to a Python that runs on this machine.")
		e.Err = err
		return Interpreter{}, e
	case err != nil:
		e := withOutput(badInterpreter(fmt.Sprintf("%s does not run as a Python", path), "Run it by hand: `"+path+" -c 'print(1)'`."), output)
		e.Err = err
		return Interpreter{}, e
	}
	answers := probeAnswer.FindAllStringSubmatch(output, -1)
	if len(answers) == 0 {
		return Interpreter{}, withOutput(badInterpreter(fmt.Sprintf("%s is no Python: asked for its version, it ended without an answer", path),
			"Set python.interpreter to a Python 3.7 or newer."), output)
	}
	answer := answers[len(answers)-1]
	found := Interpreter{Path: path, Implementation: answer[4]}
	for i := range found.Version {
		found.Version[i], _ = strconv.Atoi(answer[1+i])
	}
	if slices.Compare(found.Version[:], oldestPython[:]) < 0 {
		return Interpreter{}, badInterpreter(fmt.Sprintf("%s is Python %d.%d.%d, which is too old", path, found.Version[0], found.Version[1], found.Version[2]),
			noInterpreter("").Hint+" Python 3.7 is the oldest that works.")
	}
	return found, nil
}

// withOutput adds the last lines that a program wrote.
func withOutput(e *pipeline.Error, output string) *pipeline.Error {
	e.Stderr = lastLines(output, 20)
	return e
}
