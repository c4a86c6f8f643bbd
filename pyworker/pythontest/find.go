// Package pythontest finds the interpreters that tests run on: every minor version of
// CPython that the worker promises to work with and that is on this machine. It is for
// tests only, and knows nothing of how the program itself finds one.
package pythontest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// The minor versions of Python 3 that are looked for.
const (
	oldest = 7
	newest = 13
)

// probeLimit is how long an interpreter may take to say what it is.
const probeLimit = 20 * time.Second

// Python is one CPython.
type Python struct {
	Path  string // absolute, as the interpreter itself has it
	Minor int    // of 3
	Patch int
}

// Version is how it is written: 3.11.7.
func (p Python) Version() string { return fmt.Sprintf("3.%d.%d", p.Minor, p.Patch) }

// Versions writes the versions of all, with blanks between them.
func Versions(all []Python) string {
	var versions []string
	for _, p := range all {
		versions = append(versions, p.Version())
	}
	return strings.Join(versions, " ")
}

// Find returns the CPythons from 3.7 to 3.13 that are on the path (python3, python3.7 to
// python3.13) or among pyenv's versions: of each minor version the newest, the oldest
// minor version first. Finding none is an error.
func Find(ctx context.Context) ([]Python, error) {
	names := candidates()
	found := make([]*Python, len(names))
	var probes sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i, name := range names {
		probes.Go(func() {
			slots <- struct{}{}
			found[i] = probe(ctx, name)
			<-slots
		})
	}
	probes.Wait()
	var all []Python
	for _, p := range found {
		if p != nil && p.Minor >= oldest && p.Minor <= newest {
			all = append(all, *p)
		}
	}
	slices.SortStableFunc(all, func(a, b Python) int { return cmp.Or(a.Minor-b.Minor, b.Patch-a.Patch) })
	all = slices.CompactFunc(all, func(a, b Python) bool { return a.Minor == b.Minor })
	if len(all) == 0 {
		return nil, errors.New("find a CPython from 3.7 to 3.13: none is on the path or below pyenv's versions")
	}
	return all, nil
}

// candidates are the files that may be interpreters, each once.
func candidates() []string {
	names := []string{"python3"}
	for minor := oldest; minor <= newest; minor++ {
		names = append(names, fmt.Sprintf("python3.%d", minor))
	}
	var paths []string
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		for _, name := range names {
			paths = append(paths, filepath.Join(folder, name))
		}
	}
	roots := []string{os.Getenv("PYENV_ROOT")}
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, ".pyenv"))
	}
	for _, root := range roots {
		if !filepath.IsAbs(root) {
			continue
		}
		versions, err := os.ReadDir(filepath.Join(root, "versions"))
		if err != nil {
			continue
		}
		for _, version := range versions {
			paths = append(paths, filepath.Join(root, "versions", version.Name(), "bin", "python3"))
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(paths, func(path string) bool {
		real, err := filepath.EvalSymlinks(path)
		if filepath.Base(filepath.Dir(path)) == "shims" {
			real = path // pyenv's own files look alike, and each starts another interpreter
		}
		repeated := seen[real]
		seen[real] = true
		return err != nil || repeated
	})
}

// probe asks a file what it is; nil: no CPython 3.
func probe(ctx context.Context, path string) *Python {
	const code = `import sys; print(sys.implementation.name, sys.version_info[0], sys.version_info[1], sys.version_info[2], sys.executable)`
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "-E", "-s", "-S", "-c", code).Output()
	if err != nil {
		return nil
	}
	var name string
	var p Python
	var major int
	if n, err := fmt.Sscanf(string(out), "%s %d %d %d", &name, &major, &p.Minor, &p.Patch); n != 4 || err != nil || name != "cpython" || major != 3 {
		return nil
	}
	p.Path = strings.TrimSpace(strings.SplitN(string(out), " ", 5)[4])
	if !filepath.IsAbs(p.Path) {
		return nil
	}
	return &p
}
