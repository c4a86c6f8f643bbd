package objects_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
)

// broken is a Store whose listings tell of an error where an object's name says so, and
// that counts what was listed.
type broken struct {
	objects.Store
	listed *int
}

func (b broken) List(ctx context.Context, folder string) iter.Seq2[objects.Object, error] {
	return func(yield func(objects.Object, error) bool) {
		for o, err := range b.Store.List(ctx, folder) {
			*b.listed++
			if strings.Contains(o.Name, "broken") {
				o, err = objects.Object{Name: o.Name}, errors.New(o.Name+" is broken")
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

func TestMatchEach(t *testing.T) {
	t.Parallel()
	s := memtest.New()
	for _, name := range []string{"/in/a.jsonl", "/in/b/broken.jsonl", "/in/b/c.jsonl", "/in/broken.txt", "/in/d.jsonl", "/in/[e]/f", "/in/_broken"} {
		s.Put(name, []byte("{}"))
	}
	for _, tc := range []struct {
		uri  string
		want []string
	}{
		{"in/a.jsonl", []string{"in/a.jsonl"}},
		{"in", []string{"in/[e]/f", "in/a.jsonl", "/in/b/broken.jsonl is broken", "in/b/c.jsonl", "/in/broken.txt is broken", "in/d.jsonl"}},
		{"in/**/*.jsonl", []string{"in/a.jsonl", "/in/b/broken.jsonl is broken", "in/b/c.jsonl", "in/d.jsonl"}},
		{"in/b*/broken.jsonl", []string{"/in/b/broken.jsonl is broken"}},
		{"in/[e]", []string{"in/[e]/f"}},
		{"in/[e", []string{"in/[e: is not a valid pattern"}},
		{"gs://[a]/b", []string{"gs://[a]/b: is not a valid pattern: a bucket is named as it is"}},
		{"absent/*", nil},
		{"absent", nil},
	} {
		t.Run(tc.uri, func(t *testing.T) {
			t.Parallel()
			listed := 0
			store := broken{s, &listed}
			var got, found, failed []string
			for f, err := range objects.MatchEach(t.Context(), store, "/", tc.uri) {
				if err != nil {
					got, failed = append(got, err.Error()), append(failed, err.Error())
					if f != (objects.Found{}) {
						t.Errorf("%v beside %+v", err, f)
					}
					continue
				}
				got, found = append(got, f.URI), append(found, f.URI)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			all, err := objects.Match(t.Context(), store, "/", tc.uri)
			var uris []string
			for _, f := range all {
				uris = append(uris, f.URI)
			}
			if diff := cmp.Diff(found, uris); diff != "" {
				t.Errorf("all at once: %s", diff)
			}
			if want := strings.Join(failed, "\n"); (err == nil) != (want == "") || err != nil && err.Error() != want {
				t.Errorf("all at once: %v; want %s", err, want)
			}
		})
	}
}

func TestMatchEachGoesNoFurtherThanItsCaller(t *testing.T) {
	t.Parallel()
	s := memtest.New()
	for i := range 100 {
		s.Put(fmt.Sprintf("/in/[x]/%03d", i), nil)
		s.Put(fmt.Sprintf("/in/x/%03d", i), nil)
	}
	for _, uri := range []string{"in", "in/[x]", "in/x/*", "in/x/000"} {
		listed := 0
		for _, err := range objects.MatchEach(t.Context(), broken{s, &listed}, "/", uri) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		if listed > 1 {
			t.Errorf("%s: %d objects were listed", uri, listed)
		}
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	n := 0
	for _, err := range objects.MatchEach(ctx, s, "/", "in") {
		cancel(cause)
		if n++; n == 2 && !errors.Is(err, cause) {
			t.Error(err)
		}
	}
	if n != 2 {
		t.Errorf("%d steps", n)
	}
}
