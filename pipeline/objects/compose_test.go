package objects_test

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// parts makes n objects, and returns them and their contents one behind the other.
func parts(t *testing.T, s objects.Store, root string, n int) ([]objects.Object, string) {
	t.Helper()
	var from []objects.Object
	var all strings.Builder
	for i := range n {
		content := strings.Repeat(fmt.Sprint(i, "."), i%3)
		from = append(from, put(t, s, fmt.Sprintf("%s/parts/%03d", root, i), content))
		all.WriteString(content)
	}
	return from, all.String()
}

func testCompose(t *testing.T, s objects.Store, root string) {
	from, _ := parts(t, s, root, 70)
	for _, n := range []int{0, 1, 2, 32, 33, 64, 65, 70} {
		all := ""
		for _, o := range from[:n] {
			content, err := get(t, s, o, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			all += content
		}
		name := fmt.Sprintf("%s/composed/%d", root, n)
		if err := s.Compose(t.Context(), name, from[:n]); err != nil {
			t.Fatalf("of %d: %v", n, err)
		}
		o, err := s.Stat(t.Context(), name)
		if err != nil || o.Size != int64(len(all)) {
			t.Errorf("of %d: %+v, %v; want %d bytes", n, o, err, len(all))
		}
		if got, err := get(t, s, o, 0, -1); got != all || err != nil {
			t.Errorf("of %d: %q, %v; want %q", n, got, err, all)
		}
	}
	again := root + "/again"
	if err := s.Compose(t.Context(), again, []objects.Object{from[2], {Name: from[4].Name}, from[2]}); err != nil {
		t.Error(err)
	}
	if got, err := get(t, s, objects.Object{Name: again}, 0, -1); got != "2.2.4.2.2." || err != nil {
		t.Errorf("of one twice: %q, %v", got, err)
	}
	if got := len(names(t, s, root)); got != 70+8+1 {
		t.Errorf("%d objects are there", got)
	}
}

func testComposeRefused(t *testing.T, s objects.Store, root string) {
	from, _ := parts(t, s, root, 40)
	there := put(t, s, root+"/there", "content")
	gone, changed := put(t, s, root+"/gone", "gone"), put(t, s, root+"/changed", "changed")
	for _, o := range []objects.Object{gone, changed} {
		if err := s.Remove(t.Context(), o.Name); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, changed.Name, "another content")
	before := names(t, s, root)
	for _, few := range []int{0, 2, 40} {
		for _, tc := range []struct {
			name string
			last objects.Object
			want error
		}{
			{there.Name, there, objects.ErrExist},
			{root + "/new", gone, objects.ErrNotExist},
			{root + "/new", objects.Object{Name: gone.Name}, objects.ErrNotExist},
			{root + "/new", changed, objects.ErrChanged},
		} {
			err := s.Compose(t.Context(), tc.name, append(from[:few:few], tc.last))
			if !errors.Is(err, tc.want) {
				t.Errorf("%s of %d and %s: %v; want that it %v", tc.name, few, tc.last.Name, err, tc.want)
			}
			if tc.want != objects.ErrExist && (err == nil || !strings.Contains(err.Error(), tc.last.Name)) {
				t.Errorf("%v; want it to name %s", err, tc.last.Name)
			}
		}
	}
	if err := s.Compose(t.Context(), there.Name, nil); !errors.Is(err, objects.ErrExist) {
		t.Errorf("of nothing: %v", err)
	}
	if diff := cmp.Diff(before, names(t, s, root)); diff != "" {
		t.Errorf("left behind: %s", diff)
	}
	if got, err := get(t, s, there, 0, -1); got != "content" || err != nil {
		t.Errorf("what was there: %q, %v", got, err)
	}
}

func testComposeOnce(t *testing.T, s objects.Store, root string) {
	from, _ := parts(t, s, root, 34)
	name := root + "/once"
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = s.Compose(t.Context(), name, from[i:]) })
	}
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), objects.ErrExist) {
		t.Fatal(errs)
	}
	want := ""
	for i, err := range errs {
		if err == nil {
			for _, o := range from[i:] {
				content, _ := get(t, s, o, 0, -1)
				want += content
			}
		}
	}
	if got, err := get(t, s, objects.Object{Name: name}, 0, -1); got != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if got := len(names(t, s, root)); got != len(from)+1 {
		t.Errorf("%d objects are there", got)
	}
}

func testUpdated(t *testing.T, s objects.Store, root string) {
	var last time.Time
	for i := range 5 {
		name := fmt.Sprintf("%s/%d", root, i)
		o := put(t, s, name, "x")
		if o.Updated.IsZero() || o.Updated.Before(last) {
			t.Errorf("%s was written at %v; the one before at %v", path.Base(name), o.Updated, last)
		}
		last = o.Updated
	}
	for o, err := range s.List(t.Context(), root) {
		stat, statErr := s.Stat(t.Context(), o.Name)
		if err != nil || statErr != nil || !o.Updated.Equal(stat.Updated) {
			t.Errorf("%s: listed %v, %v; described %v, %v", o.Name, o.Updated, err, stat.Updated, statErr)
		}
	}
}
