package pyworker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

func TestModelsInCloudStorageThatAreRefused(t *testing.T) {
	t.Parallel()
	origin := func(uri string) ModelConfig { return ModelConfig{Origin: uri} }
	pack := func(uri string) ModelConfig { return ModelConfig{PackageURIs: []string{uri}} }
	for name, c := range map[string]struct {
		files map[string]string
		model ModelConfig
		want  []string
	}{
		"nothing is there":               {nil, origin("gs://b/m/"), []string{`model directory "gs://b/m/" does not exist`, "begins with gs://b/m/", "model.origin"}},
		"a placeholder is there":         {map[string]string{"gs://b/m/": ""}, origin("gs://b/m"), []string{"does not exist"}},
		"it is an object":                {map[string]string{"gs://b/m.bin": "x"}, origin("gs://b/m.bin"), []string{`"gs://b/m.bin" is not a folder but an object`}},
		"it is over the limit":           {map[string]string{"gs://b/m/a": "12345", "gs://b/m/b": "678"}, ModelConfig{Origin: "gs://b/m", MaxSize: 7}, []string{"over model.max_size, which is 7B: 8 bytes so far", `"b"`, "Raise model.max_size"}},
		"a name with ..":                 {map[string]string{"gs://b/m/../x": "1"}, origin("gs://b/m"), []string{`the name "../x" has the part ".."`}},
		"a name with .. at its end":      {map[string]string{"gs://b/m/a/..": "1"}, origin("gs://b/m"), []string{`has the part ".."`}},
		"a name with .":                  {map[string]string{"gs://b/m/./x": "1"}, origin("gs://b/m"), []string{`has the part "."`}},
		"a name that is absolute":        {map[string]string{"gs://b/m//etc/x": "1"}, origin("gs://b/m"), []string{`the name "/etc/x" has an empty part`}},
		"a name with two slashes":        {map[string]string{"gs://b/m/a//x": "1"}, origin("gs://b/m"), []string{"has an empty part"}},
		"a placeholder that holds data":  {map[string]string{"gs://b/m/a/": "1"}, origin("gs://b/m"), []string{"has an empty part"}},
		"a name with a zero byte":        {map[string]string{"gs://b/m/a\x00b": "1"}, origin("gs://b/m"), []string{"holds a zero byte"}},
		"a name too long for a disk":     {map[string]string{"gs://b/m/" + strings.Repeat("n", 256): "1"}, origin("gs://b/m"), []string{"longer than 255 bytes"}},
		"a file that is a folder too":    {map[string]string{"gs://b/m/a": "1", "gs://b/m/a.b": "", "gs://b/m/a/x/y": "1"}, origin("gs://b/m"), []string{`"a" is both an object and a folder`}},
		"a package that is not there":    {nil, pack("gs://b/p.tar.gz"), []string{`package "gs://b/p.tar.gz" does not exist`}},
		"a package that is a folder":     {map[string]string{"gs://b/p/setup.py": ""}, pack("gs://b/p/"), []string{"is a folder", "Name the .tar.gz"}},
		"a package that has a placehold": {map[string]string{"gs://b/p": "", "gs://b/p/": ""}, pack("gs://b/p/"), []string{"is a folder", "Name the .tar.gz"}},
		"a package with a slash":         {map[string]string{"gs://b/p-1.tar.gz": ""}, pack("gs://b/p-1.tar.gz/"), []string{"an object gs://b/p-1.tar.gz", "Leave out the slash"}},
		"a package that is a module":     {map[string]string{"gs://b/p.py": "import json"}, pack("gs://b/p.py"), []string{"a Python module"}},
		"a relative one in a cloud job":  {nil, origin("model/"), []string{`model directory "model/" does not exist`, "gs://jobs/nightly/model/"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(c.files)
			m, _ := models(t)
			found, err := FindModel(t.Context(), b, "gs://jobs/nightly", c.model)
			if err == nil {
				_, err = found.Stage(t.Context(), m, t.TempDir())
			} else if n := b.opens(); n != 0 {
				t.Errorf("%d objects were opened", n)
			}
			wantUnpackError(t, err, pipeline.FixInput, c.want...)
		})
	}
}

func TestPackageOverTheLimitIsNotDownloaded(t *testing.T) {
	t.Parallel()
	big := bigStore{newBucket(map[string]string{"gs://b/p.tar.gz": "x"})}
	_, err := FindModel(t.Context(), big, "/", ModelConfig{PackageURIs: []string{"gs://b/p.tar.gz"}, MaxSize: 1 << 20})
	wantUnpackError(t, err, pipeline.FixInput, "over model.max_size, which is 1MiB", "compressed")
}

