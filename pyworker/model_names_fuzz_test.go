package pyworker

import (
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzObjectNamesStayBelowTheFolder(f *testing.F) {
	f.Add("a\na.b\na/b")
	f.Add("a/b\na\n../x\nx/../y")
	f.Add("/etc\nb//c\n./d\ne/\x00")
	f.Fuzz(func(t *testing.T, names string) {
		set := newNameSet(&allowance{what: "model"})
		files := map[string]bool{}
		for name := range strings.SplitSeq(names, "\n") {
			if set.add(name, 0) != nil {
				continue
			}
			if !filepath.IsLocal(name) || path.Clean(name) != name || name == "." || files[name] {
				t.Errorf("%q is taken", name)
			}
			files[name] = true
		}
		for name := range files {
			for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
				if files[folder] {
					t.Errorf("%q and %q are both taken", folder, name)
				}
			}
		}
	})
}
