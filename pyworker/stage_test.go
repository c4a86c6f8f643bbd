package pyworker_test

import (
	"archive/tar"
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pyworker"
)

// plant makes files and folders below root: a name that ends in a slash is a folder, a
// text that begins with "-> " a symbolic link.
func plant(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, path)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// stage finds a model on disk and stages it.
func stage(ctx context.Context, dir string, cfg pyworker.ModelConfig, into string, except ...string) (*pyworker.Staged, error) {
	model, err := pyworker.FindModel(ctx, objects.NewLocal(), dir, cfg, except...)
	if err != nil {
		return nil, err
	}
	return model.Stage(ctx, pyworker.Models{}, into)
}

// fingerprint finds a model on disk and fingerprints it.
func fingerprint(ctx context.Context, dir string, cfg pyworker.ModelConfig, except ...string) ([]pyworker.Print, error) {
	model, err := pyworker.FindModel(ctx, objects.NewLocal(), dir, cfg, except...)
	if err != nil {
		return nil, err
	}
	return model.Fingerprint(ctx)
}

func TestModelDirectoryIsCopied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, dir, map[string]string{
		"model/weights.bin": "w", "model/sub/deep/x": "x", "model/empty/": "", "model/_private": "p", "model/.hidden/h": "h",
		"model/link": "-> ../elsewhere/data", "model/folder": "-> ../elsewhere", "elsewhere/data": "linked",
	})
	staged, err := stage(t.Context(), dir, pyworker.ModelConfig{Origin: "model/", MaxSize: 1 << 20}, filepath.Join(dir, "into"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".hidden/", ".hidden/h", "_private", "empty/", "folder/", "folder/data", "link", "sub/", "sub/deep/", "sub/deep/x", "weights.bin"}
	if diff := cmp.Diff(want, listing(t, staged.ModelDir, "")); diff != "" {
		t.Error(diff)
	}
	if text, err := os.ReadFile(filepath.Join(staged.ModelDir, "link")); err != nil || string(text) != "linked" {
		t.Errorf("link holds %q, %v", text, err)
	}
	if err := os.WriteFile(filepath.Join(staged.ModelDir, "sub", "new"), nil, 0o600); err != nil {
		t.Errorf("the copy can not be written: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "model", "sub", "new")); err == nil {
		t.Error("a write to the copy reached the model itself")
	}
}

func TestReadOnlyModelIsCopiedToAWritableFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, dir, map[string]string{"model/sub/x": "x"})
	for _, name := range []string{"model/sub/x", "model/sub"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o555); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "model/sub"), 0o755) })
	staged, err := stage(t.Context(), dir, pyworker.ModelConfig{Origin: "model"}, filepath.Join(dir, "into"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sub", "sub/x"} {
		info, err := os.Stat(filepath.Join(staged.ModelDir, name))
		if err != nil || info.Mode().Perm()&0o200 == 0 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
}

func TestWithoutAnOriginThereIsAnEmptyFolder(t *testing.T) {
	t.Parallel()
	staged, err := stage(t.Context(), t.TempDir(), pyworker.ModelConfig{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if found := listing(t, staged.ModelDir, ""); len(found) != 0 || len(staged.Paths) != 0 {
		t.Errorf("found %q, paths %q", found, staged.Paths)
	}
}

func TestModelsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		model pyworker.ModelConfig
		want  []string
	}{
		"it does not exist":                  {nil, pyworker.ModelConfig{Origin: "model/"}, []string{`model directory "model/" does not exist`, "model.origin"}},
		"it is a file":                       {map[string]string{"m.bin": ""}, pyworker.ModelConfig{Origin: "m.bin"}, []string{`"m.bin" is not a folder but a file`}},
		"it is over the limit":               {map[string]string{"m/a": "12345", "m/b": "678"}, pyworker.ModelConfig{Origin: "m", MaxSize: 7}, []string{"over model.max_size, which is 7B: 8 bytes so far", `"b"`, "Raise model.max_size"}},
		"a link to nothing":                  {map[string]string{"m/l": "-> gone"}, pyworker.ModelConfig{Origin: "m"}, []string{`"l" is a symbolic link to "gone", which does not exist`}},
		"a link to a folder that it lies in": {map[string]string{"m/a/b/l": "-> ../.."}, pyworker.ModelConfig{Origin: "m"}, []string{`"a/b/l" is a symbolic link that leads back`}},
		"a link to itself":                   {map[string]string{"m/l": "-> l"}, pyworker.ModelConfig{Origin: "m"}, []string{"too many levels of symbolic links"}},
		"a device":                           {map[string]string{"m/d": "-> /dev/null"}, pyworker.ModelConfig{Origin: "m"}, []string{`"d" is a device`}},
		"a package that does not exist":      {nil, pyworker.ModelConfig{PackageURIs: []string{"p-1.tar.gz"}}, []string{`package "p-1.tar.gz" does not exist`}},
		"a package that is a module":         {map[string]string{"predictor.py": "import json"}, pyworker.ModelConfig{PackageURIs: []string{"predictor.py"}}, []string{"a Python module", "Name the folder"}},
		"packages over the limit together":   {map[string]string{"a/m.py": "12345", "b/n.py": "678"}, pyworker.ModelConfig{PackageURIs: []string{"a", "b"}, MaxSize: 7}, []string{`the packages up to "b": over model.max_size`, "8 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			plant(t, dir, c.files)
			_, err := stage(t.Context(), dir, c.model, filepath.Join(dir, "into"))
			wantFault(t, err, pipeline.FixInput, pipeline.PhaseUnpack, c.want...)
			_, err = fingerprint(t.Context(), dir, c.model)
			wantFault(t, err, pipeline.FixInput, pipeline.PhaseUnpack, c.want...)
		})
	}
}

func TestNamedPipeInAModelIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := stage(t.Context(), dir, pyworker.ModelConfig{Origin: "."}, t.TempDir())
	wantFault(t, err, pipeline.FixInput, pipeline.PhaseUnpack, `"pipe" is a named pipe`)
}

func TestModelIsNotCopiedIntoItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, dir, map[string]string{"a": "x"})
	_, err := stage(t.Context(), dir, pyworker.ModelConfig{Origin: "."}, filepath.Join(dir, "tmp"))
	wantFault(t, err, pipeline.FixInput, pipeline.PhaseUnpack, "lies inside of it", "TMPDIR")
}

func TestOutputInsideOfThePackageIsLeftOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, dir, map[string]string{"predictor.py": "", "out/_SUCCESS": ""})
	cfg := pyworker.ModelConfig{PackageURIs: []string{"."}}
	staged, err := stage(t.Context(), dir, cfg, t.TempDir(), filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"predictor.py"}, listing(t, staged.Paths[0], "")); diff != "" {
		t.Error(diff)
	}
}

func TestModulePaths(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files []string
		want  []string
	}{
		"a source distribution":                     {[]string{"p-1/setup.py", "p-1/predictor.py"}, []string{"p-1"}},
		"one that was built":                        {[]string{"p-1/PKG-INFO", "p-1/predictor.py"}, []string{"p-1"}},
		"its modules below src":                     {[]string{"p-1/pyproject.toml", "p-1/src/predictor.py"}, []string{"p-1", "p-1/src"}},
		"src that is a package":                     {[]string{"p-1/setup.py", "p-1/src/__init__.py"}, []string{"p-1"}},
		"modules in no folder":                      {[]string{"predictor.py", "preprocess.py"}, []string{"."}},
		"a package in no folder":                    {[]string{"churn/__init__.py", "churn/predictor.py"}, []string{"."}},
		"a folder that may be either":               {[]string{"code/predictor.py"}, []string{"code", "."}},
		"hidden files of an archiver beside it":     {[]string{"._p-1", "p-1/setup.py", "p-1/._setup.py"}, []string{"p-1"}},
		"two folders":                               {[]string{"a/__init__.py", "b/__init__.py"}, []string{"."}},
		"a source distribution that is a package":   {[]string{"p-1/setup.py", "p-1/__init__.py"}, []string{"p-1"}},
		"a source distribution below two dot names": {[]string{"././p-1/setup.py"}, []string{"p-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var entries []tar.Header
			for _, name := range c.files {
				entries = append(entries, file(name, "x"))
			}
			staged, root, err := unpack(t, "p-1.tar.gz", zip(t, pack(t, entries...)), 0)
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, path := range staged.Paths {
				rel, err := filepath.Rel(root, path)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, rel)
			}
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPackageFolderStandsForItsContents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, dir, map[string]string{
		"code/predictor.py": "x", "code/__pycache__/predictor.pyc": "", "code/.git/HEAD": "", "code/src/more.py": "", "code/.env": "", "code/sub/__pycache__/x": "",
	})
	staged, err := stage(t.Context(), dir, pyworker.ModelConfig{PackageURIs: []string{"code/"}}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".env", "predictor.py", "src/", "src/more.py", "sub/"}, listing(t, staged.Paths[0], "")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{staged.Paths[0], filepath.Join(staged.Paths[0], "src")}, staged.Paths); diff != "" {
		t.Error(diff)
	}
}

