package objects_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

func TestCloudGivesUpWithTheReason(t *testing.T) {
	t.Parallel()
	large := use{"create large", cloudtest.WriteChunk, func(ctx context.Context, c *objects.Cloud, bucket string) error {
		w, err := c.Create(ctx, bucket+"/out/large")
		if err != nil {
			return err
		}
		if _, err := w.Write(make([]byte, largeSize)); err != nil {
			return errors.Join(err, w.Abort())
		}
		return w.Commit(ctx)
	}, nil}
	for _, u := range append(uses(), large) {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			s, c := openHasty(t)
			fill(t, s, "in/a", "in/b")
			s.Fail(cloudtest.Fault{Op: u.op, Status: 503})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := u.do(ctx, c, "gs://b")
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "gs://b/") {
				t.Errorf("%v; want the object and the status", err)
			}
			if objects.Hint(err) == "" {
				t.Error("no hint")
			}
		})
	}
}

func TestCloudCloseTellsOfDamage(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 1 << 20} { // read at once, and ahead
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			s, c := openCloud(t)
			s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: make([]byte, size)})
			o, err := c.Stat(t.Context(), "gs://b/o")
			if err != nil {
				t.Fatal(err)
			}
			s.Fail(cloudtest.Fault{Op: cloudtest.Read, Kind: cloudtest.Corrupt, Bytes: size - 1})
			r, err := c.Open(t.Context(), o, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			_, readErr := io.ReadFull(r, make([]byte, size)) // who knows the size need not meet the end
			if err := errors.Join(readErr, r.Close()); err == nil || !strings.Contains(err.Error(), "checksum") || objects.Hint(err) == "" {
				t.Errorf("%v; want that the checksum is not the stored one; hint %q", err, objects.Hint(err))
			}
			if err := r.Close(); err != nil {
				t.Errorf("closed again: %v", err)
			}
		})
	}
}

func TestCloudReadersEndWhenTheyAreClosed(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]cloudtest.Fault{
		"no fault":          {},
		"stalled":           {Kind: cloudtest.Stall, Bytes: 1000},
		"cut, then nothing": {Kind: cloudtest.Cut, Bytes: 1000, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := openCloud(t)
			s.Put(t, cloudtest.Object{Bucket: "b", Name: "o", Content: make([]byte, 8<<20)})
			o, err := c.Stat(t.Context(), "gs://b/o")
			if err != nil {
				t.Fatal(err)
			}
			f.Op = cloudtest.Read
			s.Fail(f)
			if f.Kind == cloudtest.Cut {
				s.Fail(cloudtest.Fault{Op: cloudtest.Read, Kind: cloudtest.Stall})
			}
			r, err := c.Open(t.Context(), o, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
				t.Error(err)
			}
			began := time.Now()
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 10*time.Second { // it waits for no answer
				t.Errorf("closing took %v", took)
			}
		})
	}
}

func TestCloudKnowsAWriteWhoseReplyStalls(t *testing.T) {
	t.Parallel()
	for _, u := range uses() {
		if !slices.Contains([]cloudtest.Op{cloudtest.Write, cloudtest.Copy, cloudtest.Compose, cloudtest.Delete}, u.op) {
			continue
		}
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			s, c := openHasty(t)
			fill(t, s, "in/a", "in/b")
			s.Fail(cloudtest.Fault{Op: u.op, Kind: cloudtest.Stall, Bytes: 1, Times: 1}) // done, but it does not say so
			if err := u.do(t.Context(), c, "gs://b"); err != nil {
				t.Error(err)
			}
			u.done(t, s)
			if s.Pending() > 0 {
				t.Error("the fault did not happen")
			}
		})
	}
}
