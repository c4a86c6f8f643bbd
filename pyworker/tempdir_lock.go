package pyworker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// flock locks an open file, whichever way it is told to, past signals.
func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// unlock gives up a lock and closes its file. To close it is not enough: a child that is
// being started holds a copy until it runs another program.
func unlock(file *os.File) error {
	return errors.Join(flock(file, syscall.LOCK_UN), file.Close())
}

// lockPause is the time between two tries at a lock that somebody else holds.
const lockPause = 100 * time.Millisecond

// lockPath opens the file at path, which it makes where it is missing, and locks it by
// how: syscall.LOCK_EX or LOCK_SH. While somebody else holds it, it tries again until ctx
// ends; wait is called once before that, and its error ends the wait.
//
// A file that is no longer the one at path, since it was removed while it was locked,
// does not count: what is at path then is locked instead.
func lockPath(ctx context.Context, path string, how int, wait func() error) (*os.File, error) {
	waited := false
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if how == syscall.LOCK_SH && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)) {
			file, err = os.Open(path) // made by somebody else, for all to use
		}
		if err != nil {
			return nil, err
		}
		err = flock(file, how|syscall.LOCK_NB)
		if err == nil && sameFile(file, path) {
			return file, nil
		}
		if err == nil {
			_ = unlock(file)
			continue
		}
		_ = file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !waited {
			if err := wait(); err != nil {
				return nil, err
			}
			waited = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPause):
		}
	}
}

// sameFile tells whether an open file is the one at path.
func sameFile(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	found, err := os.Stat(path)
	return err == nil && os.SameFile(opened, found)
}
