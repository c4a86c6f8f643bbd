package pyworker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// Staged is a model version as the workers use it: copied to, or unpacked into, a folder
// that belongs to the run.
type Staged struct {
	// ModelDir is what the Predictor is loaded from: a writable folder with the contents
	// of the model directory, or an empty one where the job has no model.origin.
	ModelDir string
	// Paths are the folders to append to the module path, in order.
	Paths []string
}

// Stage copies the model directory and the packages of cfg into the folder into, which it
// makes where it is missing. Paths in cfg are relative to dir. The folders named by except
// (the run's own output) are left out where they lie inside of what is copied.
//
// Its errors are *pipeline.Error of phase unpack, or the context's.
func Stage(ctx context.Context, dir string, cfg ModelConfig, into string, except ...string) (*Staged, error) {
	into, err := filepath.Abs(into)
	if err != nil {
		return nil, stageError("make the folder for model and packages", err)
	}
	s := &Staged{ModelDir: filepath.Join(into, "model")}
	if err := os.MkdirAll(s.ModelDir, 0o700); err != nil {
		return nil, stageError("make the folder for the model", err)
	}
	if cfg.Origin != "" {
		origin, err := openOrigin(dir, cfg, except)
		if err != nil {
			return nil, err
		}
		limit := &allowance{what: origin.what, limit: int64(cfg.MaxSize)}
		if err := origin.copy(ctx, s.ModelDir, limit); err != nil {
			return nil, err
		}
	}
	limit := &allowance{limit: int64(cfg.MaxSize)} // of all packages together
	for i, uri := range cfg.PackageURIs {
		limit.what = "the packages up to " + strconv.Quote(uri)
		folder := filepath.Join(into, "packages", strconv.Itoa(i))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, stageError("make the folder for package "+strconv.Quote(uri), err)
		}
		paths, err := stagePackage(ctx, dir, uri, folder, limit, except)
		if err != nil {
			return nil, err
		}
		s.Paths = append(s.Paths, paths...)
	}
	return s, nil
}

// stagePackage puts one package into an empty folder and returns its module paths.
func stagePackage(ctx context.Context, dir, uri, folder string, limit *allowance, except []string) ([]string, error) {
	what := "package " + strconv.Quote(uri)
	name := within(dir, uri)
	info, err := statPackage(what, name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		t := tree{what: what, root: name, skip: skipInPackage, except: except}
		if err := t.copy(ctx, folder, limit); err != nil {
			return nil, err
		}
		return withSrc(folder), nil
	}
	file, err := openArchive(what, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if err := extract(ctx, what, file, folder, limit); err != nil {
		return nil, err
	}
	return modulePaths(folder)
}

// statPackage describes what a package URI leads to: a folder, or a file.
func statPackage(what, name string) (fs.FileInfo, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, faulty("Paths in the job file are relative to its folder.", "%s does not exist: no file or folder %s", what, name)
	case err != nil:
		return nil, stageError("open "+what, err)
	case !info.IsDir() && !info.Mode().IsRegular():
		return nil, faulty("Name a .tar.gz source distribution, or a folder.", "%s is neither a file nor a folder: %s", what, kindOf(info.Mode()))
	}
	return info, nil
}

// openOrigin returns the tree of the model directory.
func openOrigin(dir string, cfg ModelConfig, except []string) (tree, error) {
	what := "model directory " + strconv.Quote(cfg.Origin)
	root := within(dir, cfg.Origin)
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return tree{}, faulty("Set model.origin to the folder that holds the model's files; paths in the job file are relative to its folder.",
			"%s does not exist: no folder %s", what, root)
	case err != nil:
		return tree{}, stageError("open "+what, err)
	case !info.IsDir():
		return tree{}, faulty("Set model.origin to the folder that holds it: the Predictor is given a folder.",
			"%s is not a folder but %s", what, kindOf(info.Mode()))
	}
	return tree{what: what, root: root, except: except}, nil
}

// within returns the path of name, which is relative to dir.
func within(dir, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}

// allowance is how much may be copied or unpacked: model.max_size, and a number of
// entries.
type allowance struct {
	what    string // of which it is the limit
	limit   int64  // 0: none
	used    int64
	entries int
}

// maxEntries bounds the files and folders of a model directory, and of all packages: a
// few bytes of an archive can stand for a file that costs the disk a block.
const maxEntries = 1_000_000

// enter counts one file or folder, at name.
func (a *allowance) enter(name string) error {
	if a.entries++; a.entries > maxEntries {
		return faulty("Leave out what the Predictor does not need, or put small files into one.",
			"%s: more than %d files and folders (at %q)", a.what, maxEntries, name)
	}
	return nil
}

// take counts n bytes of the file at name.
func (a *allowance) take(n int64, name string) error {
	if a.limit > 0 && n > a.limit-a.used {
		return faulty("Raise model.max_size in the job file, or leave out what the Predictor does not need.",
			"%s: over model.max_size, which is %s: %d bytes so far, with %q", a.what, pipeline.Bytes(a.limit), uint64(a.used)+uint64(n), name)
	}
	a.used += n
	return nil
}

// faulty is an error of the model or of a package, which trying again does not cure.
func faulty(hint, format string, values ...any) *pipeline.Error {
	return &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhaseUnpack, Message: fmt.Sprintf(format, values...), Hint: hint}
}

// stageError is an error of the machine met while doing something: a full disk, which
// may be emptied, or a file that can not be read.
func stageError(doing string, err error) error {
	var known *pipeline.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhaseUnpack, Message: doing, Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Remedy = pipeline.TryAgain
		e.Hint = fmt.Sprintf("Model and packages are copied to %s: make room there, or set TMPDIR to a folder on a larger disk.", os.TempDir())
	case errors.Is(err, syscall.EFBIG):
		e.Remedy = pipeline.TryAgain
		e.Hint = "Raise the limit on the size of files (ulimit -f)."
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "Give the user who runs the job the right to read it."
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE):
		e.Remedy = pipeline.TryAgain
	}
	return e
}

// kindOf names a kind of file.
func kindOf(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a folder"
	case fs.ModeSymlink:
		return "a symbolic link"
	case fs.ModeNamedPipe:
		return "a named pipe"
	case fs.ModeSocket:
		return "a socket"
	}
	return "a device"
}
