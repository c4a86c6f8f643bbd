package memtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
)

// uses is each operation on a store that holds a and b.
func uses() map[string]func(ctx context.Context, s *memtest.Store) error {
	create := func(ctx context.Context, s *memtest.Store) error {
		w, err := s.Create(ctx, "new")
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, "content"); err != nil {
			return errors.Join(err, w.Abort())
		}
		return w.Commit(ctx)
	}
	read := func(ctx context.Context, s *memtest.Store) error {
		r, err := s.Open(ctx, objects.Object{Name: "a"}, 0, -1)
		if err != nil {
			return err
		}
		_, err = io.ReadAll(r)
		return errors.Join(err, r.Close())
	}
	return map[string]func(ctx context.Context, s *memtest.Store) error{
		"list": func(ctx context.Context, s *memtest.Store) error {
			for _, err := range s.List(ctx, ".") {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"stat": func(ctx context.Context, s *memtest.Store) error {
			_, err := s.Stat(ctx, "a")
			return err
		},
		"open": read, "read": read, "create": create, "write": create, "commit": create,
		"copy": func(ctx context.Context, s *memtest.Store) error { return s.Copy(ctx, "a", "new") },
		"compose": func(ctx context.Context, s *memtest.Store) error {
			return s.Compose(ctx, "new", []objects.Object{{Name: "a"}, {Name: "b"}})
		},
		"remove": func(ctx context.Context, s *memtest.Store) error { return s.Remove(ctx, "b") },
	}
}

func TestHooks(t *testing.T) {
	t.Parallel()
	lost := errors.New("lost")
	changes := map[string]string{"commit": "[a b new]", "copy": "[a b new]", "compose": "[a b new]", "remove": "[a]"}
	for op, use := range uses() {
		for _, when := range []string{"before", "after"} {
			t.Run(when+" "+op, func(t *testing.T) {
				t.Parallel()
				s := memtest.New()
				s.Put("a", []byte("1"))
				s.Put("b", []byte("2"))
				var seen []string
				hook := func(got, name string) error {
					seen = append(seen, got+" "+name)
					if got != op {
						return nil
					}
					return lost
				}
				want := "[a b]"
				if when == "before" {
					s.Before(hook)
				} else {
					s.After(hook)
					if changed := changes[op]; changed != "" {
						want = changed
					}
				}
				if err := use(t.Context(), s); !errors.Is(err, lost) {
					t.Errorf("%v; want the hook's error", err)
				}
				if got := fmt.Sprint(s.Names()); got != want {
					t.Errorf("%s; want %s", got, want)
				}
				if len(seen) == 0 || !strings.HasPrefix(seen[len(seen)-1], op+" ") {
					t.Errorf("the hook saw %q", seen)
				}
				s.Before(nil)
				s.After(nil)
				s.Delete("new")
				s.Put("b", nil)
				if err := use(t.Context(), s); err != nil {
					t.Errorf("without hooks: %v", err)
				}
			})
		}
	}
}

func TestAHookMayUseTheStoreAndEndTheContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	for op, use := range uses() {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			s := memtest.New()
			s.Put("a", []byte("1"))
			s.Put("b", []byte("2"))
			ctx, cancel := context.WithCancelCause(t.Context())
			s.Before(func(got, _ string) error {
				if got == op {
					s.Advance(time.Second)
					cancel(cause)
				}
				return nil
			})
			if err := use(ctx, s); !errors.Is(err, cause) {
				t.Error(err)
			}
			if diff := cmp.Diff([]string{"a", "b"}, s.Names()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheClockStandsStill(t *testing.T) {
	t.Parallel()
	s := memtest.New()
	start := s.Now()
	s.Put("a", nil)
	s.Advance(45 * time.Second)
	s.Put("b", nil)
	for name, want := range map[string]time.Duration{"a": 0, "b": 45 * time.Second} {
		if o, err := s.Stat(t.Context(), name); err != nil || o.Updated.Sub(start) != want {
			t.Errorf("%s: %v, %v; want %v from the start", name, o.Updated, err, want)
		}
	}
}

func TestContentIsOnesOwn(t *testing.T) {
	t.Parallel()
	s := memtest.New()
	content := []byte("content")
	s.Put("a", content)
	content[0] = 'x'
	got, ok := s.Content("a")
	if !ok || string(got) != "content" {
		t.Errorf("%q, %v", got, ok)
	}
	got[0] = 'y'
	if again, _ := s.Content("a"); !bytes.Equal(again, []byte("content")) {
		t.Errorf("%q", again)
	}
	if _, ok := s.Content("absent"); ok {
		t.Error("what is not there is there")
	}
}

func TestAnObjectIsGivenUpWithTheContextOfItsCreation(t *testing.T) {
	t.Parallel()
	s := memtest.New()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	w, err := s.Create(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	if err := w.Commit(t.Context()); !errors.Is(err, cause) || s.Names() != nil {
		t.Errorf("%v, %q", err, s.Names())
	}
}
