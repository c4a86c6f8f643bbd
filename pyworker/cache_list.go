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

// Kept is what an environment and a model that are kept for later runs have in common.
type Kept struct {
	Path     string
	Whole    bool // a run can use it; else it is being made, or its making was killed
	LastUsed time.Time
	Size     int64
}

var entryName = regexp.MustCompile(`^[0-9a-f]{32}$`)

// list returns the folders of all entries, by path.
func (c cache) list(ctx context.Context) ([]string, error) {
	entries, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) { // also of "", where nothing is kept
		return nil, nil
	}
	if err != nil {
		return nil, c.fault("list what is kept", err)
	}
	var all []string
	for _, e := range entries {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if e.IsDir() && entryName.MatchString(e.Name()) {
			all = append(all, filepath.Join(c.dir, e.Name()))
		}
	}
	return all, nil
}

// describe tells what is known of every entry, whole or not, whose record was read.
func (c cache) describe(folder string, whole bool) Kept {
	kept := Kept{Path: folder, Whole: whole, Size: diskSize(folder)}
	used := folder
	if whole {
		used = filepath.Join(folder, c.record)
	}
	if stat, err := os.Stat(used); err == nil {
		kept.LastUsed = stat.ModTime()
	}
	return kept
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

// errInUse ends the wait for the lock of an entry that is to be removed.
var errInUse = errors.New("in use")

// remove removes an entry, unless a run uses it, or makes it; it tells whether it did.
func (c cache) remove(ctx context.Context, folder string) (bool, error) {
	lock, err := lockPath(ctx, filepath.Join(folder, "lock"), syscall.LOCK_EX, func() error { return errInUse })
	if errors.Is(err, errInUse) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, c.fault("remove "+folder, err)
	}
	defer func() { _ = unlock(lock) }()
	if err = c.clear(folder); err == nil {
		err = os.Remove(lock.Name())
	}
	if err == nil {
		err = os.Remove(folder)
	}
	// As soon as the lock file is gone, another run may begin the entry anew, or remove it.
	if err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
		return false, c.fault("remove "+folder, err)
	}
	return true, nil
}

// pruned is the part of all that was last used before the given time, and is removed now.
func pruned[E interface{ kept() Kept }](ctx context.Context, c cache, all []E, before time.Time) ([]E, error) {
	var removed []E
	for _, e := range all {
		if ctx.Err() != nil {
			return removed, context.Cause(ctx)
		}
		if !e.kept().LastUsed.Before(before) {
			continue
		}
		done, err := c.remove(ctx, e.kept().Path)
		if err != nil {
			return removed, err
		}
		if done {
			removed = append(removed, e)
		}
	}
	return removed, nil
}

func (k Kept) kept() Kept { return k }
