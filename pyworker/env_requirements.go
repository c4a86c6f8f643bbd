package pyworker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// requirements are what is to be installed: the lines of a requirements file or of the
// job file, and what they stand for.
type requirements struct {
	file  string   // the requirements file; "": lines
	lines []string // of the file or the job file, without comments
	dir   string   // that paths in them are relative to
	all   []string // lines of all files that are included, and sums of local packages
}

// readRequirements reads requirements, and the files that they include, so that a change
// in any of them makes another environment.
func readRequirements(ctx context.Context, store objects.Store, r Requirements, dir string) (requirements, error) {
	if name := objects.Join(dir, r.File); objects.IsCloud(name) || r.File == "" && objects.IsCloud(dir) {
		return cloudRequirements(ctx, store, r, dir)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return requirements{}, badRequirements("", err)
	}
	reader := requirementReader{seen: map[string]bool{}}
	if r.File == "" {
		needs := requirements{lines: cleanLines(strings.Join(r.Lines, "\n")), dir: dir}
		err := reader.lines(ctx, needs.lines, dir, dir)
		needs.all = reader.all
		return needs, err
	}
	needs := requirements{file: objects.Join(dir, r.File)}
	needs.dir = filepath.Dir(needs.file)
	text, err := os.ReadFile(needs.file)
	if err != nil {
		return needs, badRequirements(fmt.Sprintf("read %q", r.File), err)
	}
	needs.lines = cleanLines(string(text))
	err = reader.file(ctx, needs.file, needs.dir)
	needs.all = reader.all
	return needs, err
}

func badRequirements(doing string, err error) *pipeline.Error {
	e := &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhaseConfigure, Message: "python.requirements: " + doing, Err: err}
	if errors.Is(err, fs.ErrNotExist) {
		e.Hint = "Paths in the job file are relative to its folder, and paths in a requirements file to the file's own."
	}
	return e
}

// hash names the environment: by what is installed, the interpreter and the machine.
func (r requirements) hash(base Interpreter) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "1 %s %s %q\n", runtime.GOOS, runtime.GOARCH, base.String())
	for _, line := range r.all {
		_, _ = fmt.Fprintf(h, "%q\n", line)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// first returns the first lines, for people to know the environment by.
func (r requirements) first() []string { return r.lines[:min(10, len(r.lines))] }

// cleanLines returns the lines of a requirements file without comments and blank lines,
// continued lines as one.
func cleanLines(text string) []string {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	text = strings.ReplaceAll(text, "\\\n", "")
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if i := strings.Index(line, " #"); i >= 0 {
			line = line[:i]
		}
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// requirementReader follows included files and local packages.
type requirementReader struct {
	seen map[string]bool
	all  []string
}

// file reads a requirements file. Local packages are relative to cwd, from which pip and
// uv are started, included files to the file that includes them.
func (r *requirementReader) file(ctx context.Context, path, cwd string) error {
	if r.seen[path] {
		return nil
	}
	r.seen[path] = true
	text, err := os.ReadFile(path)
	if err != nil {
		return badRequirements("read an included file", err)
	}
	return r.lines(ctx, cleanLines(string(text)), filepath.Dir(path), cwd)
}

func (r *requirementReader) lines(ctx context.Context, lines []string, dir, cwd string) error {
	for _, line := range lines {
		r.all = append(r.all, line)
		if included := includedFile(line); included != "" {
			if strings.Contains(included, "://") {
				continue
			}
			if err := r.file(ctx, objects.Join(dir, included), cwd); err != nil {
				return err
			}
			continue
		}
		if err := r.local(ctx, line, cwd); err != nil {
			return err
		}
	}
	return nil
}

// local adds what a line that names a local file or folder stands for.
func (r *requirementReader) local(ctx context.Context, line, cwd string) error {
	editable := false
	for _, option := range []string{"-e", "--editable"} {
		if value, ok := optionValue(line, option); ok {
			line, editable = value, true
		}
	}
	if _, url, ok := strings.Cut(line, " @ "); ok {
		line = url
	}
	line, _, _ = strings.Cut(line, " ")
	line, _, _ = strings.Cut(line, "[")
	path := objects.Join(cwd, strings.TrimPrefix(line, "file://"))
	info, err := os.Stat(path)
	if err != nil || line == "" || strings.HasPrefix(line, "-") {
		return nil // a name for an index, or one that pip or uv will complain of
	}
	if editable {
		r.all = append(r.all, "in "+path)
		return nil
	}
	var sum string
	if info.IsDir() {
		if !strings.ContainsRune(line, '/') && !hasAny(path, "setup.py", "pyproject.toml") {
			return nil // a folder that has the name of a package of the index
		}
		skip := func(name string, dir []string) bool { return skipInPackage(name, dir) || skipCompiled(name, dir) }
		sum, err = tree{what: "python.requirements: folder " + path, root: path, skip: skip}.sum(ctx, &allowance{what: path})
	} else {
		sum, err = fileSum(ctx, path)
	}
	if err != nil {
		return badRequirements("read "+path, err)
	}
	r.all = append(r.all, "is "+sum)
	return nil
}

// includedFile returns the file that a line includes, by -r or -c.
func includedFile(line string) string {
	for _, option := range []string{"-r", "--requirement", "-c", "--constraint"} {
		if value, ok := optionValue(line, option); ok {
			return value
		}
	}
	return ""
}

// optionValue returns the value of a line that is one option: "-r x", "-rx", "--requirement=x".
func optionValue(line, option string) (string, bool) {
	rest, ok := strings.CutPrefix(line, option)
	if !ok {
		return "", false
	}
	long := strings.HasPrefix(option, "--")
	if long && rest != "" && rest[0] != ' ' && rest[0] != '=' && rest[0] != '\t' {
		return "", false
	}
	return strings.Trim(strings.TrimSpace(strings.TrimPrefix(rest, "=")), `"'`), true
}
