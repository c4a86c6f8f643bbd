package objects_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

// fillParts puts n objects in/parts/… there, and returns them and their contents one behind
// the other.
func fillParts(t *testing.T, s *cloudtest.Server, c *objects.Cloud, n int) ([]objects.Object, string) {
	t.Helper()
	var all strings.Builder
	for i := range n {
		name := fmt.Sprintf("in/parts/%04d", i)
		fill(t, s, name)
		all.WriteString(name)
	}
	var from []objects.Object
	for o, err := range c.List(t.Context(), "gs://b/in/parts") {
		if err != nil {
			t.Fatal(err)
		}
		from = append(from, o)
	}
	return from, all.String()
}

func TestCloudComposesInCallsOf32(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ n, calls int }{{1, 1}, {32, 1}, {33, 2}, {64, 3}, {1024, 33}, {1025, 34}, {1100, 38}} {
		t.Run(fmt.Sprint(tc.n), func(t *testing.T) {
			t.Parallel()
			s, c := openCloud(t)
			some := min(tc.n, 64)
			from, content := fillParts(t, s, c, some)
			for len(from) < tc.n {
				from = append(from, from[len(from)-some])
				content += strings.TrimPrefix(from[len(from)-1].Name, "gs://b/")
			}
			if err := c.Compose(t.Context(), "gs://b/out.jsonl.gz", from); err != nil {
				t.Fatal(err)
			}
			o := s.Object(t, "b", "out.jsonl.gz")
			if string(o.Content) != content || o.ContentType != "application/gzip" || o.ContentEncoding != "" || o.Metadata["cpr-batch-write"] == "" {
				t.Errorf("%d bytes, %q, %q, %v", len(o.Content), o.ContentType, o.ContentEncoding, o.Metadata)
			}
			if n := s.Count(cloudtest.Compose); n != tc.calls {
				t.Errorf("%d calls; want %d", n, tc.calls)
			}
			if n := s.Count(cloudtest.Stat) + s.Count(cloudtest.Read) + s.Count(cloudtest.Write); n != 0 {
				t.Errorf("%d other calls", n)
			}
			if n := len(s.Names("b")); n != some+1 {
				t.Errorf("%d objects are there", n)
			}
		})
	}
}

func TestCloudComposesManyOverFaults(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]cloudtest.Fault{
		"unavailable":          {Status: 503, Times: 3},
		"reset":                {Kind: cloudtest.Reset, Times: 3},
		"replies lost":         {Kind: cloudtest.LoseReply, Times: 3},
		"all replies lost":     {Kind: cloudtest.LoseReply, Name: "/.tmp-", Times: 4},
		"the last reply lost":  {Kind: cloudtest.LoseReply, Name: "/out", Times: 1},
		"a reply that stalls":  {Kind: cloudtest.Stall, Bytes: 1, Name: "/.tmp-", Times: 1},
		"the last one stalls":  {Kind: cloudtest.Stall, Bytes: 1, Name: "/out", Times: 1},
		"no answer, for once":  {Kind: cloudtest.Stall, Times: 1},
		"replies are cut":      {Kind: cloudtest.Cut, Bytes: 5, Times: 3},
		"removal is not easy":  {Op: cloudtest.Delete, Status: 503, Times: 3},
		"removal is forbidden": {Op: cloudtest.Delete, Status: 403, Times: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := openHasty(t)
			from, content := fillParts(t, s, c, 100)
			if f.Op == cloudtest.Any {
				f.Op = cloudtest.Compose
			}
			s.Fail(f)
			if err := c.Compose(t.Context(), "gs://b/out", from); err != nil {
				t.Fatal(err)
			}
			if got := s.Content(t, "b", "out"); string(got) != content {
				t.Errorf("%d bytes; want %d", len(got), len(content))
			}
			left := 101
			if f.Status == 403 {
				left += 4
			}
			if n := len(s.Names("b")); n != left || s.Pending() != 0 {
				t.Errorf("%d objects are there, %d faults did not happen", n, s.Pending())
			}
		})
	}
}

