package cloudtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"cloud.google.com/go/storage"

	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	for status, words := range map[int]string{
		401: "Anonymous caller does not have storage.objects.get access",
		403: "does not have storage.objects.get access to the Google Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist).",
		404: "The specified bucket does not exist.",
		412: "pre-conditions",
		429: "exceeded the rate limit",
		500: "internal error",
		503: "unavailable",
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s, b := start(t)
			s.Put(t, cloudtest.Object{Bucket: "b", Name: "o"})
			s.Fail(cloudtest.Fault{Op: cloudtest.Read, Name: "/o", Status: status})
			for name, client := range map[string]*storage.Client{"XML": s.Client(t), "JSON": s.Client(t, storage.WithJSONReads())} {
				client.SetRetry(storage.WithPolicy(storage.RetryNever))
				_, err := read(t.Context(), client.Bucket("b").Object("o"))
				if status == http.StatusNotFound {
					wantStatusOrAbsent(t, name, err)
					continue
				}
				wantStatus(t, name, err, status)
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("%s: %v; want %q", name, err, words)
				}
			}
			if _, err := b.Object("o").Attrs(t.Context()); err != nil {
				t.Errorf("another operation: %v", err)
			}
			s.Heal()
			if _, err := read(t.Context(), b.Object("o")); err != nil {
				t.Errorf("healed: %v", err)
			}
		})
	}
}