// bigStore tells of objects that are larger than any limit.
type bigStore struct{ *bucket }

func (s bigStore) Stat(ctx context.Context, name string) (objects.Object, error) {
	o, err := s.bucket.Stat(ctx, name)
	o.Size = 1 << 40
	return o, err
}

func TestStoreThatCanNotBeListed(t *testing.T) {
	t.Parallel()
	b := newBucket(someModel)
	b.onList = fmt.Errorf("list gs://b/m: %w", os.ErrPermission)
	_, err := FindModel(t.Context(), b, "/", ModelConfig{Origin: "gs://b/m"})
	wantUnpackError(t, err, pipeline.FixConfig, `list model directory "gs://b/m"`, "permission denied")
	b.onList = errors.New("503")
	_, err = FindModel(t.Context(), b, "/", ModelConfig{Origin: "gs://b/m"})
	wantUnpackError(t, err, pipeline.TryAgain, "503")
}

func TestOutputBelowTheModelIsLeftOut(t *testing.T) {
	t.Parallel()
	b := newBucket(map[string]string{"gs://b/m/w": "1", "gs://b/m/out/_SUCCESS": "", "gs://b/m/outer": "2"})
	m, _ := models(t)
	found, err := FindModel(t.Context(), b, "/", ModelConfig{Origin: "gs://b/m"}, "gs://b/m/out")
	if err != nil {
		t.Fatal(err)
	}
	s, err := found.Stage(t.Context(), m, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, s.ModelDir, map[string]string{"w": "1", "outer": "2"})
}

func TestWhatIsDownloadedIsKnownByAllThatTheListingTells(t *testing.T) {
	t.Parallel()
	one := func(change func(*listing)) string {
		l := &listing{uri: "gs://b/m", files: []remote{{name: "w", object: objects.Object{Size: 1, Generation: "1", Sum: "00000001"}}}}
		change(l)
		return l.hash()
	}
	known := map[string]string{}
	for name, change := range map[string]func(*listing){
		"nothing else":         func(*listing) {},
		"another place":        func(l *listing) { l.uri = "gs://b/n" },
		"as it is stored":      func(l *listing) { l.archive = true },
		"another name":         func(l *listing) { l.files[0].name = "v" },
		"another generation":   func(l *listing) { l.files[0].object.Generation = "2" },
		"another sum":          func(l *listing) { l.files[0].object.Sum = "00000002" },
		"another size":         func(l *listing) { l.files[0].object.Size = 2 },
		"compressed":           func(l *listing) { l.files[0].object.Gzipped = true },
		"a second file":        func(l *listing) { l.files = append(l.files, l.files[0]) },
		"no file that differs": func(l *listing) { l.files = nil },
	} {
		hash := one(change)
		if !entryName.MatchString(hash) || known[hash] != "" {
			t.Errorf("%s: %q, as %q", name, hash, known[hash])
		}
		known[hash] = name
	}
}

func TestFingerprintOfCloudStorage(t *testing.T) {
	t.Parallel()
	base := map[string]string{"gs://b/m/w": "1", "gs://b/m/sub/x": "2", "gs://b/p-1.tar.gz": "3"}
	sums := func(t *testing.T, b *bucket, uri string) []string {
		t.Helper()
		found, err := FindModel(t.Context(), b, "/", ModelConfig{Origin: uri, PackageURIs: []string{"gs://b/p-1.tar.gz"}})
		if err != nil {
			t.Fatal(err)
		}
		prints, err := found.Fingerprint(t.Context())
		if err != nil || len(prints) != 2 || prints[0].Name != "model.origin" || prints[1].Name != "model.package_uris[0]" {
			t.Fatalf("%v, %v", prints, err)
		}
		if n := b.opens(); n != 0 {
			t.Errorf("%d objects were opened", n)
		}
		return []string{prints[0].Sum, prints[1].Sum}
	}
	first := sums(t, newBucket(base), "gs://b/m/")
	for name, c := range map[string]struct {
		change map[string]string
		uri    string
		want   []bool // whether the prints of model and package stay
	}{
		"uploaded again":                 {nil, "gs://b/m", []bool{true, true}},
		"what Python compiled":           {map[string]string{"gs://b/m/__pycache__/a": "", "gs://b/m/a/__pycache__/b/c": ""}, "gs://b/m", []bool{true, true}},
		"compiled code without a source": {map[string]string{"gs://b/m/q.pyc": "4"}, "gs://b/m", []bool{false, true}},
		"a copy elsewhere":               {map[string]string{"gs://c/n/w": "1", "gs://c/n/sub/x": "2"}, "gs://c/n", []bool{true, true}},
		"an object's content":            {map[string]string{"gs://b/m/sub/x": "3"}, "gs://b/m", []bool{false, true}},
		"a new object":                   {map[string]string{"gs://b/m/y": ""}, "gs://b/m", []bool{false, true}},
		"the package":                    {map[string]string{"gs://b/p-1.tar.gz": "4"}, "gs://b/m", []bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := maps.Clone(base)
			maps.Copy(files, c.change)
			found := sums(t, newBucket(files), c.uri)
			for i := range found {
				if (found[i] == first[i]) != c.want[i] {
					t.Errorf("print %d: the same %v, want %v", i, found[i] == first[i], c.want[i])
				}
			}
		})
	}
	t.Run("the generation, where there is no checksum", func(t *testing.T) {
		t.Parallel()
		b := newBucket(base)
		b.noSums = true
		before := sums(t, b, "gs://b/m")
		if again := sums(t, b, "gs://b/m"); !cmp.Equal(before, again) {
			t.Error("it changed by itself")
		}
		b.put("gs://b/m/w", "0")
		if after := sums(t, b, "gs://b/m"); after[0] == before[0] || after[1] != before[1] {
			t.Error("the same for another object")
		}
	})
}

