package pyworker

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// bucket is a small Cloud Storage: objects by their names, gs://bucket/name.
type bucket struct {
	objects.Store // what is not needed here

	mu        sync.Mutex
	held      map[string]stored
	last      int
	opened    map[string]int
	listed    int
	noSums    bool
	onOpen    func(ctx context.Context, name string) error // nil: nothing
	onContent func(name string, content []byte) io.Reader  // nil: the content
	onClose   error                                        // of what is read
	onList    error
}

type stored struct {
	content    []byte
	generation int
	gzipped    bool
}

func newBucket(files map[string]string) *bucket {
	b := &bucket{held: map[string]stored{}, opened: map[string]int{}}
	for name, text := range files {
		b.put(name, text)
	}
	return b
}

func (b *bucket) put(name, text string) { b.store(name, []byte(text), false) }

func (b *bucket) store(name string, content []byte, gzipped bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	b.held[name] = stored{content, b.last, gzipped}
}

// opens is how often objects were opened.
func (b *bucket) opens() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, times := range b.opened {
		n += times
	}
	return n
}

func (b *bucket) describe(name string) (objects.Object, bool) {
	s, ok := b.held[name]
	o := objects.Object{Name: name, Size: int64(len(s.content)), Generation: fmt.Sprint(s.generation), Gzipped: s.gzipped}
	if !b.noSums {
		o.Sum = fmt.Sprintf("%08x", crc32.Checksum(s.content, crc32.MakeTable(crc32.Castagnoli)))
	}
	return o, ok
}

func (b *bucket) List(_ context.Context, folder string) iter.Seq2[objects.Object, error] {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listed++
	var found []objects.Object
	for _, name := range slices.Sorted(maps.Keys(b.held)) {
		if strings.HasPrefix(name, folder+"/") {
			o, _ := b.describe(name)
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(x, y objects.Object) int { return cmp.Compare(x.Name, y.Name) })
	return func(yield func(objects.Object, error) bool) {
		if b.onList != nil && !yield(objects.Object{}, b.onList) {
			return
		}
		for _, o := range found {
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (b *bucket) Stat(_ context.Context, name string) (objects.Object, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.describe(name)
	if !ok {
		return o, fmt.Errorf("stat %s: %w", name, objects.ErrNotExist)
	}
	return o, nil
}

func (b *bucket) Open(ctx context.Context, o objects.Object, offset, length int64) (io.ReadCloser, error) {
	if offset != 0 || length != -1 {
		return nil, fmt.Errorf("open %s: %d, %d is not expected", o.Name, offset, length)
	}
	if b.onOpen != nil {
		if err := b.onOpen(ctx, o.Name); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened[o.Name]++
	now, ok := b.describe(o.Name)
	switch {
	case !ok:
		return nil, fmt.Errorf("open %s: %w", o.Name, objects.ErrNotExist)
	case now.Generation != o.Generation:
		return nil, fmt.Errorf("open %s: %w", o.Name, objects.ErrChanged)
	}
	content := b.held[o.Name].content
	if b.onContent != nil {
		return body{b.onContent(o.Name, content), b.onClose}, nil
	}
	return body{bytes.NewReader(content), b.onClose}, nil
}

// body is an object's content, whose end is told by Close.
type body struct {
	io.Reader
	closing error
}

func (b body) Close() error { return b.closing }

func zipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}
