package pyworker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestFullDiskBesideTheCacheCostsNoKeptModel(t *testing.T) {
	t.Parallel()
	b := newBucket(nil)
	m, _ := models(t)
	folders := fill(t, b, m, "old")
	b.put("gs://b/m/w", "x")
	b.onOpen = func(context.Context, string) error { return fmt.Errorf("write: %w", syscall.ENOSPC) }
	other := fmt.Sprintf("/dev/shm/cpr-batch-test-%d", os.Getpid()) // a disk of its own
	t.Cleanup(func() { _ = os.RemoveAll(other) })
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if onOneDisk(m.Dir, other) {
		t.Fatal("the test needs two disks")
	}
	found, err := FindModel(t.Context(), b, "/job", ModelConfig{Origin: "gs://b/m"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := found.Stage(t.Context(), m, other); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if !exists(folders["old"]) {
		t.Error("a kept model was removed")
	}
}
