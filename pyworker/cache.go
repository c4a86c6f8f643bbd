package pyworker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// cache is a folder of things that are made once, kept, and used by many runs, each in a
// folder named by the hash of what it was made from:
//
//	<hash>/lock          locked while the entry is made (exclusively) or used (shared)
//	<hash>/<record>      written when the entry is whole, last
//	<hash>/<prefix>XXXX  the entry's content
//
// The content is made where it stays, under a name that nobody else knows until the
// record tells it.
type cache struct {
	dir    string
	record string                              // a file name
	prefix string                              // of the content's name
	what   string                              // an entry, in logs and errors: "environment"
	fault  func(doing string, err error) error // an error of the folder
	log    *slog.Logger
}

// recorded is a record: what is known of an entry that is whole.
type recorded interface {
	content() string // the name of the entry's content
}

// record is the part that all records have.
type record struct {
	Folder string `json:"folder"`
}

func (r record) content() string { return r.Folder }

// entryMaker makes one kind of entry.
type entryMaker struct {
	// whole tells whether the entry in a folder can be used.
	whole func(folder string) bool
	// build makes the content in the empty folder target, by whose base name the record
	// that it returns calls it.
	build func(ctx context.Context, target string) (recorded, error)
}

// makings bounds how often an entry that is removed, or spoilt, again and again is made.
const makings = 10

// open returns the folder of the entry of that hash, which is made when there is none that
// is whole, and its lock: until that is given up nobody removes the entry. Two that need
// the same entry make it once.
func (c cache) open(ctx context.Context, hash string, m entryMaker) (folder string, lock *os.File, err error) {
	folder = filepath.Join(c.dir, hash)
	for range makings {
		// It exists: but it was removed before that was looked at, and is made anew below.
		if err := os.MkdirAll(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", nil, c.fault("make the folder for the "+c.what, err)
		}
		lock, err := c.lock(ctx, folder, syscall.LOCK_SH)
		if err != nil {
			return "", nil, err
		}
		if lock != nil && m.whole(folder) {
			now := time.Now()
			_ = os.Chtimes(filepath.Join(folder, c.record), now, now) // last used; a cache that is read-only by now still works
			return folder, lock, nil
		}
		if lock != nil {
			_ = unlock(lock)
		}
		if err := c.make(ctx, folder, m); err != nil {
			return "", nil, err
		}
	}
	return "", nil, c.fault("keep the "+c.what, errors.New("it is removed again and again: "+folder))
}

// lock locks a folder, and says so when it has to wait. It returns nothing when the
// folder was removed meanwhile.
func (c cache) lock(ctx context.Context, folder string, how int) (*os.File, error) {
	lock, err := lockPath(ctx, filepath.Join(folder, "lock"), how, func() error {
		c.log.Info("another run makes the same "+c.what+": waiting for it", slog.String("path", folder))
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
	return nil, c.fault("lock the "+c.what, err)
}

// make makes the entry in folder, unless another run has done so meanwhile.
func (c cache) make(ctx context.Context, folder string, m entryMaker) error {
	lock, err := c.lock(ctx, folder, syscall.LOCK_EX)
	if err != nil || lock == nil {
		return err
	}
	defer func() { _ = unlock(lock) }()
	if m.whole(folder) {
		return nil
	}
	if err := c.clear(folder); err != nil {
		return c.fault("remove a half-made "+c.what, err)
	}
	target, err := os.MkdirTemp(folder, c.prefix)
	if err != nil {
		return c.fault("make the folder for the "+c.what, err)
	}
	made, err := m.build(ctx, target)
	if err == nil {
		if err = c.write(folder, made); err != nil {
			err = c.fault("keep the "+c.what, err)
		}
	}
	if err != nil {
		_ = c.clear(folder)
	}
	return err
}

// write gives a folder its record, in one step.
func (c cache) write(folder string, made recorded) error {
	data, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(folder, c.record)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// readRecord reads the record of a whole entry.
func readRecord[R recorded](c cache, folder string) (R, error) {
	var r R
	path := filepath.Join(folder, c.record)
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", path, err)
	}
	if name := r.content(); name != filepath.Base(name) || !strings.HasPrefix(name, c.prefix) {
		return r, fmt.Errorf("read %s: %q is not the folder of a %s", path, name, c.what)
	}
	return r, nil
}

// clear removes all of an entry's folder but its lock; first the record, so that what is
// left is never used.
func (c cache) clear(folder string) error {
	if err := os.Remove(filepath.Join(folder, c.record)); err != nil && !errors.Is(err, fs.ErrNotExist) {
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