func TestGzippedObjectsAreUnpacked(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 1<<20)
	for name, c := range map[string]struct {
		content []byte
		maxSize pipeline.Bytes
		want    map[string]string
		refused string
	}{
		"one":                          {zipped(t, []byte("words")), 10, map[string]string{"vocab": "words", "w": "1"}, ""},
		"one in two members":           {append(zipped(t, []byte("wor")), zipped(t, []byte("ds"))...), 0, map[string]string{"vocab": "words", "w": "1"}, ""},
		"one over the limit, unpacked": {zipped(t, zeros), 1 << 20, nil, "over model.max_size, which is 1MiB"},
		"one that is not compressed":   {[]byte("words"), 0, nil, "which is stored with Content-Encoding: gzip"},
		"one whose end is missing":     {zipped(t, []byte("words"))[:20], 0, nil, "which is stored with Content-Encoding: gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(map[string]string{"gs://b/m/w": "1"})
			b.store("gs://b/m/vocab", c.content, true)
			m, _ := models(t)
			if c.maxSize > 0 && c.maxSize < 100 {
				c.maxSize = pipeline.Bytes(len(c.content)) + 1
			}
			for range 2 {
				dir, err := fetched(t, b, m, c.maxSize)
				if c.refused != "" {
					wantUnpackError(t, err, pipeline.FixInput, c.refused, "vocab")
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				wantTexts(t, dir, c.want)
			}
			if n := b.opens(); c.refused == "" && n != 2 {
				t.Errorf("2 objects were opened %d times", n)
			}
		})
	}
	t.Run("one of the cache, over the limit of a later run", func(t *testing.T) {
		t.Parallel()
		b := newBucket(nil)
		b.store("gs://b/m/vocab", zipped(t, zeros), true)
		m, _ := models(t)
		mustFetch(t, b, m)
		_, err := fetched(t, b, m, 1<<19)
		wantUnpackError(t, err, pipeline.FixInput, "over model.max_size, which is 512KiB")
	})
}

func TestPackagesFromCloudStorage(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for name, text := range map[string]string{"p-1/setup.py": "s", "p-1/predictor.py": "code"} {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))})
		if _, writing := w.Write([]byte(text)); err != nil || writing != nil {
			t.Fatal(err, writing)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	archive := zipped(t, packed.Bytes())
	for name, c := range map[string]struct {
		content []byte
		gzipped bool
	}{
		"as it was made":                            {archive, false},
		"compressed again on its way":               {zipped(t, archive), true},
		"its own compression taken for an encoding": {archive, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(nil)
			b.store("gs://b/dist/p-1.tar.gz", c.content, c.gzipped)
			m, _ := models(t)
			found, err := FindModel(t.Context(), b, "gs://b/job", ModelConfig{PackageURIs: []string{"../dist/p-1.tar.gz"}, MaxSize: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				into := t.TempDir()
				s, err := found.Stage(t.Context(), m, into)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{filepath.Join(into, "packages", "0", "p-1")}, s.Paths); diff != "" {
					t.Error(diff)
				}
				wantTexts(t, into, map[string]string{"packages/0/p-1/setup.py": "s", "packages/0/p-1/predictor.py": "code"})
			}
			if n := b.opens(); n != 1 {
				t.Errorf("opened %d times", n)
			}
			if all := kept(t, m); len(all) != 1 || all[0].URI != "gs://b/dist/p-1.tar.gz" {
				t.Errorf("kept %+v", all)
			}
		})
	}
}
