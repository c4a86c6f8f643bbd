package objects

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestComposeOnAFullDisk(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, make([]byte, 1<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	w := &localWriter{file: full, name: "out/final"}
	if err := w.appendFile(t.Context(), Object{Name: source}); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "out/final") {
		t.Errorf("%v; want that there is no room for out/final", err)
	}
}
