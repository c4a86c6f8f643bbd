package pyworker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker"
)

// file, folder and link are entries of an archive.
func file(name, text string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text)), Uname: text}
}
func folder(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
}
func link(kind byte, name, target string) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777}
}

// pack makes a tar archive; the text of a file stands in Uname.
func pack(tb testing.TB, entries ...tar.Header) []byte {
	tb.Helper()
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, h := range entries {
		text := h.Uname
		h.Uname = ""
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(w, text); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return packed.Bytes()
}

func zip(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return zipped.Bytes()
}

// unpack stages an archive as the only package, and returns what is there then.
func unpack(t *testing.T, name string, data []byte, maxSize pipeline.Bytes) (*pyworker.Staged, string, error) {
	t.Helper()
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	into := filepath.Join(outside, "into")
	staged, err := stage(t.Context(), outside, pyworker.ModelConfig{PackageURIs: []string{name}, MaxSize: maxSize}, into)
	if found := listing(t, outside, "into"); !cmp.Equal(found, []string{name}) {
		t.Errorf("outside of the folder: %q", found)
	}
	return staged, filepath.Join(into, "packages", "0"), err
}

// listing returns the names below a folder, without those that begin with skip.
func listing(t *testing.T, root, skip string) []string {
	t.Helper()
	names := []string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		if err != nil || name == "." || skip != "" && strings.HasPrefix(name, skip) {
			return err
		}
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// wantFault checks that err ends the run with a remedy, and says all of words.
func wantFault(t *testing.T, err error, remedy pipeline.Remedy, phase pipeline.Phase, words ...string) {
	t.Helper()
	var fault *pipeline.Error
	if !errors.As(err, &fault) {
		t.Fatalf("error %v is no *pipeline.Error", err)
	}
	if fault.Remedy != remedy || fault.Phase != phase {
		t.Errorf("remedy %d, phase %q; want %d, %q", fault.Remedy, fault.Phase, remedy, phase)
	}
	text := fault.Error() + "\n" + fault.Hint + "\n" + fault.Stderr
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("the error does not say %q:\n%s", word, text)
		}
	}
}

