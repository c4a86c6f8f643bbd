package pyworker

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// EnvironmentInfo describes one environment that is kept.
type EnvironmentInfo struct {
	Path         string
	Whole        bool   // a run can use it; else it is being made, or its making was killed
	Python       string // the interpreter it was made for
	Requirements []string
	LastUsed     time.Time
	Size         int64
}

var envName = regexp.MustCompile(`^[0-9a-f]{32}$`)

// List describes all environments, by path.
func (s Environments) List(ctx context.Context) ([]EnvironmentInfo, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, cacheError("list the environments", err)
	}
	var all []EnvironmentInfo
	for _, e := range entries {
		if !e.IsDir() || !envName.MatchString(e.Name()) {
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		all = append(all, describe(filepath.Join(s.Dir, e.Name())))
	}
	return all, nil
}

func describe(folder string) EnvironmentInfo {
	info := EnvironmentInfo{Path: folder, Size: diskSize(folder)}
	used := folder
	if record, err := readRecord(folder); err == nil {
		info.Whole, info.Python, info.Requirements = true, record.Python, record.Requirements
		used = filepath.Join(folder, recordName)
	}
	if stat, err := os.Stat(used); err == nil {
		info.LastUsed = stat.ModTime()
	}
	return info
}

// diskSize adds up the files below a folder.
func diskSize(folder string) int64 {
	var size int64
	_ = filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}

// Prune removes the environments that were last used before the given time, and returns
// them. One that a run uses, or makes, stays.
func (s Environments) Prune(ctx context.Context, before time.Time) ([]EnvironmentInfo, error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	var removed []EnvironmentInfo
	for _, info := range all {
		if ctx.Err() != nil {
			return removed, context.Cause(ctx)
		}
		if !info.LastUsed.Before(before) {
			continue
		}
		done, err := prune(ctx, info.Path)
		if err != nil {
			return removed, cacheError("remove "+info.Path, err)
		}
		if done {
			removed = append(removed, info)
		}
	}
	return removed, nil
}

// errInUse ends the wait for the lock of an environment that is to be removed.
var errInUse = errors.New("in use")

func prune(ctx context.Context, folder string) (bool, error) {
	lock, err := lockPath(ctx, filepath.Join(folder, "lock"), syscall.LOCK_EX, func() error { return errInUse })
	if errors.Is(err, errInUse) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = unlock(lock) }()
	if err := clearEnvironment(folder); err != nil {
		return false, err
	}
	return true, removeTree(folder)
}
