package objects

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

func TestPlaceUnderLockNeverReplaces(t *testing.T) {
	t.Parallel()
	const n = 16
	root := t.TempDir()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		temp := filepath.Join(root, fmt.Sprintf(".tmp-%d", i))
		if err := os.WriteFile(temp, []byte(temp), 0o666); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { errs[i] = placeUnderLock(temp, filepath.Join(root, "once")) })
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won < 0:
			won = i
		case !errors.Is(err, ErrExist):
			t.Errorf("number %d beside %d: %v", i, won, err)
		}
	}
	got, err := os.ReadFile(filepath.Join(root, "once"))
	if want := filepath.Join(root, fmt.Sprintf(".tmp-%d", won)); err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestPlaceKnowsItsOwnFile(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	temp, name := filepath.Join(root, ".tmp-1"), filepath.Join(root, "f")
	if err := os.WriteFile(temp, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(temp, name); err != nil { // the link whose reply was lost
		t.Fatal(err)
	}
	if err := place(temp, name); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(temp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary name: %v", err)
	}
}

func TestWriterNamesTheFileInErrors(t *testing.T) {
	t.Parallel()
	temp, err := os.Create(filepath.Join(t.TempDir(), ".tmp-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer temp.Close()
	w := &localWriter{file: temp, name: "out/final"}
	err = w.named(&fs.PathError{Op: "write", Path: temp.Name(), Err: syscall.ENOSPC})
	if err.Error() != "write out/final: no space left on device" || !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if err := w.named(&fs.PathError{Op: "read", Path: "in/source", Err: syscall.EIO}); err.Error() != "read in/source: input/output error" {
		t.Errorf("of a source: %v", err)
	}
}
