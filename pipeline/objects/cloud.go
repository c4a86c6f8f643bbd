package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
)

const (
	// callLimit is how long the service may take to answer one call, or to send the next
	// byte of an object, what the client tries again by itself included.
	callLimit = 30 * time.Second
	// attempts is how often a call is made that got no answer within its limit.
	attempts = 3
	// pieceSize is what a large object is uploaded in. A writer holds one piece in memory.
	pieceSize = 4 << 20
)

// Cloud is the Store of Cloud Storage: objects are named gs://bucket/name. Their
// generations pin what is read. Nothing is replaced: all that is written is written on
// the condition that it is not there yet, under a tag by which a write whose reply was
// lost knows its own object. Faults that may pass are tried again by Google's client.
type Cloud struct {
	client *storage.Client
	limit  time.Duration // of one attempt at a call, and of one read without a byte
	piece  int           // bytes
}

var _ Store = (*Cloud)(nil)

// NewCloud returns the Store of Cloud Storage. The client must read by the XML API, its
// default: the JSON API does not give objects as they are stored.
func NewCloud(client *storage.Client) *Cloud {
	client.SetRetry(
		storage.WithPolicy(storage.RetryAlways), // no call of ours does more when it is made twice
		storage.WithBackoff(gax.Backoff{Initial: 100 * time.Millisecond, Max: 5 * time.Second}),
		// Of uploads the client does not know that a connection that ends is a fault that may pass.
		storage.WithErrorFunc(mayPass),
	)
	return &Cloud{client: client, limit: callLimit, piece: pieceSize}
}

// mayPass is true for faults that may pass.
func mayPass(err error) bool { return storage.ShouldRetry(err) || errors.Is(err, io.EOF) }

// OpenCloud connects to Cloud Storage as the environment says: with Application Default
// Credentials, or to the emulator at STORAGE_EMULATOR_HOST.
func OpenCloud(ctx context.Context, userAgent string) (*Cloud, error) {
	client, err := storage.NewClient(ctx, option.WithUserAgent(userAgent), storage.WithDisabledClientMetrics())
	if err != nil {
		return nil, &CredentialsError{Err: err}
	}
	return NewCloud(client), nil
}

// Close closes the connections.
func (c *Cloud) Close() error { return c.client.Close() }

// object is the handle of a name. It reads what is stored, also of what is marked as
// compressed: else sizes and ranges would not hold.
func (c *Cloud) object(name string) *storage.ObjectHandle {
	bucket, object := splitName(name)
	return c.client.Bucket(bucket).Object(object).ReadCompressed(true)
}

func describeAttrs(a *storage.ObjectAttrs) Object {
	return Object{
		Name:       cloudScheme + a.Bucket + "/" + a.Name,
		Size:       a.Size,
		Generation: strconv.FormatInt(a.Generation, 10),
		Sum:        fmt.Sprintf("%08x", a.CRC32C),
		Updated:    a.Created, // of the generation; what the service calls updated goes with the metadata too
		Gzipped:    a.ContentEncoding == "gzip",
	}
}

// call makes a call that may be made again, each attempt within the limit.
func call[T any](ctx context.Context, c *Cloud, f func(context.Context) (T, error)) (T, error) {
	var last error
	for range attempts {
		if err := context.Cause(ctx); err != nil {
			var none T
			return none, err
		}
		limited, cancel := context.WithTimeout(ctx, c.limit)
		v, err := f(limited)
		late := err != nil && limited.Err() != nil && ctx.Err() == nil
		cancel()
		if !late {
			return v, err
		}
		if last == nil || errors.As(err, new(*googleapi.Error)) { // a reply says more than the clock
			last = err
		}
	}
	var none T
	return none, &limitError{limit: c.limit, times: attempts, last: last}
}

// attrs describes an object, whole.
func (c *Cloud) attrs(ctx context.Context, name string) (*storage.ObjectAttrs, error) {
	return call(ctx, c, func(ctx context.Context) (*storage.ObjectAttrs, error) { return c.object(name).Attrs(ctx) })
}

// Stat describes one object.
func (c *Cloud) Stat(ctx context.Context, name string) (Object, error) {
	if _, object := splitName(name); object == "" || strings.HasSuffix(object, "/") {
		return Object{}, fmt.Errorf("stat %s: a folder: %w", name, ErrNotExist)
	}
	a, err := c.attrs(ctx, name)
	if err != nil {
		return Object{}, c.explain(ctx, "stat", name, err)
	}
	return describeAttrs(a), nil
}

// Remove removes one object.
func (c *Cloud) Remove(ctx context.Context, name string) error {
	_, err := call(ctx, c, func(ctx context.Context) (struct{}, error) { return struct{}{}, c.object(name).Delete(ctx) })
	if err = c.explain(ctx, "remove", name, err); errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}
