package objects_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

// use is one thing that is done to a store, on the objects in/a and in/b of the bucket,
// whose content are their names.
type use struct {
	name string
	op   cloudtest.Op
	do   func(ctx context.Context, c *objects.Cloud, bucket string) error
	done func(t *testing.T, s *cloudtest.Server) // checks what it did
}

func uses() []use {
	is := func(name, content string) func(*testing.T, *cloudtest.Server) {
		return func(t *testing.T, s *cloudtest.Server) {
			t.Helper()
			if got := s.Content(t, "b", name); string(got) != content {
				t.Errorf("%s holds %q", name, got)
			}
		}
	}
	nothing := func(*testing.T, *cloudtest.Server) {}
	return []use{
		{"list", cloudtest.List, useList, nothing},
		{"stat", cloudtest.Stat, useStat, nothing},
		{"open", cloudtest.Read, useOpen, nothing},
		{"create", cloudtest.Write, useCreate, is("out/new", "content")},
		{"copy", cloudtest.Copy, func(ctx context.Context, c *objects.Cloud, bucket string) error {
			return c.Copy(ctx, bucket+"/in/a", bucket+"/out/copy")
		}, is("out/copy", "in/a")},
		{"compose", cloudtest.Compose, useCompose, is("out/composed", "in/ain/bin/a")},
		{"remove", cloudtest.Delete, func(ctx context.Context, c *objects.Cloud, bucket string) error {
			return c.Remove(ctx, bucket+"/in/a")
		}, func(t *testing.T, s *cloudtest.Server) {
			if diff := cmp.Diff([]string{"in/b"}, s.Names("b")); diff != "" {
				t.Error(diff)
			}
		}},
	}
}

func useList(ctx context.Context, c *objects.Cloud, bucket string) error {
	var got []string
	for o, err := range c.List(ctx, bucket+"/in") {
		if err != nil {
			return err
		}
		got = append(got, strings.TrimPrefix(o.Name, bucket+"/"))
	}
	if fmt.Sprint(got) != "[in/a in/b]" {
		return fmt.Errorf("listed %q", got)
	}
	return nil
}

func useStat(ctx context.Context, c *objects.Cloud, bucket string) error {
	o, err := c.Stat(ctx, bucket+"/in/a")
	if err == nil && o.Size != 4 {
		return fmt.Errorf("described as %+v", o)
	}
	return err
}

func useOpen(ctx context.Context, c *objects.Cloud, bucket string) error {
	r, err := c.Open(ctx, objects.Object{Name: bucket + "/in/a"}, 0, -1)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(r)
	err = errors.Join(err, r.Close())
	if err == nil && string(content) != "in/a" {
		return fmt.Errorf("read %q", content)
	}
	return err
}

func useCreate(ctx context.Context, c *objects.Cloud, bucket string) error {
	w, err := c.Create(ctx, bucket+"/out/new")
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "content"); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Commit(ctx)
}

func useCompose(ctx context.Context, c *objects.Cloud, bucket string) error {
	a, b := objects.Object{Name: bucket + "/in/a"}, objects.Object{Name: bucket + "/in/b"}
	return c.Compose(ctx, bucket+"/out/composed", []objects.Object{a, b, a})
}

func TestCloudTriesAgain(t *testing.T) {
	t.Parallel()
	for _, u := range uses() {
		for name, f := range map[string]cloudtest.Fault{
			"unavailable":     {Status: 503, Times: 2},
			"internal error":  {Status: 500, Times: 1},
			"too many":        {Status: 429, Times: 2},
			"reset":           {Kind: cloudtest.Reset, Times: 2},
			"reply lost":      {Kind: cloudtest.LoseReply, Times: 1},
			"two lost":        {Kind: cloudtest.LoseReply, Times: 2},
			"reply cut short": {Kind: cloudtest.Cut, Bytes: 2, Times: 1},
		} {
			t.Run(u.name+" "+name, func(t *testing.T) {
				t.Parallel()
				s, c := openCloud(t)
				fill(t, s, "in/a", "in/b")
				f.Op = u.op
				s.Fail(f)
				if err := u.do(t.Context(), c, "gs://b"); err != nil {
					t.Error(err)
				}
				u.done(t, s)
				if n := s.Pending(); n > 0 && f.Kind != cloudtest.LoseReply {
					t.Errorf("%d faults did not happen", n)
				}
			})
		}
	}
}

