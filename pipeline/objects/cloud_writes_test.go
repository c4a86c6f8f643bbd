package objects_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

const (
	pieceSize = 256 << 10       // the smallest one
	largeSize = 2.5 * pieceSize // three pieces
)

func TestCloudKnowsItsOwnWrite(t *testing.T) {
	t.Parallel()
	foreign := func(t *testing.T, s *cloudtest.Server, name string) func(cloudtest.Request) {
		return func(cloudtest.Request) {
			s.Put(t, cloudtest.Object{Bucket: "b", Name: name, Content: []byte("content")})
		}
	}
	for _, u := range uses() {
		name := map[string]string{"create": "out/new", "copy": "out/copy", "compose": "out/composed"}[u.name]
		if name == "" {
			continue
		}
		t.Run(u.name+": another's is no own one", func(t *testing.T) {
			t.Parallel()
			s, c := openCloud(t)
			fill(t, s, "in/a", "in/b")
			s.Fail(cloudtest.Fault{Op: u.op, Kind: cloudtest.Reset, Times: 1, Before: foreign(t, s, name)})
			if err := u.do(t.Context(), c, "gs://b"); !errors.Is(err, objects.ErrExist) {
				t.Errorf("%v; want that it exists", err)
			}
			if got := s.Content(t, "b", name); string(got) != "content" {
				t.Errorf("%q", got)
			}
		})
	}
	t.Run("of many with lost replies one wins", func(t *testing.T) {
		t.Parallel()
		s, c := openCloud(t)
		s.Fail(cloudtest.Fault{Op: cloudtest.Write, Kind: cloudtest.LoseReply, Times: 8})
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = useCreate(t.Context(), c, "gs://b") })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, objects.ErrExist):
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d have won", won)
		}
	})
}

func TestCloudUploadsOverBrokenConnections(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789abcdef"), largeSize/16)
	for _, kind := range []cloudtest.Kind{cloudtest.Refuse, cloudtest.Reset, cloudtest.LoseReply, cloudtest.Stall} {
		for after := range 4 { // the start, two pieces and the last one
			t.Run(fmt.Sprint(kind, " of request ", after), func(t *testing.T) {
				t.Parallel()
				s, c := openSmall(t)
				if kind == cloudtest.Stall {
					s, c = openHasty(t)
				}
				s.Fail(cloudtest.Fault{Op: cloudtest.Write, After: after, Times: 1, Kind: kind, Status: 503})
				w, err := c.Create(t.Context(), "gs://b/large")
				if err != nil {
					t.Fatal(err)
				}
				_, err = w.Write(content)
				err = errors.Join(err, w.Commit(t.Context()))
				if kind == cloudtest.Stall && err != nil && strings.Contains(err.Error(), "no answer within") && s.Names("b") == nil {
					return // it may be given up, as long as the error names the limit
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := s.Content(t, "b", "large"); !bytes.Equal(got, content) {
					t.Errorf("%d bytes", len(got))
				}
				if s.Pending() > 0 {
					t.Error("the fault did not happen")
				}
			})
		}
	}
}

func TestCloudGivenUpUploadsLeaveNothing(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(ctx context.Context, cancel func(), w objects.Writer) error{
		"aborted":   func(_ context.Context, _ func(), w objects.Writer) error { return w.Abort() },
		"cancelled": func(_ context.Context, cancel func(), w objects.Writer) error { cancel(); return w.Abort() },
		"cancelled before the commit": func(ctx context.Context, cancel func(), w objects.Writer) error {
			cancel()
			if w.Commit(ctx) == nil {
				return errors.New("no error of the commit")
			}
			return w.Abort()
		},
	} {
		for _, size := range []int{0, 10, largeSize} {
			t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
				t.Parallel()
				s, c := openSmall(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w, err := c.Create(ctx, "gs://b/o")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(make([]byte, size)); err != nil {
					t.Fatal(err)
				}
				if err := end(t.Context(), cancel, w); err != nil {
					t.Error(err)
				}
				if got := s.Names("b"); got != nil {
					t.Errorf("left behind: %q", got)
				}
			})
		}
	}
}
