package pyworker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// Stage copies the model directory and the packages into the folder into, which it makes
// where it is missing; what is in Cloud Storage is downloaded through cache.
//
// Its errors are *pipeline.Error of phase unpack, or the context's.
func (m *Model) Stage(ctx context.Context, cache Models, into string) (*Staged, error) {
	into, err := filepath.Abs(into)
	if err != nil {
		return nil, stageError("make the folder for model and packages", err)
	}
	s := &Staged{ModelDir: filepath.Join(into, "model")}
	if err := os.MkdirAll(s.ModelDir, 0o700); err != nil {
		return nil, stageError("make the folder for the model", err)
	}
	if m.origin != nil {
		limit := &allowance{what: m.origin.what, limit: m.maxSize}
		if m.origin.cloud != nil {
			err = cache.fetch(ctx, m.store, m.origin.cloud, s.ModelDir, limit)
		} else {
			err = m.origin.folder.copy(ctx, s.ModelDir, limit)
		}
		if err != nil {
			return nil, err
		}
	}
	limit := &allowance{limit: m.maxSize} // of all packages together
	for i, p := range m.packages {
		limit.what = "the packages up to" + strings.TrimPrefix(p.what, "package")
		folder := filepath.Join(into, "packages", strconv.Itoa(i))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, stageError("make the folder for "+p.what, err)
		}
		if p.cloud != nil {
			err = m.unpackRemote(ctx, cache, p, folder, limit)
		} else if p.folder != nil {
			err = p.folder.copy(ctx, folder, limit)
		} else {
			err = unpack(ctx, p.what, p.archive, folder, limit)
		}
		if err != nil {
			return nil, err
		}
		paths := withSrc(folder)
		if p.folder == nil {
			if paths, err = modulePaths(folder); err != nil {
				return nil, err
			}
		}
		s.Paths = append(s.Paths, paths...)
	}
	return s, nil
}

// unpack unpacks an archive into an empty folder.
func unpack(ctx context.Context, what, name, folder string, limit *allowance) error {
	file, err := openArchive(what, name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return extract(ctx, what, file, folder, limit)
}

// unpackRemote downloads an archive and unpacks it into an empty folder.
func (m *Model) unpackRemote(ctx context.Context, cache Models, p place, folder string, limit *allowance) (err error) {
	packed := folder + ".packed"
	if err := os.Mkdir(packed, 0o700); err != nil {
		return stageError("make the folder for "+p.what, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(packed)) }()
	if err := cache.fetch(ctx, m.store, p.cloud, packed, &allowance{what: p.what}); err != nil {
		return err
	}
	name := filepath.Join(packed, p.cloud.files[0].name)
	if p.cloud.files[0].object.Gzipped {
		if err := unwrap(name, limit); err != nil {
			return stageError("unpack "+p.what, err)
		}
	}
	return unpack(ctx, p.what, name, folder, limit)
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