func TestCloudReadsOverBrokenConnections(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789", 100_000)
	for name, f := range map[string]cloudtest.Fault{
		"cut at the start":   {Kind: cloudtest.Cut, Bytes: 1, Times: 1},
		"cut":                {Kind: cloudtest.Cut, Bytes: 300_001, Times: 3},
		"cut at the end":     {Kind: cloudtest.Cut, Bytes: 999_999, Times: 1},
		"cut and then reset": {Kind: cloudtest.Cut, Bytes: 100_000, Times: 1},
		"stalled":            {Kind: cloudtest.Stall, Bytes: 300_001, Times: 2},
		"no answer":          {Kind: cloudtest.Stall, Times: 1},
	} {
		for _, from := range []int64{0, 12_345} {
			for _, length := range []int64{-1, 900_000} {
				t.Run(fmt.Sprint(name, " ", from, " ", length), func(t *testing.T) {
					t.Parallel()
					s, c := openHasty(t)
					s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: []byte(content)})
					o, err := c.Stat(t.Context(), "gs://b/o")
					if err != nil {
						t.Fatal(err)
					}
					f := f // of this test alone
					f.Op = cloudtest.Read
					s.Fail(f)
					if name == "cut and then reset" {
						s.Fail(cloudtest.Fault{Op: cloudtest.Read, Kind: cloudtest.Reset, Times: 2})
					}
					want := content[from:]
					if length >= 0 {
						want = want[:length]
					}
					if got, err := get(t, c, o, from, length); got != want || err != nil {
						t.Errorf("%d bytes; want %d; %v", len(got), len(want), err)
					}
					if s.Pending() > 0 {
						t.Error("the fault did not happen")
					}
				})
			}
		}
	}
}

func TestCloudNeverGivesOtherBytes(t *testing.T) {
	t.Parallel()
	content := []byte(strings.Repeat("0123456789", 10_000))
	for _, encoding := range []string{"", "gzip"} {
		for _, at := range []int{0, 50_000, 99_999} {
			t.Run(fmt.Sprint(encoding, at), func(t *testing.T) {
				t.Parallel()
				s, c := openCloud(t)
				s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: content, ContentEncoding: encoding})
				o, err := c.Stat(t.Context(), "gs://b/o")
				if err != nil {
					t.Fatal(err)
				}
				s.Fail(cloudtest.Fault{Op: cloudtest.Read, Kind: cloudtest.Corrupt, Bytes: at})
				_, err = get(t, c, o, 0, -1)
				if err == nil || !strings.Contains(err.Error(), "gs://b/o") {
					t.Errorf("a changed byte: %v", err)
				}
			})
		}
	}
	t.Run("also behind a cut", func(t *testing.T) {
		t.Parallel()
		s, c := openCloud(t)
		s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: content})
		o, err := c.Stat(t.Context(), "gs://b/o")
		if err != nil {
			t.Fatal(err)
		}
		s.Fail(cloudtest.Fault{Op: cloudtest.Read, Kind: cloudtest.Cut, Bytes: 10, Times: 1})
		s.Fail(cloudtest.Fault{Op: cloudtest.Read, Kind: cloudtest.Corrupt, Bytes: 10})
		if _, err := get(t, c, o, 0, -1); err == nil {
			t.Error("a changed byte: no error")
		}
	})
}

