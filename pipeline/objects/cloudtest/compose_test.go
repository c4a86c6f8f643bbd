package cloudtest_test

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"testing"

	"cloud.google.com/go/storage"

	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

func TestCompose(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	stale := s.Put(t, cloudtest.Object{Bucket: "b", Name: "a", Content: []byte("old")})
	first := s.Put(t, cloudtest.Object{Bucket: "b", Name: "a", Content: []byte("1"), ContentType: "text/x", Metadata: map[string]string{"a": "1"}})
	second := s.Put(t, cloudtest.Object{Bucket: "b", Name: "b", Content: []byte("22")})
	onlyNew := storage.Conditions{DoesNotExist: true}
	a, two := b.Object("a"), b.Object("b")
	composer := b.Object("folder/new").If(onlyNew).ComposerFrom(a.Generation(first), two.If(storage.Conditions{GenerationMatch: second}), a)
	composer.ContentType, composer.Metadata = "text/y", map[string]string{"tag": "1"}
	composer.CRC32C, composer.SendCRC32C = crc32.Checksum([]byte("1221"), crc32.MakeTable(crc32.Castagnoli)), true
	attrs, err := composer.Run(t.Context())
	if err != nil || attrs.Size != 4 || attrs.CRC32C != composer.CRC32C || attrs.ContentType != "text/y" || attrs.Metadata["tag"] != "1" || attrs.Metadata["a"] != "" {
		t.Fatalf("%+v, %v", attrs, err)
	}
	if got := s.Content(t, "b", "folder/new"); string(got) != "1221" {
		t.Errorf("%q", got)
	}
	wrong := b.Object("p").ComposerFrom(a)
	wrong.CRC32C, wrong.SendCRC32C = 1, true
	for what, tc := range map[string]struct {
		composer *storage.Composer
		status   int
	}{
		"over an object":          {b.Object("folder/new").If(onlyNew).ComposerFrom(a), http.StatusPreconditionFailed},
		"another generation":      {b.Object("p").ComposerFrom(a, a.Generation(stale)), http.StatusNotFound},
		"a condition that is not": {b.Object("p").ComposerFrom(a.If(storage.Conditions{GenerationMatch: stale})), http.StatusPreconditionFailed},
		"what is not there":       {b.Object("p").ComposerFrom(a, b.Object("absent")), http.StatusNotFound},
		"a wrong sum":             {wrong, http.StatusBadRequest},
		"a name that can not be":  {b.Object("new\nline").ComposerFrom(a), http.StatusBadRequest},
	} {
		_, err := tc.composer.Run(t.Context())
		if tc.status == http.StatusNotFound {
			wantStatusOrAbsent(t, what, err)
			continue
		}
		wantStatus(t, what, err, tc.status)
	}
	if got := fmt.Sprint(s.Names("b")); got != "[a b folder/new]" {
		t.Errorf("left behind: %s", got)
	}
}

func TestComposeTakesSoMany(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: []byte("x")})
	var from []*storage.ObjectHandle
	for range 32 {
		from = append(from, b.Object("o"))
	}
	if attrs, err := b.Object("p").ComposerFrom(from...).Run(t.Context()); err != nil || attrs.Size != 32 {
		t.Errorf("%+v, %v", attrs, err)
	}
	_, err := b.Object("q").ComposerFrom(append(from, from[0])...).Run(t.Context())
	wantStatus(t, "33", err, http.StatusBadRequest)
}

func TestComposeFails(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: []byte("x")})
	composer := b.Object("p").If(storage.Conditions{DoesNotExist: true}).ComposerFrom(b.Object("o"))
	s.Fail(cloudtest.Fault{Op: cloudtest.Compose, Name: "/p", Status: 503, Times: 2})
	s.Fail(cloudtest.Fault{Op: cloudtest.Compose, Kind: cloudtest.LoseReply, Times: 1})
	_, err := composer.Run(t.Context())
	wantStatus(t, "compose again", err, http.StatusPreconditionFailed)
	if got := s.Content(t, "b", "p"); string(got) != "x" || s.Pending() != 0 || s.Count(cloudtest.Compose) != 4 {
		t.Errorf("%q, %+v", got, s.Requests())
	}
	s.Fail(cloudtest.Fault{Op: cloudtest.Compose, Status: 403})
	_, err = composer.Run(t.Context())
	wantStatus(t, "forbidden", err, http.StatusForbidden)
	s.Heal()
	absent := s.Client(t).Bucket("absent")
	_, err = absent.Object("p").ComposerFrom(absent.Object("o")).Run(t.Context())
	wantStatusOrAbsent(t, "in a bucket that is not there", err)
}

func TestAFaultOfEveryOperationCanBeAskedFor(t *testing.T) {
	t.Parallel()
	for _, op := range []cloudtest.Op{
		cloudtest.List, cloudtest.Stat, cloudtest.Read, cloudtest.Write, cloudtest.WriteStart, cloudtest.WriteChunk, cloudtest.WriteCancel,
		cloudtest.Copy, cloudtest.Compose, cloudtest.Delete, cloudtest.Bucket, cloudtest.Permissions, cloudtest.Other,
	} {
		var read cloudtest.Op
		if err := read.UnmarshalText([]byte(op)); err != nil || read != op {
			t.Errorf("%q: %q, %v", op, read, err)
		}
	}
}
