package pyworker

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// modulePaths returns the folders of an unpacked archive that modules are imported from:
// the root folder of the source distribution, where also modules declared as scripts lie,
// and its src where that is the layout.
//
// An archive may have no root folder, or one folder that nothing tells from a package:
// then both readings count.
func modulePaths(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, stageError("read the unpacked package", err)
	}
	// What begins with a dot is what an archiver of macOS, or version control, left.
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") })
	if len(entries) != 1 || !entries[0].IsDir() {
		return withSrc(folder), nil
	}
	root := filepath.Join(folder, entries[0].Name())
	switch {
	case hasAny(root, "setup.py", "setup.cfg", "pyproject.toml", "PKG-INFO"):
		return withSrc(root), nil
	case hasAny(root, "__init__.py"):
		return []string{folder}, nil
	}
	return append(withSrc(root), folder), nil
}

// withSrc returns root, and its src where that is a folder of modules and no package.
func withSrc(root string) []string {
	src := filepath.Join(root, "src")
	if info, err := os.Stat(src); err != nil || !info.IsDir() || hasAny(src, "__init__.py") {
		return []string{root}
	}
	return []string{root, src}
}

func hasAny(folder string, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, err := os.Stat(filepath.Join(folder, name))
		return err == nil
	})
}
