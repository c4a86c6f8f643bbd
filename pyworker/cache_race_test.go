package pyworker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestAnEntryIsRemovedWhileOthersBeginItAnew(t *testing.T) {
	t.Parallel()
	m, _ := models(t)
	c := m.cache()
	folder := filepath.Join(c.dir, strings.Repeat("a", 32))
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var removers sync.WaitGroup
	for range 2 {
		removers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := c.remove(t.Context(), folder); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 400 {
		if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
		lock, err := c.lock(t.Context(), folder, syscall.LOCK_SH)
		if err != nil {
			t.Error(err)
		}
		if lock != nil {
			_ = unlock(lock)
		}
	}
	close(done)
	removers.Wait()
}
