package sources

import (
	"context"
	"errors"
	"io"
	"iter"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

const (
	// sniffers is how many files are looked into at a time.
	sniffers = 16
	// sniffAhead is how many files are listed before those are known that are looked into.
	sniffAhead = 8 * sniffers
	// samples is how many small objects are looked into.
	samples = 100
)

// sniffed is a file of which is known what is to be known for a plan.
type sniffed struct {
	objects.Found
	kind compression
	err  error         // it can not be read
	done chan struct{} // closed when it was looked into; nil where it is not
}

// sniffEach tells the compressions of files, in their order, and with it whether they can
// be read. It ends early with ctx, which the caller looks at.
//
// Of the objects in Cloud Storage that are not to be cut, being no larger than size, only
// the first ones are looked into, which tells a missing permission: at a request a file a
// million of them would take half an hour. Whether the others can be read is seen when they
// are.
func sniffEach(ctx context.Context, store objects.Store, found iter.Seq[objects.Found], size int64) iter.Seq[*sniffed] {
	return func(yield func(*sniffed) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var group errgroup.Group
		group.SetLimit(sniffers)
		defer func() { _ = group.Wait() }()
		defer cancel()
		var ring [sniffAhead]sniffed
		begin, n, small := 0, 0, 0
		first := func() bool {
			f := &ring[begin]
			begin, n = (begin+1)%sniffAhead, n-1
			if f.done != nil {
				<-f.done
			}
			return context.Cause(ctx) == nil && yield(f)
		}
		for f := range found {
			if n == sniffAhead && !first() {
				return
			}
			next := &ring[(begin+n)%sniffAhead]
			*next = sniffed{Found: f}
			n++
			if objects.IsCloud(f.Object.Name) && f.Object.Size <= size {
				if small++; small > samples {
					continue
				}
			}
			next.done = make(chan struct{})
			group.Go(func() error {
				defer close(next.done)
				next.kind, next.err = sniffObject(ctx, store, next.Object)
				return nil
			})
		}
		for n > 0 {
			if !first() {
				return
			}
		}
	}
}

func sniffObject(ctx context.Context, store objects.Store, o objects.Object) (compression, error) {
	r, err := store.Open(ctx, o, 0, sniffSize)
	if err != nil {
		return uncompressed, err
	}
	head, err := io.ReadAll(r)
	return sniff(head), errors.Join(err, r.Close())
}
