package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Create begins a new file: as `.tmp-*` in the folder that it will be in.
func (l *Local) Create(ctx context.Context, name string) (Writer, error) {
	w, err := l.create(ctx, name)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (l *Local) create(ctx context.Context, name string) (*localWriter, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	folder := filepath.Dir(name)
	if err := makeFolder(folder); err != nil {
		return nil, err
	}
	for {
		temp := filepath.Join(folder, ".tmp-"+strconv.FormatUint(rand.Uint64(), 36))
		f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		switch {
		case errors.Is(err, fs.ErrExist):
			continue
		case err != nil:
			return nil, err
		}
		return &localWriter{file: f, name: name}, nil
	}
}

// localWriter is a file that is not there yet.
type localWriter struct {
	file *os.File
	name string
	done bool
}

// Write appends to the file.
func (w *localWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	return n, w.named(err)
}

// named puts the file's name in the place of the temporary one.
func (w *localWriter) named(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) && pathErr.Path == w.file.Name() {
		return &fs.PathError{Op: pathErr.Op, Path: w.name, Err: pathErr.Err}
	}
	return err
}

// Commit makes the file durable and gives it its name.
func (w *localWriter) Commit(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if w.done {
		return fmt.Errorf("commit %s: %w", w.name, fs.ErrClosed)
	}
	err := w.named(w.file.Sync())
	if closing := w.file.Close(); err == nil {
		err = w.named(closing)
	}
	if err == nil {
		err = place(w.file.Name(), w.name)
	}
	if err == nil {
		w.done = true
		return syncFolder(filepath.Dir(w.name))
	}
	if aborted := w.Abort(); aborted != nil {
		return errors.Join(err, aborted)
	}
	return err
}

// Abort removes what was written.
func (w *localWriter) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	_ = w.file.Close() // closed already where Commit came so far
	if err := os.Remove(w.file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// place moves temp, a file of ours, to name, in one step and never over another file.
func place(temp, name string) error {
	err := os.Link(temp, name)
	switch {
	case cannotLink(err):
		return placeUnderLock(temp, name)
	case errors.Is(err, fs.ErrExist) && !isSame(temp, name):
		return fmt.Errorf("create %s: %w", name, ErrExist)
	case err != nil && !errors.Is(err, fs.ErrExist):
		return err
	}
	_ = os.Remove(temp) // the file is there, whatever becomes of its first name
	return nil
}

// isSame is true for two names of one file: on NFS a link whose first reply was lost is
// told to exist already.
func isSame(a, b string) bool {
	x, err := os.Lstat(a)
	if err != nil {
		return false
	}
	y, err := os.Lstat(b)
	return err == nil && os.SameFile(x, y)
}

// cannotLink tells a file system without hard links, or a file that may not have more.
func cannotLink(err error) bool {
	for _, e := range []error{syscall.EPERM, syscall.EOPNOTSUPP, syscall.ENOTSUP, syscall.ENOSYS, syscall.EMLINK, syscall.EXDEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// placeUnderLock is place on file systems without hard links (FAT, some in user space):
// whoever does this on one machine holds a lock on the folder from looking until the
// file is renamed, so that the rename replaces nothing. Several machines must not share
// an output there.
func placeUnderLock(temp, name string) error {
	folder, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer folder.Close() // which gives the lock back
	for {
		if err = syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", folder.Name(), err)
	}
	_, err = os.Lstat(name)
	switch {
	case err == nil:
		return fmt.Errorf("create %s: %w", name, ErrExist)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return os.Rename(temp, name)
}

// Copy gives a file a second name; where that can not be, its content.
func (l *Local) Copy(ctx context.Context, from, to string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	info, err := os.Lstat(from)
	switch {
	case isAbsent(err):
		return fmt.Errorf("copy %s: %w", from, ErrNotExist)
	case err != nil:
		return err
	}
	if err := makeFolder(filepath.Dir(to)); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return l.copyContent(ctx, from, to) // a link to a symbolic link would be one
	}
	err = os.Link(from, to)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("copy %s to %s: %w", from, to, ErrExist)
	case err != nil && cannotLink(err):
		return l.copyContent(ctx, from, to)
	case err != nil:
		return err
	}
	return syncFolder(filepath.Dir(to))
}

func (l *Local) copyContent(ctx context.Context, from, to string) error {
	o, err := l.Stat(ctx, from)
	if err != nil {
		return err
	}
	return l.Compose(ctx, to, []Object{o})
}

// makeFolder makes a folder and those that lead to it, durably.
func makeFolder(folder string) error {
	if info, err := os.Stat(folder); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(folder)
	if parent != folder {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	err := os.Mkdir(folder, 0o777)
	if errors.Is(err, fs.ErrExist) {
		if info, statErr := os.Stat(folder); statErr == nil && info.IsDir() {
			return nil // somebody else was faster
		}
	}
	if err != nil {
		return err
	}
	return syncFolder(parent)
}

// syncFolder makes the names in a folder durable, where the file system can.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if errors.Is(err, fs.ErrPermission) {
		return nil // writable, but not readable: it can not be opened to be synced
	}
	if err != nil {
		return err
	}
	err = f.Sync()
	if closing := f.Close(); err == nil {
		err = closing
	}
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
