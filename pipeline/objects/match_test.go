package objects_test

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// plain is a Store that can do no more than the interface says.
type plain struct{ objects.Store }

func (p plain) List(ctx context.Context, folder string) iter.Seq2[objects.Object, error] {
	return p.Store.List(ctx, folder)
}

func TestMatch(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{
		"a.jsonl", "b.jsonl", "c#1?.jsonl", "100%.jsonl", "a:b.jsonl", "[x].jsonl", "x.jsonl", "new\nline.jsonl", "la\xe9.jsonl",
		"in/2026/01/x.jsonl", "in/2026/02/y.jsonl", "in/2026/02/_hidden.jsonl", "in/2026/.git/z.jsonl", "in/_cpr-batch/plan", "in/_SUCCESS",
		"in.d/z.jsonl", "in/top.jsonl", "set[1]/only.jsonl", "set1/wrong.jsonl", "_under/u.jsonl", "st*r/s.jsonl",
	} {
		write(t, filepath.Join(root, name), "{}")
	}
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o777); err != nil {
		t.Fatal(err)
	}
	all := []string{"in/2026/01/x.jsonl", "in/2026/02/y.jsonl", "in/top.jsonl"}
	for _, tc := range []struct {
		name, uri string
		want      []string
	}{
		{"a file", "a.jsonl", []string{"a.jsonl"}},
		{"a file as it is written", "./in/../a.jsonl", []string{"./in/../a.jsonl"}},
		{"nothing", "absent.jsonl", nil},
		{"an empty folder", "empty", nil},
		{"special characters of a name that is there", "c#1?.jsonl", []string{"c#1?.jsonl"}},
		{"a percent sign", "100%.jsonl", []string{"100%.jsonl"}},
		{"a colon", "a:b.jsonl", []string{"a:b.jsonl"}},
		{"a class that is a name", "[x].jsonl", []string{"[x].jsonl"}},
		{"a class that is no name", "[ab].jsonl", []string{"a.jsonl", "b.jsonl"}},
		{"a folder without hidden names", "in", all},
		{"a folder with a slash", "in/", all},
		{"a folder that is itself hidden", "_under", []string{"_under/u.jsonl"}},
		{"a folder with special characters", "set[1]", []string{"set[1]/only.jsonl"}},
		{"a question mark", "?.jsonl", []string{"a.jsonl", "b.jsonl", "x.jsonl"}},
		{"a star does not cross folders", "in/*.jsonl", []string{"in/top.jsonl"}},
		{"a star stands for any bytes", "*l*.jsonl", []string{"la\xe9.jsonl", "new\nline.jsonl"}},
		{"two stars do", "in/**/*.jsonl", []string{"in/2026/.git/z.jsonl", "in/2026/01/x.jsonl", "in/2026/02/_hidden.jsonl", "in/2026/02/y.jsonl", "in/top.jsonl"}},
		{"a pattern for folders", "in/20*/0?/*.jsonl", []string{"in/2026/01/x.jsonl", "in/2026/02/_hidden.jsonl", "in/2026/02/y.jsonl"}},
		{"alternatives across folders", "{in/2026/01/x,a}.jsonl", []string{"a.jsonl", "in/2026/01/x.jsonl"}},
		{"a pattern matches no folders", "in/20*", nil},
		{"a class stands for no slash", "in[!x]*.jsonl", nil},
		{"a class stands for no slash behind two stars either", "**/in[+-9]*.jsonl", nil},
		{"an escaped star", `st\*r/*.jsonl`, []string{"st*r/s.jsonl"}},
		{"a written dot is kept", "./in/t*.jsonl", []string{"./in/top.jsonl"}},
		{"an absolute pattern", root + "/in/t*", []string{root + "/in/top.jsonl"}},
		{"a pattern longer than a name may be", "{" + strings.Repeat("nothing,", 100) + "a}.jsonl", []string{"a.jsonl"}},
	} {
		for _, store := range []objects.Store{objects.NewLocal(), plain{objects.NewLocal()}} {
			t.Run(tc.name, func(t *testing.T) {
				t.Parallel()
				found, err := objects.Match(t.Context(), store, root, tc.uri)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, f := range found {
					got = append(got, f.URI)
					want := f.URI
					if !filepath.IsAbs(want) {
						want = filepath.Join(root, want)
					}
					if f.Object.Name != want || f.Object.Size != 2 {
						t.Errorf("%s is %+v", f.URI, f.Object)
					}
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestMatchInTheCurrentFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a.jsonl", "")
	write(t, "in/b.jsonl", "")
	for uri, want := range map[string]objects.Found{
		"*.jsonl": {URI: "a.jsonl", Object: objects.Object{Name: "a.jsonl"}},
		"in":      {URI: "in/b.jsonl", Object: objects.Object{Name: "in/b.jsonl"}},
		"i*/*":    {URI: "in/b.jsonl", Object: objects.Object{Name: "in/b.jsonl"}},
	} {
		for _, dir := range []string{"", "."} {
			found, err := objects.Match(t.Context(), objects.NewLocal(), dir, uri)
			if err != nil || len(found) != 1 || found[0].URI != want.URI || found[0].Object.Name != want.Object.Name {
				t.Errorf("%s in %q: %+v, %v", uri, dir, found, err)
			}
		}
	}
}

func TestMatchErrors(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "in/a.jsonl"), "")
	link(t, "nowhere", filepath.Join(root, "in/b.jsonl"))
	link(t, "nowhere", filepath.Join(root, "in/_c.jsonl"))
	link(t, "nowhere", filepath.Join(root, "in/d.txt"))
	found, err := objects.Match(t.Context(), objects.NewLocal(), root, "in/*.jsonl")
	if len(found) != 1 || err == nil || !strings.Contains(err.Error(), "in/b.jsonl") || strings.Contains(err.Error(), "d.txt") {
		t.Errorf("dangling links below a pattern: %+v, %v", found, err)
	}
	if found, err = objects.Match(t.Context(), objects.NewLocal(), root, "in"); len(found) != 1 || err == nil || strings.Contains(err.Error(), "_c") {
		t.Errorf("dangling links below a folder: %+v, %v", found, err)
	}
	if _, err := objects.Match(t.Context(), objects.NewLocal(), root, "in/[a"); !errors.Is(err, objects.ErrPattern) {
		t.Errorf("a broken pattern: %v", err)
	}
}