func TestHostileArchives(t *testing.T) {
	t.Parallel()
	bomb := zip(t, pack(t, file("p/zeros", strings.Repeat("\x00", 4<<20))))
	whole := zip(t, pack(t, file("p/a.py", strings.Repeat("x = 1\n", 1000)), file("p/b.py", "")))
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-6] ^= 0xff // of the checksum
	huge := pack(t, file("p/a", ""))
	copy(huge[124:136], "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff") // a size of 8 EiB
	fixSum(huge)
	deep := strings.Repeat("d/", 200) + "f"
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"an absolute name":                         {zip(t, pack(t, file("/etc/evil", "x"))), `the name "/etc/evil" is absolute`},
		"a name with dots":                         {zip(t, pack(t, file("p/../../evil", "x"))), `leaves the archive by ".."`},
		"dots that stay inside":                    {zip(t, pack(t, file("p/../evil", "x"))), `leaves the archive by ".."`},
		"an absolute symlink":                      {zip(t, pack(t, link(tar.TypeSymlink, "p/l", "/etc"))), `the symbolic link "p/l" leaves the archive: it leads to "/etc"`},
		"a symlink with dots":                      {zip(t, pack(t, link(tar.TypeSymlink, "p/l", "../../x"))), "leaves the archive"},
		"a symlink that leaves by way of another":  {zip(t, pack(t, folder("a/b/"), link(tar.TypeSymlink, "a/b/up", "../.."), link(tar.TypeSymlink, "l", "a/b/up/.."))), `the link "l" leaves the archive`},
		"a file through a symlink that leaves":     {zip(t, pack(t, folder("a/b/"), link(tar.TypeSymlink, "a/b/up", "../.."), link(tar.TypeSymlink, "l", "a/b/up/.."), file("l/evil", "x"))), "evil"},
		"symlinks in a circle":                     {zip(t, pack(t, link(tar.TypeSymlink, "p/a", "b"), link(tar.TypeSymlink, "p/b", "a"))), "leads to itself"},
		"an absolute hard link":                    {zip(t, pack(t, link(tar.TypeLink, "p/l", "/etc/passwd"))), `the hard link "p/l" leaves the archive`},
		"a hard link with dots":                    {zip(t, pack(t, link(tar.TypeLink, "p/l", "../../x"))), "leaves the archive"},
		"a hard link to nothing":                   {zip(t, pack(t, link(tar.TypeLink, "p/l", "p/x"))), "no file of the archive before it"},
		"a device":                                 {zip(t, pack(t, tar.Header{Typeflag: tar.TypeChar, Name: "p/null", Devmajor: 1, Devminor: 3})), "is a device"},
		"a named pipe":                             {zip(t, pack(t, tar.Header{Typeflag: tar.TypeFifo, Name: "p/pipe"})), "is a named pipe"},
		"a file of an unknown kind":                {zip(t, pack(t, tar.Header{Typeflag: 'Z', Name: "p/z"})), "unknown kind"},
		"a small file that unpacks to a large one": {bomb, `over model.max_size, which is 1MiB: 4194304 bytes so far, with "p/zeros"`},
		"a header that claims 8 EiB":               {zip(t, huge), "over model.max_size"},
		"a name in 200 folders":                    {zip(t, pack(t, file(deep, ""))), "lies in more than 100 folders"},
		"a name of 2,000 bytes":                    {zip(t, pack(t, file(strings.Repeat("n", 2000), ""))), "longer than 1024 bytes"},
		"a truncated archive":                      {whole[:len(whole)/2], "is truncated"},
		"an archive that lost its last bytes":      {whole[:len(whole)-4], "is truncated"},
		"a wrong checksum":                         {flipped, "is corrupt: gzip: invalid checksum"},
		"a broken stream":                          {append(bytes.Clone(whole[:10]), bytes.Repeat([]byte{0xff}, 100)...), "is corrupt"},
		"gzip of no archive":                       {zip(t, []byte(strings.Repeat("hello ", 200))), "holds no tar archive"},
		"an archive of nothing":                    {zip(t, pack(t)), "is an empty archive"},
		"a file, then a folder of its name":        {zip(t, pack(t, file("p/a", "x"), file("p/a/b", "y"))), `"p/a" is in the archive both as a folder and as a file`},
		"a folder, then a file of its name":        {zip(t, pack(t, file("p/a/b", "y"), file("p/a", "x"))), `"p/a" is in the archive both as a folder and as a file`},
		"a file of the name of the folder itself":  {zip(t, pack(t, file("./.", "x"))), "that of the folder itself"},
		"an empty file":                            {nil, "looks like an empty file"},
		"a zip file":                               {[]byte("PK\x03\x04rest"), "looks like a zip file"},
		"a login page":                             {[]byte("\n <!DOCTYPE HTML><title>"), "looks like an HTML page"},
		"a tar archive without gzip":               {pack(t, file("p/a", "x")), "a tar archive that is not compressed"},
		"a Git LFS pointer":                        {[]byte("version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"},
		"text":                                     {[]byte("hello"), "looks like text"},
		"bytes":                                    {[]byte{1, 2, 0, 255, 7}, "begins with the bytes 01 02 00 ff"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := unpack(t, "p-1.tar.gz", c.data, 1<<20)
			wantFault(t, err, pipeline.FixInput, pipeline.PhaseUnpack, c.want)
		})
	}
}

func TestWheelIsNamed(t *testing.T) {
	t.Parallel()
	_, _, err := unpack(t, "p-1-py3-none-any.whl", []byte("PK\x03\x04rest"), 0)
	wantFault(t, err, pipeline.FixInput, pipeline.PhaseUnpack, "looks like a wheel", "python.requirements")
}

func TestSparseFileCountsWithItsWholeSize(t *testing.T) {
	t.Parallel()
	// As GNU tar packs a file of 8 MiB that is one hole: an extended header, and no data.
	records := ""
	for _, record := range []string{
		"GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.name=hole",
		"GNU.sparse.size=8388608", "GNU.sparse.numblocks=1", "GNU.sparse.map=8388608,0",
	} {
		records += fmt.Sprintf("%d %s\n", len(record)+len("12 \n"), record)
	}
	extended := pack(t, file("PaxHeaders/hole", records))
	extended[156] = tar.TypeXHeader
	fixSum(extended)
	data := slices.Concat(extended[:512+512], pack(t, file("hole", "")))
	_, _, err := unpack(t, "s.tar.gz", zip(t, data), 1<<20)
	wantFault(t, err, pipeline.FixInput, pipeline.PhaseUnpack, "over model.max_size", "8388608")
}

