package objects_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start")) // of a library of cloudtest
}

// testStore is the suite that every Store passes. open returns a store and an empty
// folder in it; odd are names that this store has beside those that every one has.
func testStore(t *testing.T, open func(t *testing.T) (objects.Store, string), odd ...string) {
	t.Helper()
	for _, tc := range []struct {
		name string
		test func(t *testing.T, s objects.Store, root string)
	}{
		{"what was committed is listed in the order of names", testList},
		{"an object is there whole after its commit and not before", testCreate},
		{"of many that create one object one wins", testCreateOnce},
		{"what is there is never replaced", testNoReplace},
		{"ranges are read", testRanges},
		{"an object that changed is not read", testChanged},
		{"what is not there does not exist", testAbsent},
		{"names are any bytes", func(t *testing.T, s objects.Store, root string) { testNames(t, s, root, odd) }},
		{"an ended context ends all", testContext},
		{"objects are composed", testCompose},
		{"what can not be composed leaves nothing", testComposeRefused},
		{"of two that compose one object one wins", testComposeOnce},
		{"it is told when an object was written", testUpdated},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, root := open(t)
			tc.test(t, s, root)
		})
	}
}

func put(t *testing.T, s objects.Store, name, content string) objects.Object {
	t.Helper()
	w, err := s.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	o, err := s.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func get(t *testing.T, s objects.Store, o objects.Object, offset, length int64) (string, error) {
	t.Helper()
	r, err := s.Open(t.Context(), o, offset, length)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(r)
	return string(data), errors.Join(err, r.Close())
}

func names(t *testing.T, s objects.Store, folder string) []string {
	t.Helper()
	var names []string
	for o, err := range s.List(t.Context(), folder) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}

func testList(t *testing.T, s objects.Store, root string) {
	want := []string{}
	for _, name := range []string{"a!b", "a.b/c", "a/b/c", "a/b0", "a0", "b"} {
		name = root + "/" + name
		want = append(want, name)
	}
	for i := range want {
		put(t, s, want[(i+3)%len(want)], strings.Repeat("x", i))
	}
	if diff := cmp.Diff(want, names(t, s, root)); diff != "" {
		t.Error(diff)
	}
	for o, err := range s.List(t.Context(), root) {
		stat, statErr := s.Stat(t.Context(), o.Name)
		if diff := cmp.Diff(stat, o); diff != "" || err != nil || statErr != nil {
			t.Error(diff, err, statErr)
		}
	}
	for o, err := range s.List(t.Context(), root) {
		if err != nil {
			t.Error(o.Name, err)
		}
		break // a listing may be left
	}
	if got := names(t, s, root+"/absent"); got != nil {
		t.Errorf("a folder that does not exist holds %q", got)
	}
}

func testCreate(t *testing.T, s objects.Store, root string) {
	name := root + "/new/folder/object"
	w, err := s.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "content"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), name); !errors.Is(err, objects.ErrNotExist) {
		t.Errorf("before the commit: %v", err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("abort after commit: %v", err)
	}
	o, err := s.Stat(t.Context(), name)
	if err != nil || o.Size != 7 || o.Name != name || o.Generation == "" {
		t.Fatalf("after the commit: %+v, %v", o, err)
	}
	aborted, err := s.Create(t.Context(), root+"/new/aborted")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := aborted.Abort(); err != nil {
			t.Errorf("abort: %v", err)
		}
	}
	if err := aborted.Commit(t.Context()); err == nil {
		t.Error("commit after abort: no error")
	}
	if diff := cmp.Diff([]string{name}, names(t, s, root)); diff != "" {
		t.Error(diff)
	}
}

func testCreateOnce(t *testing.T, s objects.Store, root string) {
	const n = 16
	name := root + "/once"
	writers := make([]objects.Writer, n)
	for i := range writers {
		w, err := s.Create(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(w, "%02d", i); err != nil {
			t.Fatal(err)
		}
		writers[i] = w
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i, w := range writers {
		wg.Go(func() { errs[i] = w.Commit(t.Context()) })
	}
	wg.Wait()
	var won []string
	for i, err := range errs {
		switch {
		case err == nil:
			won = append(won, fmt.Sprintf("%02d", i))
		case !errors.Is(err, objects.ErrExist):
			t.Error(err)
		}
	}
	got, err := get(t, s, objects.Object{Name: name}, 0, -1)
	if diff := cmp.Diff(won, []string{got}); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if diff := cmp.Diff([]string{name}, names(t, s, root)); diff != "" {
		t.Errorf("left behind: %s", diff)
	}
}

func testNoReplace(t *testing.T, s objects.Store, root string) {
	a, b := put(t, s, root+"/a", "first"), put(t, s, root+"/b", "second")
	if err := s.Copy(t.Context(), b.Name, a.Name); !errors.Is(err, objects.ErrExist) {
		t.Errorf("copy over an object: %v", err)
	}
	if got, err := get(t, s, a, 0, -1); got != "first" || err != nil {
		t.Errorf("after a refused copy: %q, %v", got, err)
	}
	c := root + "/folder/c"
	if err := s.Copy(t.Context(), a.Name, c); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), a.Name); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, s, objects.Object{Name: c}, 0, -1); got != "first" || err != nil {
		t.Errorf("the copy, after the first was removed: %q, %v", got, err)
	}
}

