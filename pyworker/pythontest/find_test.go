package pythontest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pyworker/pythontest"
)

// TestFind also says what it found, for those who read what CI says.
func TestFind(t *testing.T) {
	t.Parallel()
	found, err := pythontest.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("pythons found: %s", pythontest.Versions(found))
	for i, p := range found {
		if i > 0 && found[i-1].Minor >= p.Minor {
			t.Errorf("%s stands behind %s", p.Version(), found[i-1].Version())
		}
		if info, err := os.Stat(p.Path); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s is no file: %v", p.Path, err)
		}
	}
}

// fake makes a file that says it is some interpreter.
func fake(t *testing.T, path, answer string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho "+answer+"\n"), 0o777); err != nil {
		t.Fatal(err)
	}
}

func TestFindTakesTheNewestOfEachMinorVersion(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, version := range map[string]string{
		"bin/python3": "3 9 1", "bin/python3.11": "3 11 4", "bin/python3.13": "3 14 0", "bin/python3.8": "2 8 0",
		"root/versions/3.9.18/bin/python3": "3 9 18", "root/versions/3.6.1/bin/python3": "3 6 1",
		"home/.pyenv/versions/3.11.2/bin/python3": "3 11 2", "home/.pyenv/versions/3.10.9/bin/python3": "3 10 9",
	} {
		fake(t, path(name), "cpython "+version+" "+path(name))
	}
	fake(t, path("root/versions/pypy/bin/python3"), "pypy 3 12 1 "+path("pypy"))
	fake(t, path("root/versions/broken/bin/python3"), "nothing")
	if err := os.Symlink("python3", path("bin/python3.12")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path("bin"))
	t.Setenv("PYENV_ROOT", path("root"))
	t.Setenv("HOME", path("home"))
	found, err := pythontest.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range found {
		got = append(got, fmt.Sprint(p.Version(), " ", p.Path))
	}
	want := []string{
		"3.9.18 " + path("root/versions/3.9.18/bin/python3"),
		"3.10.9 " + path("home/.pyenv/versions/3.10.9/bin/python3"),
		"3.11.4 " + path("bin/python3.11"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := pythontest.Versions(found); got != "3.9.18 3.10.9 3.11.4" {
		t.Errorf("versions: %s", got)
	}
}

func TestFindSaysThatThereIsNone(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("PYENV_ROOT", "")
	t.Setenv("HOME", dir)
	if found, err := pythontest.Find(t.Context()); err == nil {
		t.Errorf("found %v", found)
	}
}
