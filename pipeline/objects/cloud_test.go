package objects_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

func TestCloud(t *testing.T) {
	t.Parallel()
	for _, root := range []string{"gs://b", "gs://b/a folder/deep"} {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			testStore(t, func(t *testing.T) (objects.Store, string) {
				_, c := openCloud(t)
				return c, root
			})
		})
	}
}

// openCloud returns a Cloud Storage with the bucket b, and the store that is there.
func openCloud(t *testing.T) (*cloudtest.Server, *objects.Cloud) {
	t.Helper()
	s := cloudtest.Start(t, "b")
	return s, objects.NewCloud(s.Client(t))
}

// openHasty is openCloud with a store that does not wait for long.
func openHasty(t *testing.T) (*cloudtest.Server, *objects.Cloud) {
	t.Helper()
	s := cloudtest.Start(t, "b")
	return s, objects.NewCloudWithin(s.Client(t), 2*time.Second, pieceSize)
}

// openSmall is openCloud with a store that uploads in small pieces.
func openSmall(t *testing.T) (*cloudtest.Server, *objects.Cloud) {
	t.Helper()
	s := cloudtest.Start(t, "b")
	return s, objects.NewCloudWithin(s.Client(t), time.Minute, pieceSize)
}

func packed(t *testing.T, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, content)
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fill puts objects there whose content is their name.
func fill(t *testing.T, s *cloudtest.Server, names ...string) {
	t.Helper()
	for _, name := range names {
		s.Put(t, cloudtest.Object{Bucket: "b", Name: name, Content: []byte(name)})
	}
}

func TestCloudListsPageByPage(t *testing.T) {
	t.Parallel()
	s, c := openCloud(t)
	s.PageSize(2)
	var want []string
	for i := range 7 {
		name := fmt.Sprintf("in/%d", i)
		fill(t, s, name)
		want = append(want, "gs://b/"+name)
	}
	fill(t, s, "in", "in!", "in0", "i", "j")
	if diff := cmp.Diff(want, names(t, c, "gs://b/in")); diff != "" {
		t.Error(diff)
	}
	if n := s.Count(cloudtest.List); n > 4 {
		t.Errorf("%d listing calls", n)
	}
}

func TestCloudListsNoFurtherThanIsRead(t *testing.T) {
	t.Parallel()
	s, c := openCloud(t)
	s.PageSize(100)
	for i := range 250 {
		fill(t, s, fmt.Sprintf("in/%04d", i))
	}
	for _, err := range c.List(t.Context(), "gs://b/in") {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if n := s.Count(cloudtest.List); n != 1 {
		t.Errorf("%d calls for one object", n)
	}
	if got := len(names(t, c, "gs://b/in")); got != 250 || s.Count(cloudtest.List) != 4 {
		t.Errorf("%d objects, %d calls", got, s.Count(cloudtest.List))
	}
}

func TestCloudMatchAsksForLittle(t *testing.T) {
	t.Parallel()
	s, c := openCloud(t)
	fill(t, s, "2026/a.jsonl", "2026/b.jsonl", "2026/b.txt", "2026/deep/c.jsonl", "2026/_temp/d.jsonl", "2026/deep/er/e.jsonl", "2025/a.jsonl", "top.jsonl")
	for i := range 40 {
		fill(t, s, fmt.Sprintf("2024/%d/x.jsonl", i), fmt.Sprintf("2026/many/%d", i))
	}
	s.PageSize(10)
	for _, tc := range []struct {
		uri    string
		want   string
		below  string // prefixes of listings begin so
		listed int    // how many listing calls there may be
	}{
		{"gs://b/2026/a.jsonl", "2026/a.jsonl", "2026/a.jsonl", 0},
		{"gs://b/2026/deep", "2026/deep/c.jsonl 2026/deep/er/e.jsonl", "2026/deep/", 2},
		{"gs://b/2026/deep/", "2026/deep/c.jsonl 2026/deep/er/e.jsonl", "2026/deep/", 2},
		{"gs://b/2026/*.jsonl", "2026/a.jsonl 2026/b.jsonl", "2026/", 3},
		{"gs://b/2026/b.*", "2026/b.jsonl 2026/b.txt", "2026/b", 2},
		{"gs://b/2026/*/*.jsonl", "2026/_temp/d.jsonl 2026/deep/c.jsonl", "2026/", 12},
		{"gs://b/2026/d*/**", "2026/deep/c.jsonl 2026/deep/er/e.jsonl", "2026/d", 4},
		{"gs://b/202[56]/a.jsonl", "2025/a.jsonl 2026/a.jsonl", "202", 6},
		{"gs://b/*.jsonl", "top.jsonl", "", 3},
		{"gs://b/nothing/*.jsonl", "", "nothing/", 2},
	} {
		before := len(s.Requests())
		found, err := objects.Match(t.Context(), c, "/job", tc.uri)
		if err != nil {
			t.Errorf("%s: %v", tc.uri, err)
		}
		var got []string
		for _, f := range found {
			got = append(got, strings.TrimPrefix(f.Object.Name, "gs://b/"))
			if f.URI != f.Object.Name {
				t.Errorf("%s: %s is shown as %s", tc.uri, f.Object.Name, f.URI)
			}
		}
		if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", tc.uri, diff)
		}
		listed := 0
		for _, r := range s.Requests()[before:] {
			if r.Op != cloudtest.List {
				continue
			}
			listed++
			if !strings.HasPrefix(r.Name, tc.below) {
				t.Errorf("%s: listed %q", tc.uri, r.Name)
			}
		}
		if listed > tc.listed {
			t.Errorf("%s: %d listing calls; want at most %d", tc.uri, listed, tc.listed)
		}
	}
}

