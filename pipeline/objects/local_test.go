package objects_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

func TestLocal(t *testing.T) {
	t.Parallel()
	testStore(t, func(t *testing.T) (objects.Store, string) { return objects.NewLocal(), t.TempDir() }, "new\nline")
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

func TestLocalNoticesAChangeWhileItReads(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(name string) error{
		"cut":               func(name string) error { return os.Truncate(name, 2) },
		"cut to what was":   func(name string) error { return os.Truncate(name, 4) },
		"grown":             func(name string) error { return os.Truncate(name, 100) },
		"another time":      func(name string) error { return os.Chtimes(name, time.Time{}, time.Unix(1, 1)) },
		"another's content": func(name string) error { return os.WriteFile(name, []byte("76543210"), 0o666) },
	} {
		for _, length := range []int64{-1, 8, 4} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "f")
				write(t, file, "01234567")
				if err := os.Chtimes(file, time.Time{}, time.Unix(1000, 0)); err != nil {
					t.Fatal(err)
				}
				s := objects.NewLocal()
				o, err := s.Stat(t.Context(), file)
				if err != nil {
					t.Fatal(err)
				}
				r, err := s.Open(t.Context(), o, 0, length)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
				if err := change(file); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(r); !errors.Is(err, objects.ErrChanged) || !strings.Contains(err.Error(), file) {
					t.Errorf("read: %v", err)
				}
				if err := r.Close(); !errors.Is(err, objects.ErrChanged) {
					t.Errorf("close: %v", err)
				}
				if err := r.Close(); err != nil {
					t.Errorf("close again: %v", err)
				}
			})
		}
	}
}

func TestLocalListFollowsLinks(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	write(t, at("in/a"), "a")
	write(t, at("elsewhere/b"), "bb")
	write(t, at("elsewhere/deep/c"), "ccc")
	link(t, "../elsewhere/b", at("in/file"))
	link(t, at("elsewhere"), at("in/folder"))
	link(t, at("in"), at("elsewhere/deep/back"))
	link(t, ".", at("in/self"))
	if err := syscall.Mkfifo(at("in/pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	s := objects.NewLocal()
	want := []string{at("in/a"), at("in/file"), at("in/folder/b"), at("in/folder/deep/c")}
	if diff := cmp.Diff(want, names(t, s, at("in"))); diff != "" {
		t.Error(diff)
	}
	if o, err := s.Stat(t.Context(), at("in/file")); err != nil || o.Size != 2 {
		t.Errorf("a link is described as %+v, %v", o, err)
	}
	if err := s.Copy(t.Context(), at("in/file"), at("out/copy")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(at("out/copy")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the copy of a link is %v, %v", info.Mode(), err)
	}
	if _, err := s.Stat(t.Context(), at("in/pipe")); err == nil || errors.Is(err, objects.ErrNotExist) {
		t.Errorf("stat a pipe: %v", err)
	}
	if _, err := s.Open(t.Context(), objects.Object{Name: at("in/pipe")}, 0, -1); err == nil {
		t.Error("open a pipe: no error")
	}
}

func TestLocalListGoesOnBehindAnError(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "a"), "")
	write(t, filepath.Join(root, "c"), "")
	link(t, "nowhere", filepath.Join(root, "b"))
	var got []string
	for o, err := range objects.NewLocal().List(t.Context(), root) {
		if err != nil {
			o.Name += " " + errors.Unwrap(err).Error()
		}
		got = append(got, strings.TrimPrefix(o.Name, root))
	}
	if diff := cmp.Diff([]string{"/a", "/b no such file or directory", "/c"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLocalCreate(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := objects.NewLocal()
	put(t, s, filepath.Join(root, "new"), "x")
	write(t, filepath.Join(root, "usual"), "x")
	made, err := os.Stat(filepath.Join(root, "new"))
	if err != nil {
		t.Fatal(err)
	}
	usual, err := os.Stat(filepath.Join(root, "usual"))
	if err != nil {
		t.Fatal(err)
	}
	if made.Mode() != usual.Mode() {
		t.Errorf("mode %v; want %v", made.Mode(), usual.Mode())
	}
	if _, err := s.Create(t.Context(), filepath.Join(root, "usual/below/a/file")); err == nil || !strings.Contains(err.Error(), "usual") {
		t.Errorf("create below a file: %v", err)
	}
	if err := os.Mkdir(filepath.Join(root, "folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), filepath.Join(root, "folder")); err == nil {
		t.Error("remove a folder: no error")
	}
	w, err := s.Create(t.Context(), filepath.Join(root, "gone/file"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(root, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("commit without a folder: %v", err)
	}
}
