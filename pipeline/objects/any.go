package objects

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"
)

// Any is the Store of all names: those that begin with gs:// are in Cloud Storage, the
// others on the disk.
type Any struct {
	local *Local
	open  func(context.Context) (*Cloud, error)

	mu    sync.Mutex
	cloud *Cloud
}

var _ Store = (*Any)(nil)

// NewAny returns a Store that calls open when the first name in Cloud Storage is used: a
// job on local files needs no account. An open that failed is tried again.
func NewAny(open func(context.Context) (*Cloud, error)) *Any {
	return &Any{local: NewLocal(), open: open}
}

// Close closes the connections to Cloud Storage, if there are any. It may be called twice.
func (a *Any) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cloud == nil {
		return nil
	}
	err := a.cloud.Close()
	a.cloud = nil
	return err
}

// of returns the store that a name is in.
func (a *Any) of(ctx context.Context, name string) (Store, error) {
	if !IsCloud(name) {
		return a.local, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cloud == nil {
		cloud, err := a.open(ctx)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", name, err)
		}
		a.cloud = cloud
	}
	return a.cloud, nil
}

// List yields the objects below a folder.
func (a *Any) List(ctx context.Context, folder string) iter.Seq2[Object, error] {
	return a.listWhere(ctx, folder, everything)
}

func (a *Any) listWhere(ctx context.Context, folder string, w where) iter.Seq2[Object, error] {
	store, err := a.of(ctx, folder)
	if err != nil {
		return func(yield func(Object, error) bool) { yield(Object{}, err) }
	}
	return listWhere(ctx, store, folder, w)
}

// Stat describes one object.
func (a *Any) Stat(ctx context.Context, name string) (Object, error) {
	store, err := a.of(ctx, name)
	if err != nil {
		return Object{}, err
	}
	return store.Stat(ctx, name)
}

// Open reads a range of an object.
func (a *Any) Open(ctx context.Context, o Object, offset, length int64) (io.ReadCloser, error) {
	store, err := a.of(ctx, o.Name)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, o, offset, length)
}

// Create begins a new object.
func (a *Any) Create(ctx context.Context, name string) (Writer, error) {
	store, err := a.of(ctx, name)
	if err != nil {
		return nil, err
	}
	return store.Create(ctx, name)
}

// Copy gives an object a second name, in the same store.
func (a *Any) Copy(ctx context.Context, from, to string) error {
	if IsCloud(from) != IsCloud(to) {
		return fmt.Errorf("copy %s to %s: one is on disk and one is not", from, to)
	}
	store, err := a.of(ctx, from)
	if err != nil {
		return err
	}
	return store.Copy(ctx, from, to)
}

// Compose makes a new object of others, in the same store.
func (a *Any) Compose(ctx context.Context, name string, from []Object) error {
	for _, o := range from {
		if IsCloud(o.Name) != IsCloud(name) {
			return fmt.Errorf("compose %s of %s: one is on disk and one is not", name, o.Name)
		}
	}
	store, err := a.of(ctx, name)
	if err != nil {
		return err
	}
	return store.Compose(ctx, name, from)
}

// Remove removes one object.
func (a *Any) Remove(ctx context.Context, name string) error {
	store, err := a.of(ctx, name)
	if err != nil {
		return err
	}
	return store.Remove(ctx, name)
}