// fixSum mends the checksum of the first header.
func fixSum(packed []byte) {
	copy(packed[148:156], "        ")
	sum := 0
	for _, b := range packed[:512] {
		sum += int(b)
	}
	copy(packed[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func TestLastEntryOfANameCounts(t *testing.T) {
	t.Parallel()
	data := zip(t, pack(t, file("p-1/setup.py", ""), file("p-1/m.py", "first"), link(tar.TypeSymlink, "p-1/l.py", "m.py"),
		link(tar.TypeLink, "p-1/h.py", "p-1/m.py"), file("p-1/l.py", "second"), file("p-1/m.py", "third")))
	_, root, err := unpack(t, "p-1.tar.gz", data, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, name := range []string{"m.py", "l.py", "h.py"} {
		text, err := os.ReadFile(filepath.Join(root, "p-1", name))
		if err != nil {
			t.Fatal(err)
		}
		found[name] = string(text)
	}
	want := map[string]string{"m.py": "third", "l.py": "second", "h.py": "first"}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

func TestLinksInsideOfAnArchiveStay(t *testing.T) {
	t.Parallel()
	data := zip(t, pack(t, folder("./"), tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}},
		file("./p-1/PKG-INFO", ""), file("./p-1/a/m.py", "x"), link(tar.TypeSymlink, "./p-1/b", "a"), link(tar.TypeSymlink, "p-1/gone", "nowhere"),
		file("p-1/b/n.py", "y"), link(tar.TypeSymlink, "p-1/a/up", "../PKG-INFO")))
	_, root, err := unpack(t, "p-1.tar.gz", append(data, "trailing garbage"...), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"p-1/", "p-1/PKG-INFO", "p-1/a/", "p-1/a/m.py", "p-1/a/n.py", "p-1/a/up", "p-1/b", "p-1/gone"}
	if diff := cmp.Diff(want, listing(t, root, "")); diff != "" {
		t.Error(diff)
	}
}

func TestModesAreSane(t *testing.T) {
	t.Parallel()
	shut, script := file("p-1/m.py", "x"), file("p-1/run.sh", "x")
	shut.Mode, script.Mode = 0o000, 0o4755
	closed := folder("p-1/d")
	closed.Mode = 0
	_, root, err := unpack(t, "p-1.tar.gz", zip(t, pack(t, closed, file("p-1/d/x", ""), shut, script)), 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"m.py": 0o600, "run.sh": 0o755, "d": fs.ModeDir | 0o755} {
		info, err := os.Stat(filepath.Join(root, "p-1", name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("mode of %s: %v, want %v", name, info.Mode(), want)
		}
	}
}

func FuzzArchive(f *testing.F) {
	plain := pack(f, folder("a/b/"), file("a/b/m.py", "x = 1"), link(tar.TypeSymlink, "a/up", ".."), link(tar.TypeLink, "h", "a/b/m.py"))
	f.Add(plain, true)
	f.Add(zip(f, plain), false)
	f.Fuzz(func(t *testing.T, data []byte, compress bool) {
		if compress {
			data = zip(t, data)
		}
		const most = 1 << 20
		staged, root, err := unpack(t, "f.tar.gz", data, most)
		var fault *pipeline.Error
		if err != nil && !errors.As(err, &fault) {
			t.Fatalf("error %v is no *pipeline.Error", err)
		}
		if err == nil && len(staged.Paths) == 0 {
			t.Error("no module path")
		}
		inside, size := os.DirFS(root), int64(0)
		_ = fs.WalkDir(inside, ".", func(path string, e fs.DirEntry, _ error) error {
			if info, infoErr := e.Info(); infoErr == nil && info.Mode().IsRegular() {
				size += info.Size()
			}
			if e.Type() == fs.ModeSymlink && err == nil {
				if led, linkErr := filepath.EvalSymlinks(filepath.Join(root, path)); linkErr == nil && !strings.HasPrefix(led+"/", root+"/") {
					t.Errorf("%s leads to %s", path, led)
				}
			}
			return nil
		})
		if size > most*4 { // hard links count again here
			t.Errorf("%d bytes unpacked", size)
		}
	})
}
