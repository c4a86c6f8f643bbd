package objects_test

import (
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

func TestJoin(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ dir, name, want string }{
		{"/job", "in/a", "/job/in/a"},
		{"/job", "../a", "/a"},
		{"/job", "/in//a", "/in/a"},
		{"/job", "gs://b/in/a", "gs://b/in/a"},
		{"/job", "gs://b/in//a/", "gs://b/in//a"},
		{"/job", "gs://b/", "gs://b"},
		{"gs://b/job", "in/a", "gs://b/job/in/a"},
		{"gs://b/job", "../a", "gs://b/a"},
		{"gs://b/job", "../../../a", "gs://b/a"},
		{"gs://b", "a", "gs://b/a"},
		{"gs://b/job", ".", "gs://b/job"},
		{"gs://b/job", "/in/a", "/in/a"},
		{"gs://b/job", "gs://c/a", "gs://c/a"},
	} {
		if got := objects.Join(tc.dir, tc.name); got != tc.want {
			t.Errorf("%s in %s is %s; want %s", tc.name, tc.dir, got, tc.want)
		}
	}
}

func TestDir(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"/job/a": "/job", "a": ".", "gs://b/in/a": "gs://b/in", "gs://b/a": "gs://b", "gs://b": "gs://b", "gs://b/in//a": "gs://b/in",
	} {
		if got := objects.Dir(name); got != want {
			t.Errorf("%s is in %s; want %s", name, got, want)
		}
	}
}
