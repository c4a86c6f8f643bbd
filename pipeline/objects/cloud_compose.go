package objects

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"sync"

	"cloud.google.com/go/storage"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

const (
	// composeLimit is how many objects the service composes by one call.
	composeLimit = 32
	// composeCalls is how many calls for one object are under way at the same time.
	composeCalls = 8
)

// Compose makes a new object of others in its bucket, without their content being sent.
// Of more than 32 it first makes temporary objects beside the new one, `.tmp-*`, which are
// removed at the end, also behind a failure; those of a program that is killed stay.
func (c *Cloud) Compose(ctx context.Context, name string, from []Object) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if len(from) == 0 {
		w, err := c.Create(ctx, name)
		if err != nil {
			return err
		}
		return w.Commit(ctx)
	}
	from, err := c.pin(ctx, from)
	if err != nil {
		return fmt.Errorf("compose %s: %w", name, err)
	}
	k := composition{cloud: c, name: name, id: uuid.NewString()}
	if err := k.run(ctx, from); err != nil {
		if cleaning := k.clean(ctx); cleaning != nil {
			return errors.Join(err, cleaning)
		}
		return err
	}
	_ = k.clean(ctx) // the object is there, whatever becomes of what it was made of
	return nil
}

// pin describes those objects of which any content is taken as they are now.
func (c *Cloud) pin(ctx context.Context, from []Object) ([]Object, error) {
	pinned := slices.Clone(from)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(composeCalls)
	for i, o := range from {
		if o.Generation != "" {
			continue
		}
		g.Go(func() (err error) {
			pinned[i], err = c.Stat(ctx, o.Name)
			return err
		})
	}
	return pinned, g.Wait()
}

// composition is one object that is made of others.
type composition struct {
	cloud *Cloud
	name  string
	id    string // which no other one has

	mu        sync.Mutex
	temporary []string // names that may be there
}

// run composes, by way of as many temporary objects as it takes.
func (k *composition) run(ctx context.Context, from []Object) (err error) {
	for len(from) > composeLimit {
		if from, err = k.gather(ctx, from); err != nil {
			return err
		}
	}
	_, err = k.compose(ctx, k.name, from)
	return err
}

// gather makes one temporary object of as many as one call takes.
func (k *composition) gather(ctx context.Context, from []Object) ([]Object, error) {
	groups := slices.Collect(slices.Chunk(from, composeLimit))
	gathered := make([]Object, len(groups))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(composeCalls)
	for i, group := range groups {
		if len(group) == 1 {
			gathered[i] = group[0]
			continue
		}
		g.Go(func() (err error) {
			gathered[i], err = k.compose(ctx, k.another(), group)
			return err
		})
	}
	return gathered, g.Wait()
}

// another names a temporary object, which is removed at the end.
func (k *composition) another() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	bucket, object := splitName(k.name)
	folder, _ := path.Split(object)
	name := cloudScheme + bucket + "/" + folder + ".tmp-" + k.id + "-" + strconv.Itoa(len(k.temporary))
	k.temporary = append(k.temporary, name)
	return name
}

// clean removes the temporary objects, within the limit of one call, also when ctx has
// ended.
func (k *composition) clean(ctx context.Context) error {
	limit := k.cloud.limit
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), limit, &limitError{limit: limit, times: 1})
	defer cancel()
	var g errgroup.Group
	g.SetLimit(composeCalls)
	for _, name := range k.temporary {
		g.Go(func() error { return k.cloud.Remove(ctx, name) })
	}
	return g.Wait()
}

// compose makes an object by one call, and holds it to what it is made of.
func (k *composition) compose(ctx context.Context, name string, from []Object) (Object, error) {
	c := k.cloud
	sources := make([]*storage.ObjectHandle, len(from))
	for i, o := range from {
		generation, err := strconv.ParseInt(o.Generation, 10, 64)
		if err != nil {
			return Object{}, fmt.Errorf("compose %s: generation %q of %s is no number", name, o.Generation, o.Name)
		}
		sources[i] = c.object(o.Name).Generation(generation)
	}
	size, sum, known := joined(from)
	composed, err := call(ctx, c, func(ctx context.Context) (*storage.ObjectAttrs, error) {
		composer := c.object(name).If(absent).ComposerFrom(sources...)
		composer.ContentType = contentType(k.name)
		composer.Metadata = map[string]string{tagKey: k.id}
		composer.CRC32C, composer.SendCRC32C = sum, known // the service refuses to make another one
		return composer.Run(ctx)
	})
	if err != nil {
		composed, err = c.own(ctx, "compose", name, k.id, err)
	}
	if errors.Is(err, ErrNotExist) {
		return Object{}, c.missing(ctx, name, from, err)
	}
	if err != nil {
		return Object{}, err
	}
	if composed.Size != size || known && composed.CRC32C != sum {
		return Object{}, errors.Join(fmt.Errorf("compose %s: %w", name, errSum), c.Remove(ctx, name))
	}
	return describeAttrs(composed), nil
}

// missing says which of the sources of a composition is gone, or not any more what it was.
func (c *Cloud) missing(ctx context.Context, name string, from []Object, err error) error {
	for _, o := range from {
		found, err := c.Stat(ctx, o.Name)
		switch {
		case err != nil:
			return fmt.Errorf("compose %s: %w", name, err)
		case found.Generation != o.Generation:
			return fmt.Errorf("compose %s: read %s: %w", name, o.Name, ErrChanged)
		}
	}
	return err
}

// joined is the size and the CRC-32C of objects one behind the other, where that is known
// of all.
func joined(from []Object) (size int64, sum uint32, known bool) {
	known = true
	for _, o := range from {
		next, err := strconv.ParseUint(o.Sum, 16, 32)
		known = known && err == nil
		size, sum = size+o.Size, JoinSums(sum, uint32(next), o.Size)
	}
	return size, sum, known
}
