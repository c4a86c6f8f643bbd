package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Local is the Store of the disk: objects are regular files, names are paths, relative
// ones to the current folder. Links are followed, those to folders too. Names are bytes:
// they need not be UTF-8. What is neither file nor folder (pipes, sockets, devices) is
// not listed, and an error elsewhere.
//
// The generation of a file is its size and the time of its last change. The inode is
// left out on purpose: mounted buckets and other file systems in user space give a file
// another one on every mount.
type Local struct{}

var _ Store = (*Local)(nil)

// NewLocal returns the Store of the disk.
func NewLocal() *Local { return &Local{} }

func describe(name string, info fs.FileInfo) Object {
	return Object{
		Name:       name,
		Size:       info.Size(),
		Generation: fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano()),
		Updated:    info.ModTime(),
	}
}

// Stat describes one file.
func (l *Local) Stat(ctx context.Context, name string) (Object, error) {
	if err := context.Cause(ctx); err != nil {
		return Object{}, err
	}
	info, err := os.Stat(name)
	switch {
	case isAbsent(err):
		return Object{}, fmt.Errorf("stat %s: %w", name, ErrNotExist)
	case err != nil:
		return Object{}, err
	case info.IsDir():
		return Object{}, fmt.Errorf("stat %s: a folder, and no file of that name: %w", name, ErrNotExist)
	case !info.Mode().IsRegular():
		return Object{}, fmt.Errorf("stat %s: %w", name, errIrregular)
	}
	return describe(name, info), nil
}

var errIrregular = errors.New("neither a file nor a folder")

// isAbsent is also true where a folder of the path is a file, and for what is too long to
// be a name (a pattern, say).
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG)
}

// Remove removes one file, never a folder.
func (l *Local) Remove(ctx context.Context, name string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	// Not os.Remove, which would take an empty folder too.
	if err := syscall.Unlink(name); err != nil && !isAbsent(err) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}
