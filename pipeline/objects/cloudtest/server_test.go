package cloudtest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/google/go-cmp/cmp"
	"github.com/googleapis/gax-go/v2"
	"go.uber.org/goleak"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start")) // of a library, from its start on
}

// start returns a server, its bucket "b" and a client that tries again soon.
func start(t *testing.T) (*cloudtest.Server, *storage.BucketHandle) {
	t.Helper()
	s := cloudtest.Start(t, "b")
	client := s.Client(t)
	client.SetRetry(
		storage.WithBackoff(gax.Backoff{Initial: time.Millisecond, Max: time.Millisecond}),
		storage.WithErrorFunc(func(err error) bool { return storage.ShouldRetry(err) || errors.Is(err, io.EOF) }),
	)
	return s, client.Bucket("b")
}

func write(ctx context.Context, o *storage.ObjectHandle, content []byte, set func(*storage.Writer)) (*storage.ObjectAttrs, error) {
	w := o.NewWriter(ctx)
	if set != nil {
		set(w)
	}
	_, err := w.Write(content)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return w.Attrs(), nil
}

func read(ctx context.Context, o *storage.ObjectHandle) (string, error) {
	r, err := o.NewReader(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	return string(content), err
}

// wantStatus holds an error to the status of a reply.
func wantStatus(t *testing.T, what string, err error, status int) {
	t.Helper()
	var reply *googleapi.Error
	if !errors.As(err, &reply) || reply.Code != status {
		t.Errorf("%s: %v; want status %d", what, err, status)
	}
}

func TestObjectsAreKept(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	attrs, err := write(t.Context(), b.Object("folder/a b#%"), []byte("content"), func(w *storage.Writer) {
		w.Metadata, w.ContentType = map[string]string{"tag": "1"}, "text/x"
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Object("folder/a b#%").Attrs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Generation != attrs.Generation || got.CRC32C != attrs.CRC32C || got.ContentType != "text/x" || got.Metadata["tag"] != "1" {
		t.Errorf("%+v, %+v", got, attrs)
	}
	if content, err := read(t.Context(), b.Object("folder/a b#%")); content != "content" || err != nil {
		t.Errorf("%q, %v", content, err)
	}
	if diff := cmp.Diff([]string{"folder/a b#%"}, s.Names("b")); diff != "" {
		t.Error(diff)
	}
	if content := s.Content(t, "b", "folder/a b#%"); string(content) != "content" {
		t.Errorf("%q", content)
	}
	if _, err := write(t.Context(), b.Object("new\nline"), nil, nil); err == nil {
		t.Error("a name with a line's end was accepted")
	}
}

func TestTheEmulatorVariableIsEnough(t *testing.T) {
	s := cloudtest.Start(t, "b")
	s.Put(t, cloudtest.Object{Bucket: "b", Name: "x/y z", Content: []byte("content")})
	t.Setenv("STORAGE_EMULATOR_HOST", s.Host())
	client, err := storage.NewClient(t.Context()) // reads by the XML API
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	o := client.Bucket("b").Object("x/y z")
	if content, err := read(t.Context(), o); content != "content" || err != nil {
		t.Errorf("%q, %v", content, err)
	}
	if _, err := read(t.Context(), o.Generation(1)); !errors.Is(err, storage.ErrObjectNotExist) {
		t.Errorf("another generation: %v", err)
	}
	_, err = read(t.Context(), o.If(storage.Conditions{GenerationMatch: 1}))
	wantStatus(t, "read under a condition", err, http.StatusPreconditionFailed)
	if s.Count(cloudtest.Read) != 3 {
		t.Errorf("%+v", s.Requests())
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	first := s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: []byte("1")})
	second := s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: []byte("2")})
	o, ctx := b.Object("o"), t.Context()
	stale := o.If(storage.Conditions{GenerationMatch: first})
	_, readErr := read(ctx, stale)
	_, statErr := stale.Attrs(ctx)
	_, writeErr := write(ctx, stale, nil, nil)
	_, newErr := write(ctx, o.If(storage.Conditions{DoesNotExist: true}), nil, nil)
	_, copyToErr := o.If(storage.Conditions{DoesNotExist: true}).CopierFrom(o).Run(ctx)
	_, copyFromErr := b.Object("p").CopierFrom(stale).Run(ctx)
	for what, err := range map[string]error{
		"read": readErr, "stat": statErr, "write": writeErr, "create": newErr, "copy to": copyToErr, "copy from": copyFromErr, "delete": stale.Delete(ctx),
	} {
		wantStatus(t, what, err, http.StatusPreconditionFailed)
	}
	_, readErr = read(ctx, o.Generation(first))
	_, statErr = o.Generation(first).Attrs(ctx)
	_, copyErr := b.Object("p").CopierFrom(o.Generation(first)).Run(ctx)
	for what, err := range map[string]error{"read": readErr, "stat": statErr, "copy": copyErr, "delete": o.Generation(first).Delete(ctx)} {
		wantStatusOrAbsent(t, what, err)
	}
	if content, err := read(ctx, o.If(storage.Conditions{GenerationMatch: second})); content != "2" || err != nil {
		t.Errorf("%q, %v", content, err)
	}
	if err := o.If(storage.Conditions{GenerationMatch: second}).Delete(ctx); err != nil {
		t.Error(err)
	}
}

func wantStatusOrAbsent(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, storage.ErrObjectNotExist) {
		wantStatus(t, what, err, http.StatusNotFound)
	}
}