func TestCloudComposeLeavesNothingBehindAFailure(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	for name, tc := range map[string]struct {
		fault cloudtest.Fault
		ends  bool // the context ends
		want  string
	}{
		"of the first call":           {cloudtest.Fault{Status: 403, Times: 1}, false, "storage.objects.create"},
		"of the last call":            {cloudtest.Fault{Status: 403, Name: "/out"}, false, "storage.objects.create"},
		"of the last call for long":   {cloudtest.Fault{Status: 503, Name: "/out"}, false, "503"},
		"the context ends":            {cloudtest.Fault{Kind: cloudtest.Stall, After: 2}, true, "enough"},
		"the context ends at the end": {cloudtest.Fault{Kind: cloudtest.Stall, Name: "/out"}, true, "enough"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := openHasty(t)
			from, _ := fillParts(t, s, c, 70)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			tc.fault.Op = cloudtest.Compose
			if tc.ends {
				tc.fault.Before = func(cloudtest.Request) { cancel(cause) }
			}
			s.Fail(tc.fault)
			err := c.Compose(ctx, "gs://b/out", from)
			if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, cause) != tc.ends {
				t.Errorf("%v; want %s", err, tc.want)
			}
			if n := len(s.Names("b")); n != 70 {
				t.Errorf("%d objects are there: %q", n, s.Names("b"))
			}
		})
	}
}

// A reply may be lost, and what the object was made of be gone before the call is made again.
func TestCloudKnowsItsOwnCompositionOfWhatIsGone(t *testing.T) {
	t.Parallel()
	s, c := openCloud(t)
	from, content := fillParts(t, s, c, 3)
	s.Fail(cloudtest.Fault{Op: cloudtest.Compose, Kind: cloudtest.LoseReply, Times: 1})
	s.Fail(cloudtest.Fault{Op: cloudtest.Compose, Times: 1, Before: func(cloudtest.Request) { s.Remove(t, "b", "in/parts/0001") }})
	if err := c.Compose(t.Context(), "gs://b/out", from); err != nil {
		t.Error(err)
	}
	if got := s.Content(t, "b", "out"); string(got) != content || s.Pending() != 0 {
		t.Errorf("%q, %d faults did not happen", got, s.Pending())
	}
}

func TestCloudComposeIsHeldToTheSums(t *testing.T) {
	t.Parallel()
	s, c := openCloud(t)
	from, _ := fillParts(t, s, c, 3)
	from[1].Sum = from[0].Sum
	if err := c.Compose(t.Context(), "gs://b/out", from); err == nil || !strings.Contains(err.Error(), "CRC32C") {
		t.Errorf("a wrong sum: %v", err)
	}
	from[1].Sum, from[1].Size = "", 1
	if err := c.Compose(t.Context(), "gs://b/out", from); err == nil || !strings.Contains(err.Error(), "gs://b/out") {
		t.Errorf("a wrong size and no sum: %v", err)
	}
	if diff := cmp.Diff([]string{"in/parts/0000", "in/parts/0001", "in/parts/0002"}, s.Names("b")); diff != "" {
		t.Errorf("left behind: %s", diff)
	}
}

func TestCloudComposesWithinABucket(t *testing.T) {
	t.Parallel()
	s, c := openCloud(t)
	from, _ := fillParts(t, s, c, 1)
	for _, name := range []string{"gs://other/out", "gs://b", "gs://b/"} {
		if err := c.Compose(t.Context(), name, from); err == nil {
			t.Errorf("composed %s", name)
		}
	}
}

func TestCloudTellsWhenTheContentWasWritten(t *testing.T) {
	t.Parallel()
	s, c := openCloud(t)
	before := time.Now().Add(-time.Second)
	fill(t, s, "a")
	o, err := c.Stat(t.Context(), "gs://b/a")
	if err != nil || o.Updated.Before(before) || o.Updated.After(time.Now().Add(time.Second)) {
		t.Errorf("%v, %v", o.Updated, err)
	}
}
