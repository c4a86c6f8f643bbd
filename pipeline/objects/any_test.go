package objects_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

func TestAny(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		root func(t *testing.T) string
	}{
		{"on disk", func(t *testing.T) string { return t.TempDir() }},
		{"in Cloud Storage", func(*testing.T) string { return "gs://b" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			testStore(t, func(t *testing.T) (objects.Store, string) {
				s := cloudtest.Start(t, "b")
				return objects.NewAny(func(context.Context) (*objects.Cloud, error) { return objects.NewCloud(s.Client(t)), nil }), tc.root(t)
			})
		})
	}
}

func TestAnyConnectsWhenItMust(t *testing.T) {
	t.Parallel()
	s := cloudtest.Start(t, "b")
	fill(t, s, "o")
	opened, refused := 0, errors.New("no credentials")
	a := objects.NewAny(func(context.Context) (*objects.Cloud, error) {
		if opened++; opened == 1 {
			return nil, refused
		}
		return objects.NewCloud(s.Client(t)), nil
	})
	file := filepath.Join(t.TempDir(), "f")
	put(t, a, file, "content")
	if opened != 0 {
		t.Error("connected for a file")
	}
	if err := a.Copy(t.Context(), file, "gs://b/f"); err == nil {
		t.Error("copied from the disk")
	}
	if _, err := a.Stat(t.Context(), "gs://b/o"); !errors.Is(err, refused) {
		t.Error(err)
	}
	for range 2 {
		if diff := cmp.Diff([]string{"gs://b/o"}, names(t, a, "gs://b")); diff != "" {
			t.Error(diff)
		}
	}
	if opened != 2 {
		t.Errorf("connected %d times", opened)
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAnyMatchAsksForLittle(t *testing.T) {
	t.Parallel()
	s := cloudtest.Start(t, "b")
	fill(t, s, "in/a.jsonl", "other/b.jsonl")
	a := objects.NewAny(func(context.Context) (*objects.Cloud, error) { return objects.NewCloud(s.Client(t)), nil })
	if found, err := objects.Match(t.Context(), a, "gs://b/job", "../in/*.jsonl"); len(found) != 1 || err != nil || found[0].Object.Name != "gs://b/in/a.jsonl" {
		t.Errorf("%+v, %v", found, err)
	}
	for _, r := range s.Requests() {
		if r.Op == cloudtest.List && (len(r.Name) < 3 || r.Name[:3] != "in/") {
			t.Errorf("listed %q", r.Name)
		}
	}
}
