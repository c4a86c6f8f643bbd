package pyworker

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestFoldersOfKilledRunsAreRemoved(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	running, err := newTempDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	killed, err := newTempDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	shut := filepath.Join(killed.Path, "model", "shut")
	if err := os.MkdirAll(shut, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(shut, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shut, 0); err != nil {
		t.Fatal(err)
	}
	if err := unlock(killed.lock); err != nil { // as the system does for a dead process
		t.Fatal(err)
	}
	others := []string{"cpr-batch-notes", "cpr-batch-12", "other-1"}
	for _, name := range others {
		if err := os.Mkdir(filepath.Join(parent, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	next, err := newTempDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	if exists(killed.Path) {
		t.Error("the folder of the killed run is still there")
	}
	if !exists(running.Path) || !exists(next.Path) {
		t.Error("a folder in use was removed")
	}
	for _, name := range others {
		if !exists(filepath.Join(parent, name)) {
			t.Errorf("%s, which is nobody's, was removed", name)
		}
	}
	for _, d := range []*TempDir{running, next, next} {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if exists(d.Path) {
			t.Errorf("%s is still there", d.Path)
		}
	}
}

func TestTempDirIsPrivate(t *testing.T) {
	t.Parallel()
	d, err := newTempDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(os.FileMode(0o700), info.Mode().Perm()); diff != "" {
		t.Error(diff)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestTempDirThatCanNotBeMade(t *testing.T) {
	t.Parallel()
	_, err := newTempDir(filepath.Join(t.TempDir(), "missing"))
	var fault *pipeline.Error
	if !errors.As(err, &fault) || fault.Remedy != pipeline.FixConfig || fault.Hint == "" {
		t.Errorf("error %v", err)
	}
}
