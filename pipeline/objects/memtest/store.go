// Package memtest is a Store in memory, for tests: exact, with a clock that stands still
// until it is told to go, and with hooks that make an operation fail, wait, or lose its
// reply. It passes the suite that every Store passes, and where stores differ it is the
// strict one: what it lets through, all of them do.
package memtest

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Store holds objects in memory, under any names. Safe for concurrent use.
type Store struct {
	mu         sync.Mutex
	objects    map[string]object
	generation int64 // the newest one
	now        time.Time
	before     func(op, name string) error
	after      func(op, name string) error
}

var _ objects.Store = (*Store)(nil)

// object is what is stored under a name; its content is never changed.
type object struct {
	content    []byte
	generation int64
	updated    time.Time
}

// New returns an empty Store, whose clock stands at the begin of 2026.
func New() *Store {
	return &Store{objects: map[string]object{}, now: time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)}
}

// Now is what the store's clock says.
func (s *Store) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Advance sets the store's clock forward. It does not go by itself.
func (s *Store) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// Names returns the names of all objects, ordered by their bytes.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Content returns what an object holds, and whether it is there. It runs no hooks.
func (s *Store) Content(name string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[name]
	return slices.Clone(o.content), ok
}

// Put stores an object, over one that is there. It runs no hooks.
func (s *Store) Put(name string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(name, slices.Clone(content))
}

// Delete removes an object. It runs no hooks.
func (s *Store) Delete(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
}

// store keeps content under a new generation. s.mu is held.
func (s *Store) store(name string, content []byte) {
	s.generation++
	s.objects[name] = object{content: content, generation: s.generation, updated: s.now}
}

// create is store for what must be new. s.mu is held.
func (s *Store) create(verb, name string, content []byte) error {
	if _, ok := s.objects[name]; ok {
		return fmt.Errorf("%s %s: %w", verb, name, objects.ErrExist)
	}
	s.store(name, content)
	return nil
}

// find returns the object that o describes. s.mu is held.
func (s *Store) find(verb string, o objects.Object) (object, error) {
	found, ok := s.objects[o.Name]
	switch {
	case !ok:
		return object{}, fmt.Errorf("%s %s: %w", verb, o.Name, objects.ErrNotExist)
	case o.Generation != "" && o.Generation != strconv.FormatInt(found.generation, 10):
		return object{}, fmt.Errorf("%s %s: %w", verb, o.Name, objects.ErrChanged)
	}
	return found, nil
}

func (o object) describe(name string) objects.Object {
	return objects.Object{
		Name:       name,
		Size:       int64(len(o.content)),
		Generation: strconv.FormatInt(o.generation, 10),
		Sum:        fmt.Sprintf("%08x", crc32.Checksum(o.content, crc32.MakeTable(crc32.Castagnoli))),
		Updated:    o.updated,
	}
}

// List yields the objects below a folder: those that are there when it begins and still
// when they are reached, as they are then.
func (s *Store) List(ctx context.Context, folder string) iter.Seq2[objects.Object, error] {
	return func(yield func(objects.Object, error) bool) {
		if err := s.begin(ctx, "list", folder); err != nil {
			yield(objects.Object{}, err)
			return
		}
		for _, name := range s.Names() {
			if !isBelow(folder, name) {
				continue
			}
			if err := context.Cause(ctx); err != nil {
				yield(objects.Object{}, err)
				return
			}
			s.mu.Lock()
			o, ok := s.objects[name]
			s.mu.Unlock()
			if ok && !yield(o.describe(name), nil) {
				return
			}
		}
		if err := s.end("list", folder); err != nil {
			yield(objects.Object{}, err)
		}
	}
}

// isBelow says whether a name is below a folder; "." and "" are that of relative paths.
func isBelow(folder, name string) bool {
	if folder == "." || folder == "" {
		return !strings.HasPrefix(name, "/") && !objects.IsCloud(name)
	}
	return strings.HasPrefix(name, strings.TrimRight(folder, "/")+"/")
}

// Stat describes one object.
func (s *Store) Stat(ctx context.Context, name string) (described objects.Object, err error) {
	err = s.do(ctx, "stat", name, func() error {
		o, err := s.find("stat", objects.Object{Name: name})
		if err == nil {
			described = o.describe(name)
		}
		return err
	})
	if err != nil {
		return objects.Object{}, err
	}
	return described, nil
}

// Open reads a range of an object as it is now, whatever becomes of it while it is read.
func (s *Store) Open(ctx context.Context, o objects.Object, offset, length int64) (io.ReadCloser, error) {
	var r *reader
	err := s.do(ctx, "open", o.Name, func() error {
		found, err := s.find("open", o)
		if err != nil {
			return err
		}
		rest := found.content[min(offset, int64(len(found.content))):]
		if length >= 0 {
			rest = rest[:min(length, int64(len(rest)))]
		}
		r = &reader{store: s, ctx: ctx, name: o.Name, rest: rest}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Create begins a new object, which is given up when ctx ends.
func (s *Store) Create(ctx context.Context, name string) (objects.Writer, error) {
	if err := s.do(ctx, "create", name, func() error { return nil }); err != nil {
		return nil, err
	}
	return &writer{store: s, ctx: ctx, name: name}, nil
}

// Compose makes a new object of the contents of others.
func (s *Store) Compose(ctx context.Context, name string, from []objects.Object) error {
	return s.do(ctx, "compose", name, func() error {
		var content []byte
		for _, o := range from {
			found, err := s.find("compose "+name+": read", o)
			if err != nil {
				return err
			}
			content = append(content, found.content...)
		}
		return s.create("compose", name, content)
	})
}

// Copy gives an object a second name. Hooks are told the new one.
func (s *Store) Copy(ctx context.Context, from, to string) error {
	return s.do(ctx, "copy", to, func() error {
		found, err := s.find("copy", objects.Object{Name: from})
		if err != nil {
			return err
		}
		return s.create("copy "+from+" to", to, found.content)
	})
}

// Remove removes one object.
func (s *Store) Remove(ctx context.Context, name string) error {
	return s.do(ctx, "remove", name, func() error {
		delete(s.objects, name)
		return nil
	})
}