func TestCloudPlaceholdersAreNoObjects(t *testing.T) {
	t.Parallel()
	s, c := openCloud(t)
	for _, name := range []string{"in/", "in/empty/", "in/empty/er/"} {
		s.Put(t, cloudtest.Object{Bucket: "b", Name: name})
	}
	fill(t, s, "in/a", "in/folder/b")
	if diff := cmp.Diff([]string{"gs://b/in/a", "gs://b/in/folder/b"}, names(t, c, "gs://b/in")); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"gs://b/in", "gs://b/in/empty"} {
		if _, err := c.Stat(t.Context(), name); !errors.Is(err, objects.ErrNotExist) {
			t.Errorf("stat %s: %v", name, err)
		}
	}
	if found, err := objects.Match(t.Context(), c, "/job", "gs://b/in/empty/"); len(found) > 0 || err != nil {
		t.Errorf("a folder of placeholders: %v, %v", found, err)
	}
}

func TestCloudNamesAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	s, c := openCloud(t)
	fill(t, s, "a//b", "a/./c", "a/../d")
	want := []string{"gs://b/a/../d", "gs://b/a/./c", "gs://b/a//b"}
	if diff := cmp.Diff(want, names(t, c, "gs://b/a")); diff != "" {
		t.Error(diff)
	}
	for _, name := range want {
		got, err := get(t, c, objects.Object{Name: name}, 0, -1)
		if "gs://b/"+got != name || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestCloudRefusesNamesThatCanNotBe(t *testing.T) {
	t.Parallel()
	_, c := openCloud(t)
	for _, name := range []string{"gs://b/new\nline", "gs://b/" + strings.Repeat("x", 1025), "gs://b", "gs://b/", "gs://", "gs:///x"} {
		w, err := c.Create(t.Context(), name)
		if err == nil {
			_, err = io.WriteString(w, "content")
			err = errors.Join(err, w.Commit(t.Context()))
		}
		if err == nil {
			t.Errorf("%q was made", name)
		}
	}
	for _, name := range []string{"gs://b", "gs://b/"} {
		if _, err := c.Stat(t.Context(), name); !errors.Is(err, objects.ErrNotExist) {
			t.Errorf("stat %s: %v", name, err)
		}
	}
}

func TestCloudReadsWhatIsStored(t *testing.T) {
	t.Parallel()
	s, c := openCloud(t)
	stored := packed(t, strings.Repeat("0123456789", 1000))
	for what, content := range map[string][]byte{"compressed": stored, "said to be, but not": []byte("plain text")} {
		name := strings.ReplaceAll(what, " ", "_")
		s.Put(t, cloudtest.Object{Bucket: "b", Name: name, Content: content, ContentEncoding: "gzip", ContentType: "application/json"})
		o, err := c.Stat(t.Context(), "gs://b/"+name)
		if err != nil {
			t.Fatal(err)
		}
		want := objects.Object{
			Name: "gs://b/" + name, Size: int64(len(content)), Generation: o.Generation, Updated: o.Updated, Gzipped: true,
			Sum: fmt.Sprintf("%08x", crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli))),
		}
		if diff := cmp.Diff(want, o); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if got, err := get(t, c, o, 0, -1); got != string(content) || err != nil {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
		if got, err := get(t, c, o, 3, 5); got != string(content[3:8]) || err != nil {
			t.Errorf("%s, 5 bytes: %q, %v", what, got, err)
		}
		if got, err := get(t, c, o, 3, -1); got != string(content[3:]) || err != nil {
			t.Errorf("%s, the end: %d bytes, %v", what, len(got), err)
		}
		if err := c.Copy(t.Context(), o.Name, o.Name+".copy"); err != nil {
			t.Fatal(err)
		}
		copied := s.Object(t, "b", name+".copy")
		if copied.ContentEncoding != "gzip" || copied.ContentType != "application/json" || !bytes.Equal(copied.Content, content) {
			t.Errorf("%s, copied: %d bytes, %q, %q", what, len(copied.Content), copied.ContentEncoding, copied.ContentType)
		}
	}
}

func TestCloudCopiesBetweenBuckets(t *testing.T) {
	t.Parallel()
	s := cloudtest.Start(t, "b", "other")
	c := objects.NewCloud(s.Client(t))
	fill(t, s, "a")
	if err := c.Copy(t.Context(), "gs://b/a", "gs://other/folder/a"); err != nil {
		t.Fatal(err)
	}
	if got := s.Content(t, "other", "folder/a"); string(got) != "a" {
		t.Errorf("%q", got)
	}
}

func TestCloudWritesLargeObjectsInPieces(t *testing.T) {
	t.Parallel()
	s, c := openSmall(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), largeSize/16)
	w, err := c.Create(t.Context(), "gs://b/large")
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(content, 100_000) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Names("b"); got != nil {
		t.Errorf("before the commit: %q", got)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Content(t, "b", "large"); !bytes.Equal(got, content) {
		t.Errorf("%d bytes; want %d", len(got), len(content))
	}
	if n := s.Count(cloudtest.WriteChunk); n < 3 {
		t.Errorf("%d pieces", n)
	}
}
