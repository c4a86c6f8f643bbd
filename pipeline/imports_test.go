package pipeline_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/cpr-batch/cpr-batch/"

// allowedImports is which packages of ours each package may import. Tests may import more.
var allowedImports = map[string][]string{
	"pipeline":         {},
	"pipeline/objects": {},
	// For tests only: nobody may import it.
	"pipeline/objects/cloudtest": {},
	// For tests only: nobody may import it.
	"pipeline/objects/memtest": {"pipeline/objects"},
	"pipeline/runs":            {"pipeline", "pipeline/objects"},
	"pipeline/report":          {"pipeline", "pipeline/runs"},
	"sources":                  {"pipeline", "pipeline/objects", "pyworker/values"},
	"sinks":                    {"pipeline", "pipeline/objects", "pipeline/runs"},
	"pyworker":                 {"pipeline", "pipeline/objects", "pyworker/values"},
	"pyworker/values":          {},
	// For tests only: nobody may import it.
	"pyworker/pythontest": {},
	"configs":             {"pipeline", "pipeline/objects", "pipeline/runs", "pipeline/report", "sources", "sinks", "pyworker", "pyworker/values"},
	"cmd/cpr-batch":       {"pipeline", "pipeline/objects", "pipeline/runs", "pipeline/report", "sources", "sinks", "pyworker", "pyworker/values", "configs"},
}

func TestImportsBetweenPackages(t *testing.T) {
	t.Parallel()
	found := importsOf(t, "..")
	if len(found) == 0 {
		t.Fatal("no package was found")
	}
	for name, imports := range found {
		allowed, ok := allowedImports[name]
		if !ok {
			t.Errorf("package %s is not in the design", name)
		}
		for _, imported := range imports {
			own, isOwn := strings.CutPrefix(imported, module)
			switch {
			case isOwn && !slices.Contains(allowed, own):
				t.Errorf("%s imports %s", name, own)
			case !isOwn && name == "pipeline" && strings.Contains(imported, ".") && !strings.HasPrefix(imported, "golang.org/x/sync/"):
				t.Errorf("%s, which knows the standard library only, imports %s", name, imported)
			}
		}
	}
}

// importsOf returns the imports of all packages below root, without those of tests, on
// every system.
func importsOf(t *testing.T, root string) map[string][]string {
	t.Helper()
	found := map[string]map[string]bool{}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && name != root && (strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_") || e.Name() == "testdata") {
			return fs.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		imports := found[filepath.ToSlash(folder)]
		if imports == nil {
			imports = map[string]bool{}
			found[filepath.ToSlash(folder)] = imports
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[imported] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sorted := map[string][]string{}
	for name, imports := range found {
		sorted[path.Clean(name)] = slices.Sorted(maps.Keys(imports))
	}
	return sorted
}

func TestTopLevelOfTheRepository(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"cmd", "pipeline", "sources", "sinks", "pyworker", "configs", "go.mod", "go.sum", "Dockerfile", "README.md",
		"LICENSE", "Makefile", "CHANGELOG.md", "docs", "tools.mod", "tools.sum", "bin",
	}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && e.IsDir() && !slices.Contains(allowed, e.Name()) {
			t.Errorf("the folder %s is not in the design", e.Name())
		}
	}
}
