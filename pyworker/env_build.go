package pyworker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// buildLimit is how long one step of making an environment may take.
const buildLimit = time.Hour

// builder makes one environment.
type builder struct {
	uv     string // "": venv and pip
	base   Interpreter
	needs  requirements
	target string // an empty folder, where the environment stays
}

// name is what makes the environment, for logs.
func (b builder) name() string {
	if b.uv != "" {
		return "uv"
	}
	return "pip"
}

// run makes the environment.
func (b builder) run(ctx context.Context) error {
	file, err := b.requirementsFile()
	if err != nil {
		return cacheError("write the requirements", err)
	}
	python := filepath.Join(b.target, "bin", "python")
	env := []string{"VIRTUAL_ENV=" + b.target}
	if b.uv != "" {
		env = append(env, "UV_PYTHON_DOWNLOADS=never", "UV_NO_PROGRESS=1")
		if err := b.step(ctx, env, b.uv, "venv", "--quiet", "--no-project", "--allow-existing", "--python", b.base.Path, b.target); err != nil {
			return err
		}
		return b.step(ctx, env, b.uv, "pip", "install", "--python", python, "-r", file)
	}
	// Debian keeps the two in a package of their own.
	if _, err := runTool(ctx, probeLimit, tool{args: []string{b.base.Path, "-I", "-c", "import ensurepip, venv"}, dir: b.needs.dir}); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return badInterpreter(b.base.Path+" can not make environments: it has no module venv, or no ensurepip",
			"Install the package that brings it (python3-venv on Debian and Ubuntu), or uv, or install the requirements into an environment of your own and set python.interpreter to its bin/python.")
	}
	if err := b.step(ctx, env, b.base.Path, "-I", "-m", "venv", b.target); err != nil {
		return err
	}
	return b.step(ctx, env, python, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "-r", file)
}

// requirementsFile returns the file to install from: the user's own, or one that holds
// the lines of the job file.
func (b builder) requirementsFile() (string, error) {
	if b.needs.file != "" {
		return b.needs.file, nil
	}
	text := ""
	for _, line := range b.needs.lines {
		// An included file is looked for beside the file that includes it.
		if included := includedFile(line); included != "" && !strings.Contains(included, "://") {
			option := "-r "
			if strings.HasPrefix(line, "-c") || strings.HasPrefix(line, "--constraint") {
				option = "-c "
			}
			line = option + objects.Join(b.needs.dir, included)
		}
		text += line + "\n"
	}
	path := filepath.Join(filepath.Dir(b.target), "requirements.txt")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// step runs one program of the making.
func (b builder) step(ctx context.Context, env []string, args ...string) error {
	output, err := runTool(ctx, buildLimit, tool{args: args, dir: b.needs.dir, env: env})
	if err == nil {
		return nil
	}
	var timeout *timeoutError
	if ctx.Err() != nil && !errors.As(err, &timeout) {
		return context.Cause(ctx)
	}
	e := &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhaseConfigure, Err: err, Stderr: lastLines(output, 20),
		Message: fmt.Sprintf("python.requirements: %s could not make the environment for %s", b.name(), b.base),
		Hint:    "Mend the requirements, or install them into an environment of your own and set python.interpreter to its bin/python."}
	switch {
	case noSpace.MatchString(output):
		e.Remedy = pipeline.TryAgain
		e.Hint = "Make room on the disk that holds " + filepath.Dir(b.target) + ": `cpr-batch env prune` removes environments that are not used."
	case timeout != nil, netTrouble.MatchString(output):
		e.Remedy = pipeline.TryAgain
		e.Hint = "The package index did not answer as it should: try again, or name another index."
		if b.uv != "" {
			e.Hint += " (uv does not read pip's configuration: UV_DEFAULT_INDEX names its index.)"
		}
	}
	return e
}

// The words by which pip and uv tell that the disk or the network is at fault, not the
// requirements: neither has an exit status of its own for it.
var (
	noSpace    = regexp.MustCompile(`(?i)no space left on device|disk quota exceeded`)
	netTrouble = regexp.MustCompile(`(?i)temporary failure in name resolution|name or service not known|nodename nor servname|dns error|` +
		`failed to establish a new connection|connection (refused|reset|aborted|broken)|network is unreachable|no route to host|` +
		`timed out|timeouterror|proxyerror|sslerror|error sending request|max retries exceeded|50[0234] server error|http status server error`)
)