func TestSourceDistributionOfTarIsUnpacked(t *testing.T) {
	t.Parallel()
	tarProgram, err := exec.LookPath("tar")
	if err != nil {
		t.Log("no tar on PATH: archives made by this test alone were tried")
		return
	}
	dir := t.TempDir()
	long := strings.Repeat("l", 150)
	plant(t, dir, map[string]string{"p-1/setup.py": "s", "p-1/" + long + "/" + long + ".py": "x", "p-1/l.py": "-> setup.py"})
	for _, format := range []string{"--format=gnu", "--format=pax", "--format=ustar"} {
		archive := filepath.Join(dir, "p-1.tar.gz")
		if output, err := exec.CommandContext(t.Context(), tarProgram, format, "-czf", archive, "-C", dir, "p-1").CombinedOutput(); err != nil {
			if format == "--format=ustar" || strings.Contains(string(output), "option") {
				continue // names too long for it, or a tar that is not GNU's
			}
			t.Fatalf("%s: %v\n%s", format, err, output)
		}
		staged, err := stage(t.Context(), dir, pyworker.ModelConfig{PackageURIs: []string{"p-1.tar.gz"}}, t.TempDir())
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if text, err := os.ReadFile(filepath.Join(staged.Paths[0], long, long+".py")); err != nil || string(text) != "x" {
			t.Errorf("%s: %q, %v", format, text, err)
		}
	}
}

func TestStagingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, dir, map[string]string{"m/a": "x"})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("stopped")
	cancel(cause)
	if _, err := stage(ctx, dir, pyworker.ModelConfig{Origin: "m"}, t.TempDir()); !errors.Is(err, cause) {
		t.Errorf("Stage: %v", err)
	}
	if _, err := fingerprint(ctx, dir, pyworker.ModelConfig{Origin: "m"}); !errors.Is(err, cause) {
		t.Errorf("Fingerprint: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	base := map[string]string{"m/w": "1", "m/sub/x": "2", "code/p.py": "3"}
	first := prints(t, base)
	for name, c := range map[string]struct {
		change map[string]string
		want   []bool // whether the prints of model and package stay
	}{
		"nothing":                        {nil, []bool{true, true}},
		"what Python compiled":           {map[string]string{"m/__pycache__/a": "", "code/__pycache__/b": "", "code/p.pyc": "", "code/.git/x": ""}, []bool{true, true}},
		"a file's content":               {map[string]string{"m/sub/x": "3"}, []bool{false, true}},
		"a new file":                     {map[string]string{"m/y": ""}, []bool{false, true}},
		"code":                           {map[string]string{"code/p.py": "4"}, []bool{true, false}},
		"compiled code without a source": {map[string]string{"code/q.pyc": "4"}, []bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := maps.Clone(base)
			maps.Copy(files, c.change)
			found := prints(t, files)
			for i, p := range found {
				if p.Name != first[i].Name || (p.Sum == first[i].Sum) != c.want[i] {
					t.Errorf("%s: the same %v, want %v", p.Name, p.Sum == first[i].Sum, c.want[i])
				}
			}
		})
	}
}

// prints makes the files, and fingerprints m and code.
func prints(t *testing.T, files map[string]string) []pyworker.Print {
	t.Helper()
	dir := t.TempDir()
	plant(t, dir, files)
	found, err := fingerprint(t.Context(), dir, pyworker.ModelConfig{Origin: "m", PackageURIs: []string{"code/"}, MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].Name != "model.origin" || found[1].Name != "model.package_uris[0]" {
		t.Fatalf("prints %v", found)
	}
	return found
}

func TestFingerprintOfAnArchive(t *testing.T) {
	t.Parallel()
	sum := func(entries ...tar.Header) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "p.tar.gz"), zip(t, pack(t, entries...)), 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := fingerprint(t.Context(), dir, pyworker.ModelConfig{PackageURIs: []string{"p.tar.gz"}})
		if err != nil {
			t.Fatal(err)
		}
		return found[0].Sum
	}
	first := sum(file("p/a.py", "1"), file("p/b.py", "2"))
	if again := sum(file("p/b.py", "2"), file("p/a.py", "0"), file("p/__pycache__/a.pyc", "x"), file("p/a.py", "1")); again != first {
		t.Error("the order of entries, or one that does not count, changed it")
	}
	for _, other := range [][]tar.Header{{file("p/a.py", "1"), file("p/b.py", "3")}, {file("p/a.py", "1")}, {file("p/a.py", "1"), link(tar.TypeSymlink, "p/b.py", "2")}} {
		if sum(other...) == first {
			t.Errorf("the same for %v", other)
		}
	}
}