func testRanges(t *testing.T, s objects.Store, root string) {
	o := put(t, s, root+"/o", "0123456789")
	for _, tc := range []struct {
		offset, length int64
		want           string
	}{{0, -1, "0123456789"}, {3, -1, "3456789"}, {3, 4, "3456"}, {0, 0, ""}, {10, -1, ""}, {10, 5, ""}, {8, 5, "89"}} {
		if got, err := get(t, s, o, tc.offset, tc.length); got != tc.want || err != nil {
			t.Errorf("%d bytes from %d: %q, %v", tc.length, tc.offset, got, err)
		}
	}
	empty := put(t, s, root+"/empty", "")
	if got, err := get(t, s, empty, 0, -1); got != "" || err != nil {
		t.Errorf("an empty object: %q, %v", got, err)
	}
}

func testChanged(t *testing.T, s objects.Store, root string) {
	o := put(t, s, root+"/o", "old content")
	if err := s.Remove(t.Context(), o.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, s, o, 0, -1); !errors.Is(err, objects.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	put(t, s, o.Name, "other content")
	if _, err := get(t, s, o, 0, 1); !errors.Is(err, objects.ErrChanged) {
		t.Errorf("replaced: %v", err)
	}
}

func testAbsent(t *testing.T, s objects.Store, root string) {
	put(t, s, root+"/folder/object", "x")
	for _, name := range []string{"absent", "absent/below", "folder/object/below", "folder"} {
		name = root + "/" + name
		if _, err := s.Stat(t.Context(), name); !errors.Is(err, objects.ErrNotExist) {
			t.Errorf("stat %s: %v", name, err)
		}
	}
	absent := root + "/absent"
	if _, err := s.Open(t.Context(), objects.Object{Name: absent}, 0, -1); !errors.Is(err, objects.ErrNotExist) || !strings.Contains(err.Error(), absent) {
		t.Errorf("open: %v", err)
	}
	if err := s.Copy(t.Context(), absent, root+"/to"); !errors.Is(err, objects.ErrNotExist) {
		t.Errorf("copy: %v", err)
	}
	if err := s.Remove(t.Context(), absent); err != nil {
		t.Errorf("remove: %v", err)
	}
}

func testNames(t *testing.T, s objects.Store, root string, odd []string) {
	var want []string
	for _, name := range slices.Sorted(slices.Values(append([]string{" ", "#1?%20", "*.[a]{b}", "a:b", "ü", "한국어"}, odd...))) {
		want = append(want, put(t, s, root+"/"+name, name).Name)
	}
	if diff := cmp.Diff(want, names(t, s, root)); diff != "" {
		t.Error(diff)
	}
	for _, name := range want {
		if got, err := get(t, s, objects.Object{Name: name}, 0, -1); got != path.Base(name) || err != nil {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}

func testContext(t *testing.T, s objects.Store, root string) {
	o := put(t, s, root+"/o", "x")
	w, err := s.Create(t.Context(), root+"/new")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Abort() }()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	_, statErr := s.Stat(ctx, o.Name)
	_, openErr := s.Open(ctx, o, 0, -1)
	_, createErr := s.Create(ctx, root+"/other")
	var listErr error
	for _, err := range s.List(ctx, root) {
		listErr = err
	}
	for what, err := range map[string]error{
		"stat": statErr, "open": openErr, "create": createErr, "list": listErr, "commit": w.Commit(ctx),
		"copy": s.Copy(ctx, o.Name, o.Name+"2"), "compose": s.Compose(ctx, o.Name+"3", []objects.Object{o}), "remove": s.Remove(ctx, o.Name),
	} {
		if !errors.Is(err, cause) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