func TestWrongSumsAreRefused(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	for _, size := range []int{10, 600 << 10} { // in one request, and in three
		_, err := write(t.Context(), b.Object("o"), make([]byte, size), func(w *storage.Writer) {
			w.ChunkSize, w.CRC32C, w.SendCRC32C = 256<<10, 1, true
		})
		wantStatus(t, fmt.Sprint(size, " bytes"), err, http.StatusBadRequest)
	}
	if names := s.Names("b"); names != nil {
		t.Errorf("left behind: %q", names)
	}
}

func TestCopyKeepsMetadata(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	s.Put(t, cloudtest.Object{
		Bucket: "b", Name: "o", Content: []byte("content"), ContentEncoding: "gzip", ContentType: "text/x", Metadata: map[string]string{"a": "1"},
	})
	if _, err := b.Object("all").CopierFrom(b.Object("o")).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	tagged := b.Object("tagged").CopierFrom(b.Object("o"))
	tagged.Metadata = map[string]string{"tag": "2"}
	attrs, err := tagged.Run(t.Context())
	if err != nil || attrs.Size != 7 || attrs.Metadata["tag"] != "2" {
		t.Fatalf("%+v, %v", attrs, err)
	}
	if o := s.Object(t, "b", "all"); o.Metadata["a"] != "1" || o.ContentEncoding != "gzip" || o.ContentType != "text/x" || string(o.Content) != "content" {
		t.Errorf("copied as it is: %+v", o)
	}
	if o := s.Object(t, "b", "tagged"); o.Metadata["tag"] != "2" || o.Metadata["a"] != "" || o.ContentEncoding != "" || string(o.Content) != "content" {
		t.Errorf("copied with other metadata: %+v", o)
	}
}

func TestCompressedObjects(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	var stored bytes.Buffer
	z := gzip.NewWriter(&stored)
	_, writeErr := z.Write([]byte("content"))
	if err := errors.Join(writeErr, z.Close()); err != nil {
		t.Fatal(err)
	}
	s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: stored.Bytes(), ContentEncoding: "gzip"})
	if content, err := read(t.Context(), b.Object("o").ReadCompressed(true)); content != stored.String() || err != nil {
		t.Errorf("as it is stored: %q, %v", content, err)
	}
	if content, err := read(t.Context(), b.Object("o")); content != "content" || err != nil {
		t.Errorf("unpacked: %q, %v", content, err)
	}
}

func TestListing(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	for _, name := range []string{"a", "d/1", "d/2", "d/e/3", "d0", "z"} {
		s.Put(t, cloudtest.Object{Bucket: "b", Name: name})
	}
	s.PageSize(2)
	for _, tc := range []struct {
		query storage.Query
		want  []string
		pages int
	}{
		{storage.Query{}, []string{"a", "d/1", "d/2", "d/e/3", "d0", "z"}, 3},
		{storage.Query{Delimiter: "/"}, []string{"a", "d0", "z", "d/"}, 2},
		{storage.Query{Prefix: "d/"}, []string{"d/1", "d/2", "d/e/3"}, 2},
		{storage.Query{Prefix: "d/", Delimiter: "/"}, []string{"d/1", "d/2", "d/e/"}, 2},
		{storage.Query{StartOffset: "d/2", EndOffset: "z"}, []string{"d/2", "d/e/3", "d0"}, 2},
		{storage.Query{Prefix: "nothing"}, nil, 1},
	} {
		before := s.Count(cloudtest.List)
		var objects, prefixes []string
		it := b.Objects(t.Context(), &tc.query)
		for {
			o, err := it.Next()
			if errors.Is(err, iterator.Done) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if o.Prefix != "" {
				prefixes = append(prefixes, o.Prefix)
			} else {
				objects = append(objects, o.Name)
			}
		}
		if diff := cmp.Diff(map[string]bool{}, missing(tc.want, append(objects, prefixes...))); diff != "" {
			t.Errorf("%+v: %s", tc.query, diff)
		}
		if pages := s.Count(cloudtest.List) - before; pages != tc.pages {
			t.Errorf("%+v: %d pages; want %d", tc.query, pages, tc.pages)
		}
	}
}

// missing is what is in one of two lists only, or twice.
func missing(a, b []string) map[string]bool {
	odd := map[string]bool{}
	for _, name := range append(append([]string{}, a...), b...) {
		if odd[name] {
			delete(odd, name)
		} else {
			odd[name] = true
		}
	}
	return odd
}

func TestMissingBucket(t *testing.T) {
	t.Parallel()
	s := cloudtest.Start(t, "b")
	b := s.Client(t).Bucket("absent")
	_, listErr := b.Objects(t.Context(), nil).Next()
	_, statErr := b.Attrs(t.Context())
	_, writeErr := write(t.Context(), b.Object("o"), nil, nil)
	_, readErr := read(t.Context(), b.Object("o"))
	if !errors.Is(readErr, storage.ErrObjectNotExist) { // which is all that the client says there
		t.Errorf("read: %v", readErr)
	}
	for what, err := range map[string]error{"list": listErr, "stat": statErr, "write": writeErr} {
		wantStatus(t, what, err, http.StatusNotFound)
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte("The specified bucket does not exist.")) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	asked := []string{"storage.objects.create", "storage.objects.delete"}
	if got, err := b.IAM().TestPermissions(t.Context(), asked); cmp.Diff(asked, got) != "" || err != nil {
		t.Error(got, err)
	}
	s.Fail(cloudtest.Fault{Op: cloudtest.Permissions, Deny: asked[1:]})
	if got, err := b.IAM().TestPermissions(t.Context(), asked); cmp.Diff(asked[:1], got) != "" || err != nil {
		t.Error(got, err)
	}
}
