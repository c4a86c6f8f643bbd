package pyworker

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Environments are the Python environments that were made for python.requirements, each
// in a folder named by the hash of what it was made from, with the record env.json.
//
// An environment can not be moved, since its scripts hold its path: it is made where it
// stays.
type Environments struct {
	Dir   string        // of all environments
	UV    string        // the program uv; "": environments are made by venv and pip
	Store objects.Store // where requirements files are that are in Cloud Storage
	Log   *slog.Logger
}

// UserEnvironments are those in the user's cache folder, made by uv where it is on PATH.
func UserEnvironments(store objects.Store, log *slog.Logger) (Environments, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Environments{}, cacheError("find the user's cache folder", err)
	}
	uv, err := exec.LookPath("uv")
	if err != nil {
		uv = ""
	}
	return Environments{Dir: filepath.Join(cache, "cpr-batch", "envs"), UV: uv, Store: store, Log: log}, nil
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
	record
	Python       string   `json:"python"`
	Requirements []string `json:"requirements"`
	Tool         string   `json:"tool"`
}

const recordName = "env.json"

func (s Environments) cache() cache {
	return cache{dir: s.Dir, record: recordName, prefix: "python-", what: "environment", fault: cacheError, log: s.Log}
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
	needs, err := readRequirements(ctx, s.Store, cfg.Requirements, dir)
	if err != nil {
		return nil, err
	}
	found := base
	c := s.cache()
	_, lock, err := c.open(ctx, needs.hash(base), entryMaker{
		whole: func(folder string) bool {
			record, err := readRecord[envRecord](c, folder)
			if err != nil {
				return false
			}
			found.Path = filepath.Join(folder, record.Folder, "bin", "python")
			_, err = os.Stat(found.Path)
			return err == nil // else the Python that it rests on is gone
		},
		build: func(ctx context.Context, target string) (recorded, error) { return s.build(ctx, target, needs, base) },
	})
	if err != nil {
		return nil, err
	}
	return &Environment{Interpreter: found, lock: lock}, nil
}

// build makes an environment in an empty folder.
func (s Environments) build(ctx context.Context, target string, needs requirements, base Interpreter) (recorded, error) {
	b := builder{uv: s.UV, base: base, needs: needs, target: target}
	if slices.Compare(base.Version[:], []int{3, 8}) < 0 {
		b.uv = "" // which knows Python from 3.8 on
	}
	started := time.Now()
	s.Log.Info("making the Python environment", slog.String("path", target), slog.String("by", b.name()), slog.String("python", base.String()))
	if err := b.run(ctx); err != nil {
		return nil, err
	}
	s.Log.Info("Python environment made", slog.Duration("took", time.Since(started).Round(time.Millisecond)))
	return envRecord{record: record{Folder: filepath.Base(target)}, Python: base.String(), Requirements: needs.first(), Tool: b.name()}, nil
}
