package pyworker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// Environments are the Python environments that were made for python.requirements, each
// in a folder named by the hash of what it was made from:
//
//	<hash>/lock         locked while the environment is made (exclusively) or used (shared)
//	<hash>/env.json     written when the environment is whole, last
//	<hash>/python-XXXX  the environment itself
//
// An environment can not be moved, since its scripts hold its path. So it is made where
// it stays, under a name that nobody else knows until env.json tells it.
type Environments struct {
	Dir string // of all environments
	UV  string // the program uv; "": environments are made by venv and pip
	Log *slog.Logger
}

// UserEnvironments are those in the user's cache folder, made by uv where it is on PATH.
func UserEnvironments(log *slog.Logger) (Environments, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Environments{}, cacheError("find the user's cache folder", err)
	}
	uv, err := exec.LookPath("uv")
	if err != nil {
		uv = ""
	}
	return Environments{Dir: filepath.Join(cache, "cpr-batch", "envs"), UV: uv, Log: log}, nil
}

// cacheError is an error of the folder that environments are kept in.
func cacheError(doing string, err error) error {
	e := &pipeline.Error{Remedy: pipeline.FixConfig, Phase: pipeline.PhaseConfigure, Message: "python.requirements: " + doing, Err: err,
		Hint: "Environments are kept in the user's cache folder: set HOME, or XDG_CACHE_HOME, to a folder that can be written."}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		e.Remedy = pipeline.TryAgain
		e.Hint = "Make room on that disk, `cpr-batch env prune` removes environments that are not used, or set XDG_CACHE_HOME to a folder on another."
	}
	return e
}

// Environment is a Python environment in use: until Close nobody removes it.
type Environment struct {
	// Interpreter is the environment's own, or the one given where the job needs no
	// environment.
	Interpreter Interpreter
	lock        *os.File
}

// Close gives the environment up. It may be called twice.
func (e *Environment) Close() error {
	if e.lock == nil {
		return nil
	}
	err := unlock(e.lock)
	e.lock = nil
	return err
}

// envRecord is env.json.
type envRecord struct {
	Folder       string   `json:"folder"`
	Python       string   `json:"python"`
	Requirements []string `json:"requirements"`
	Tool         string   `json:"tool"`
}

// Open returns the environment that cfg asks for, on top of the interpreter base. It is
// made when there is none yet; two runs that need the same one make it once. Paths in cfg
// are relative to dir.
//
// Its errors are *pipeline.Error of phase configure, or the context's.
func (s Environments) Open(ctx context.Context, cfg PythonConfig, dir string, base Interpreter) (*Environment, error) {
	if cfg.Requirements.File == "" && len(cfg.Requirements.Lines) == 0 {
		return &Environment{Interpreter: base}, nil
	}
	needs, err := readRequirements(ctx, cfg.Requirements, dir)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(s.Dir, needs.hash(base))
	for {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, cacheError("make the folder for the environment", err)
		}
		env, err := s.use(ctx, folder, base)
		if env != nil || err != nil {
			return env, err
		}
		if err := s.make(ctx, folder, needs, base); err != nil {
			return nil, err
		}
	}
}

// use opens the environment in folder, or returns nothing where there is none that works.
func (s Environments) use(ctx context.Context, folder string, base Interpreter) (*Environment, error) {
	lock, err := s.lock(ctx, folder, syscall.LOCK_SH)
	if err != nil || lock == nil {
		return nil, err
	}
	record, err := readRecord(folder)
	if err != nil {
		_ = unlock(lock)
		return nil, nil
	}
	found := base
	found.Path = filepath.Join(folder, record.Folder, "bin", "python")
	if _, err := os.Stat(found.Path); err != nil { // the Python that it rests on is gone
		_ = unlock(lock)
		return nil, nil
	}
	now := time.Now()
	_ = os.Chtimes(filepath.Join(folder, recordName), now, now) // last used; a cache that is read-only by now still works
	return &Environment{Interpreter: found, lock: lock}, nil
}

// lock locks a folder, and says so when it has to wait. It returns nothing when the
// folder was removed meanwhile.
func (s Environments) lock(ctx context.Context, folder string, how int) (*os.File, error) {
	lock, err := lockPath(ctx, filepath.Join(folder, "lock"), how, func() error {
		s.Log.Info("another run makes the same Python environment: waiting for it", slog.String("path", folder))
		return nil
	})
	switch {
	case err == nil:
		return lock, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, cacheError("lock the environment", err)
}

// make makes the environment in folder, unless another run has done so meanwhile.
func (s Environments) make(ctx context.Context, folder string, needs requirements, base Interpreter) error {
	lock, err := s.lock(ctx, folder, syscall.LOCK_EX)
	if err != nil || lock == nil {
		return err
	}
	defer func() { _ = unlock(lock) }()
	if record, err := readRecord(folder); err == nil {
		if _, err := os.Stat(filepath.Join(folder, record.Folder, "bin", "python")); err == nil {
			return nil
		}
	}
	if err := clearEnvironment(folder); err != nil {
		return cacheError("remove a half-made environment", err)
	}
	target, err := os.MkdirTemp(folder, "python-")
	if err != nil {
		return cacheError("make the folder for the environment", err)
	}
	b := builder{uv: s.UV, base: base, needs: needs, target: target}
	if slices.Compare(base.Version[:], []int{3, 8}) < 0 {
		b.uv = "" // which knows Python from 3.8 on
	}
	started := time.Now()
	s.Log.Info("making the Python environment", slog.String("path", target), slog.String("by", b.name()), slog.String("python", base.String()))
	if err := b.run(ctx); err != nil {
		_ = clearEnvironment(folder)
		return err
	}
	record := envRecord{Folder: filepath.Base(target), Python: base.String(), Requirements: needs.first(), Tool: b.name()}
	if err := writeRecord(folder, record); err != nil {
		return cacheError("keep the environment", err)
	}
	s.Log.Info("Python environment made", slog.Duration("took", time.Since(started).Round(time.Millisecond)))
	return nil
}

const recordName = "env.json"

// readRecord reads the record of a whole environment.
func readRecord(folder string) (envRecord, error) {
	var r envRecord
	data, err := os.ReadFile(filepath.Join(folder, recordName))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", filepath.Join(folder, recordName), err)
	}
	if r.Folder == "" || r.Folder != filepath.Base(r.Folder) || !strings.HasPrefix(r.Folder, "python-") {
		return r, fmt.Errorf("read %s: %q is no environment's folder", filepath.Join(folder, recordName), r.Folder)
	}
	return r, nil
}

// writeRecord makes the environment the one of its folder, in one step.
func writeRecord(folder string, r envRecord) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(folder, recordName)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// clearEnvironment removes all of an environment's folder but its lock; first the record,
// so that what is left is never used.
func clearEnvironment(folder string) error {
	if err := os.Remove(filepath.Join(folder, recordName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			err = errors.Join(err, removeTree(filepath.Join(folder, e.Name())))
		}
	}
	return err
}