func TestCloudChangesAreNoticed(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789", 10_000)
	for name, tc := range map[string]struct {
		change func(t *testing.T, s *cloudtest.Server)
		want   error
	}{
		"replaced": {func(t *testing.T, s *cloudtest.Server) {
			s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: []byte(content)})
		}, objects.ErrChanged},
		"removed": {func(t *testing.T, s *cloudtest.Server) { s.Remove(t, "b", "o") }, objects.ErrNotExist},
	} {
		for _, when := range []string{"before it is read", "while it is read"} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				s, c := openCloud(t)
				s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: []byte(content)})
				var o objects.Object
				for listed, err := range c.List(t.Context(), "gs://b") {
					if o = listed; err != nil {
						t.Fatal(err)
					}
				}
				if when == "while it is read" {
					s.Fail(cloudtest.Fault{Op: cloudtest.Read, Kind: cloudtest.Cut, Bytes: 1000, Times: 1})
				}
				s.Fail(cloudtest.Fault{Op: cloudtest.Read, Times: 1, Before: func(cloudtest.Request) { tc.change(t, s) }})
				_, err := get(t, c, o, 0, -1)
				if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), "gs://b/o") {
					t.Errorf("%v; want %v", err, tc.want)
				}
			})
		}
	}
}

func TestCloudWithoutAccess(t *testing.T) {
	t.Parallel()
	permissions := map[string]string{
		"list": "storage.objects.list", "stat": "storage.objects.get", "open": "storage.objects.get",
		"create": "storage.objects.create", "copy": "storage.objects.create", "compose": "storage.objects.create", "remove": "storage.objects.delete",
	}
	for _, u := range uses() {
		for _, status := range []int{401, 403} {
			t.Run(fmt.Sprint(u.name, " ", status), func(t *testing.T) {
				t.Parallel()
				s, c := openCloud(t)
				fill(t, s, "in/a", "in/b")
				s.Fail(cloudtest.Fault{Op: u.op, Status: status})
				err := u.do(t.Context(), c, "gs://b")
				var access *objects.AccessError
				if !errors.As(err, &access) {
					t.Fatalf("%v; want an AccessError", err)
				}
				if access.Permission != permissions[u.name] || !strings.HasPrefix(access.URI, "gs://b") {
					t.Errorf("%+v", access)
				}
				if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), permissions[u.name]) || objects.Hint(err) == "" {
					t.Errorf("%v; hint %q", err, objects.Hint(err))
				}
				if n := s.Count(u.op); n != 1 {
					t.Errorf("asked %d times", n)
				}
			})
		}
	}
}

func TestCloudMissingBucket(t *testing.T) {
	t.Parallel()
	for _, u := range uses() {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			_, c := openCloud(t)
			err := u.do(t.Context(), c, "gs://absent")
			if u.name == "remove" && err == nil {
				return // what is not there is removed
			}
			if err == nil || !strings.Contains(err.Error(), "gs://absent") || !strings.Contains(err.Error(), "bucket") {
				t.Errorf("%v; want that there is no bucket gs://absent", err)
			}
		})
	}
	_, c := openCloud(t)
	if _, err := objects.Match(t.Context(), c, "/job", "gs://absent/*.jsonl"); err == nil || !strings.Contains(err.Error(), "bucket") {
		t.Errorf("match: %v", err)
	}
}

func TestCloudWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for _, u := range uses() {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			s, c := openHasty(t)
			fill(t, s, "in/a", "in/b")
			s.Fail(cloudtest.Fault{Op: u.op, Kind: cloudtest.Stall})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := u.do(ctx, c, "gs://b")
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "gs://b/") || !strings.Contains(err.Error(), "no answer within") {
				t.Errorf("%v; want the object and the time limit", err)
			}
		})
	}
}

func TestCloudEndsWithTheContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	for _, u := range uses() {
		for name, f := range map[string]cloudtest.Fault{"no answer": {Kind: cloudtest.Stall}, "unavailable": {Status: 503}} {
			t.Run(u.name+" "+name, func(t *testing.T) {
				t.Parallel()
				s, c := openCloud(t)
				fill(t, s, "in/a", "in/b")
				ctx, cancel := context.WithCancelCause(t.Context())
				f.Op, f.Before = u.op, func(cloudtest.Request) { cancel(cause) }
				s.Fail(f)
				if err := u.do(ctx, c, "gs://b"); !errors.Is(err, cause) {
					t.Errorf("%v; want %v", err, cause)
				}
			})
		}
	}
}
