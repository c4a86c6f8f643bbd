package pyworker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// tempName is what NewTempDir names its folders, and its lock file.
var tempName = regexp.MustCompile(`^cpr-batch-\d+$`)

const tempLock = ".lock"

// TempDir is a folder for the time of one run, below $TMPDIR. A lock is held on a file in
// it, so that the folder of a run that was killed is known to be nobody's.
type TempDir struct {
	Path string
	lock *os.File
}

// NewTempDir makes a folder that only this user can read, after it has removed those that
// runs of his left when they were killed.
func NewTempDir() (*TempDir, error) {
	parent, err := filepath.Abs(os.TempDir())
	if err != nil {
		return nil, tempError(err)
	}
	return newTempDir(parent)
}

func newTempDir(parent string) (*TempDir, error) {
	removeStale(parent)
	path, err := os.MkdirTemp(parent, "cpr-batch-")
	if err != nil {
		return nil, tempError(err)
	}
	lock, err := makeLock(path)
	if err != nil {
		_ = os.RemoveAll(path)
		return nil, tempError(err)
	}
	return &TempDir{Path: path, lock: lock}, nil
}

// makeLock makes the lock file of a folder: locked before it has its name, since a run
// that starts just now takes a lock file that is not locked for one of the dead.
func makeLock(folder string) (*os.File, error) {
	path := filepath.Join(folder, tempLock)
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(file, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func tempError(err error) error {
	e := &pipeline.Error{Remedy: pipeline.FixConfig, Phase: pipeline.PhaseConfigure, Message: "make a temporary folder", Err: err,
		Hint: "Set TMPDIR to a folder on disk that can be written."}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		e.Remedy = pipeline.TryAgain
	}
	return e
}

// Close removes the folder and all in it. It may be called twice.
func (t *TempDir) Close() error {
	if t.lock == nil {
		return nil
	}
	err := removeTree(t.Path)
	err = errors.Join(err, unlock(t.lock))
	t.lock = nil
	if err != nil {
		return fmt.Errorf("remove the temporary folder: %w", err)
	}
	return nil
}

// removeStale removes the temporary folders below parent that are this user's, and that
// no run holds. What can not be removed stays: the run does not depend on it.
func removeStale(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !tempName.MatchString(e.Name()) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Getuid() {
			continue
		}
		removeUnheld(filepath.Join(parent, e.Name()))
	}
}

func removeUnheld(folder string) {
	// Non-blocking, for a named pipe in its place.
	file, err := os.OpenFile(filepath.Join(folder, tempLock), os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return
	}
	if flock(file, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		_ = removeTree(folder)
	}
}

// removeTree removes a file, or a folder and all below it, read-only folders too.
// The lock file goes last: a removal that is cut short is finished by the next start.
func removeTree(folder string) error {
	err := removeContents(folder)
	if err != nil {
		_ = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				_ = os.Chmod(path, 0o700)
			}
			return nil
		})
		err = removeContents(folder)
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(folder)
}

func removeContents(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	for _, e := range entries {
		if e.Name() != tempLock {
			err = errors.Join(err, os.RemoveAll(filepath.Join(folder, e.Name())))
		}
	}
	return err
}