func TestAFaultHappensAsOftenAsItShall(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	s.Put(t, cloudtest.Object{Bucket: "b", Name: "o"})
	s.Fail(cloudtest.Fault{Op: cloudtest.Stat, After: 1, Times: 2, Status: 503})
	for range 2 {
		if _, err := b.Object("o").Attrs(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var got []int
	for _, r := range s.Requests() {
		got = append(got, r.Status)
	}
	if fmt.Sprint(got) != "[200 503 503 200]" || s.Pending() != 0 {
		t.Errorf("%v, %d pending", got, s.Pending())
	}
}

func TestBrokenReads(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 10_000)
	for _, kind := range []cloudtest.Kind{cloudtest.Cut, cloudtest.Reset, cloudtest.LoseReply} {
		t.Run(string(kind)+" is seen by a plain client", func(t *testing.T) {
			t.Parallel()
			s := cloudtest.Start(t, "b")
			s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: content})
			s.Fail(cloudtest.Fault{Kind: kind, Bytes: 1000})
			client := &http.Client{Transport: &http.Transport{}}
			resp, err := client.Get(s.URL() + "/storage/v1/b/b/o/o?alt=media")
			if kind != cloudtest.Cut {
				if err == nil {
					t.Error("a reply came")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 1000 {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
		t.Run(string(kind)+" is mended by the official client", func(t *testing.T) {
			t.Parallel()
			s, b := start(t)
			s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: content})
			s.Fail(cloudtest.Fault{Op: cloudtest.Read, Kind: kind, Bytes: 1000, Times: 2})
			if got, err := read(t.Context(), b.Object("o")); got != string(content) || err != nil {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if s.Count(cloudtest.Read) != 3 {
				t.Errorf("%d reads", s.Count(cloudtest.Read))
			}
		})
	}
}

func TestCorruptRead(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: []byte("0123456789")})
	s.Fail(cloudtest.Fault{Op: cloudtest.Read, Kind: cloudtest.Corrupt, Bytes: 3, Times: 1})
	if got, err := read(t.Context(), b.Object("o")); err == nil || got != "0122456789" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestStalledRead(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: []byte("0123456789")})
	s.Fail(cloudtest.Fault{Op: cloudtest.Read, Kind: cloudtest.Stall, Bytes: 4, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := b.Object("o").NewReader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNoAnswerEndsWithTheServer(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	reached := make(chan struct{})
	s.Fail(cloudtest.Fault{Op: cloudtest.Stat, Kind: cloudtest.Stall, Before: func(cloudtest.Request) { close(reached) }, Times: 1})
	failed := make(chan error)
	go func() {
		_, err := b.Object("o").Retryer(storage.WithPolicy(storage.RetryNever)).Attrs(t.Context())
		failed <- err
	}()
	<-reached
	s.Close()
	if err := <-failed; err == nil {
		t.Error("no error")
	}
}

func TestBeforeReplacesAnObject(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	old := s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: []byte("old")})
	s.Fail(cloudtest.Fault{Op: cloudtest.Read, Times: 1, Before: func(r cloudtest.Request) {
		s.Put(t, cloudtest.Object{Bucket: r.Bucket, Name: r.Name, Content: []byte("new")})
	}})
	if _, err := read(t.Context(), b.Object("o").Generation(old)); !errors.Is(err, storage.ErrObjectNotExist) {
		t.Error(err)
	}
	if got, err := read(t.Context(), b.Object("o")); got != "new" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLostReplies(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	s.Fail(cloudtest.Fault{Kind: cloudtest.LoseReply, Times: 1, Op: cloudtest.Write})
	_, err := write(t.Context(), b.Object("o").If(storage.Conditions{DoesNotExist: true}), []byte("mine"), func(w *storage.Writer) {
		w.Metadata = map[string]string{"tag": "1"}
	})
	wantStatus(t, "write again", err, http.StatusPreconditionFailed)
	if o := s.Object(t, "b", "o"); string(o.Content) != "mine" || o.Metadata["tag"] != "1" {
		t.Errorf("%+v", o)
	}
	s.Fail(cloudtest.Fault{Kind: cloudtest.LoseReply, Times: 1, Op: cloudtest.Copy})
	_, err = b.Object("p").If(storage.Conditions{DoesNotExist: true}).CopierFrom(b.Object("o")).Run(t.Context())
	wantStatus(t, "copy again", err, http.StatusPreconditionFailed)
	if o := s.Object(t, "b", "p"); string(o.Content) != "mine" || o.Metadata["tag"] != "1" {
		t.Errorf("%+v", o)
	}
	s.Fail(cloudtest.Fault{Kind: cloudtest.LoseReply, Times: 1, Op: cloudtest.Delete})
	err = b.Object("p").Retryer(storage.WithPolicy(storage.RetryAlways)).Delete(t.Context())
	wantStatusOrAbsent(t, "delete again", err)
}

func TestResumableUploadsOutliveFaults(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789abcdef"), 40<<10) // 640 KiB: three pieces
	for _, kind := range []cloudtest.Kind{cloudtest.Refuse, cloudtest.Reset, cloudtest.LoseReply} {
		for _, op := range []cloudtest.Op{cloudtest.WriteStart, cloudtest.WriteChunk} {
			for piece := range 3 {
				if op == cloudtest.WriteStart && piece > 0 {
					continue
				}
				t.Run(fmt.Sprint(kind, " of ", op, " ", piece), func(t *testing.T) {
					t.Parallel()
					s, b := start(t)
					s.Fail(cloudtest.Fault{Op: op, After: piece, Times: 1, Kind: kind, Status: 503})
					o := b.Object("o").If(storage.Conditions{DoesNotExist: true})
					attrs, err := write(t.Context(), o, content, func(w *storage.Writer) {
						w.ChunkSize, w.Metadata = 256<<10, map[string]string{"tag": "1"}
					})
					if err != nil {
						t.Fatal(err)
					}
					if got := s.Content(t, "b", "o"); !bytes.Equal(got, content) || attrs.Metadata["tag"] != "1" || s.Pending() != 0 {
						t.Errorf("%d bytes, %+v", len(got), attrs)
					}
				})
			}
		}
	}
}

func TestCancelledUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.Fail(cloudtest.Fault{Op: cloudtest.WriteChunk, After: 1, Before: func(cloudtest.Request) { cancel() }, Times: 1})
	_, err := write(ctx, b.Object("o"), make([]byte, 1<<20), func(w *storage.Writer) { w.ChunkSize = 256 << 10 })
	if !errors.Is(err, context.Canceled) || s.Names("b") != nil {
		t.Errorf("%v, %q", err, s.Names("b"))
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	s, b := start(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	post := func(path, body string) int {
		resp, err := client.Post(s.URL()+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	for _, wrong := range []string{`{"unknown": 1}`, `{"kind": "curt"}`, `{"op": "reads", "status": 403}`} {
		if got := post("/_control/fail", wrong); got != http.StatusBadRequest {
			t.Error(wrong, got)
		}
	}
	if got := post("/_control/fail", `{"op": "any", "name": "/o", "status": 403}`); got != http.StatusOK {
		t.Error(got)
	}
	_, err := b.Object("o").Attrs(t.Context())
	wantStatus(t, "stat", err, http.StatusForbidden)
	if got := post("/_control/heal", ""); got != http.StatusOK {
		t.Error(got)
	}
	_, err = b.Object("o").Attrs(t.Context())
	wantStatusOrAbsent(t, "healed", err)
	resp, err := client.Get(s.URL() + "/_control/requests")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var requests []cloudtest.Request
	if err := json.NewDecoder(resp.Body).Decode(&requests); err != nil || len(requests) != 2 || requests[0].Status != 403 || requests[1].Op != cloudtest.Stat {
		t.Errorf("%+v, %v", requests, err)
	}
}
