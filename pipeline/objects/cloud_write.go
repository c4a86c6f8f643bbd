package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"
	"github.com/google/uuid"
)

const (
	// tagKey is the metadata by which a writer knows its own object.
	tagKey = "cpr-batch-write"
	// smallObject is up to what size an object is held in memory and written by one call,
	// which can be made again as a whole.
	smallObject = 1 << 20
	// uploadPatience is how many limits an upload may go on without a piece being taken.
	uploadPatience = 4
)

// absent is the condition under which everything is written.
var absent = storage.Conditions{DoesNotExist: true}

// cloudWriter writes one object: by one call where it is small, else in pieces.
type cloudWriter struct {
	cloud *Cloud
	name  string
	tag   string
	sum   uint32 // CRC-32C of all that was written
	done  bool

	small  bytes.Buffer    // of an object that may be small
	upload *storage.Writer // nil while it may be
	ctx    context.Context //nolint:containedctx // of the upload: Write has no context
	cancel context.CancelCauseFunc
	watch  *watch
}

// Create begins a new object.
func (c *Cloud) Create(ctx context.Context, name string) (Writer, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if _, object := splitName(name); object == "" {
		return nil, fmt.Errorf("create %s: it names a bucket, not an object", name)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return &cloudWriter{cloud: c, name: name, tag: uuid.NewString(), ctx: ctx, cancel: cancel}, nil
}

// Write appends to the object.
func (w *cloudWriter) Write(p []byte) (int, error) {
	if w.done {
		return 0, fmt.Errorf("write %s: %w", w.name, fs.ErrClosed)
	}
	w.sum = crc32.Update(w.sum, castagnoli, p)
	if w.upload == nil && w.small.Len()+len(p) <= min(smallObject, w.cloud.piece) {
		return w.small.Write(p)
	}
	if w.upload == nil {
		w.upload = w.cloud.uploader(w.ctx, w.name, w.tag)
		w.watch = newWatch(uploadPatience*w.cloud.limit, func() {
			w.cancel(&limitError{limit: uploadPatience * w.cloud.limit})
		})
		w.upload.ProgressFunc = func(int64) { w.watch.progress() }
		if err := w.send(w.small.Bytes()); err != nil {
			return 0, err
		}
		w.small = bytes.Buffer{}
	}
	if err := w.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// uploader is the client's writer of one object.
func (c *Cloud) uploader(ctx context.Context, name, tag string, options ...storage.RetryOption) *storage.Writer {
	u := c.object(name).If(absent).Retryer(options...).NewWriter(ctx)
	u.ContentType = contentType(name)
	u.Metadata = map[string]string{tagKey: tag}
	u.ChunkSize = c.piece
	u.ChunkTransferTimeout = c.limit
	u.ChunkRetryDeadline = (uploadPatience - 1) * c.limit // before the watch: the client knows the reason
	return u
}

func (w *cloudWriter) send(p []byte) error {
	w.watch.start()
	defer w.watch.stop()
	_, err := w.upload.Write(p)
	return w.cloud.explain(w.ctx, "write", w.name, err)
}

// Commit makes the object visible.
func (w *cloudWriter) Commit(ctx context.Context) error {
	if w.done {
		return fmt.Errorf("commit %s: %w", w.name, fs.ErrClosed)
	}
	if err := context.Cause(ctx); err != nil {
		return errors.Join(err, w.Abort())
	}
	w.done = true
	defer w.cancel(nil)
	defer context.AfterFunc(ctx, func() { w.cancel(context.Cause(ctx)) })()
	written, err := w.finish()
	refused := err != nil && isRefusal(err)
	if err != nil {
		written, err = w.cloud.own(w.ctx, "create", w.name, w.tag, err)
	}
	switch {
	case refused && err != nil:
		return err
	case err != nil:
		return &unsettledError{err}
	}
	if written.CRC32C != w.sum {
		return errors.Join(fmt.Errorf("create %s: %w", w.name, errSum), w.cloud.Remove(ctx, w.name))
	}
	return nil
}

// finish writes the small object, or the rest of the large one.
func (w *cloudWriter) finish() (*storage.ObjectAttrs, error) {
	if w.upload != nil {
		w.watch.start()
		defer w.watch.stop()
		if err := w.upload.Close(); err != nil {
			return nil, err
		}
		return w.upload.Attrs(), nil
	}
	return call(w.ctx, w.cloud, func(ctx context.Context) (_ *storage.ObjectAttrs, err error) {
		var seen atomic.Pointer[error] // the client's own error says only that time was up
		defer func() {
			if last := seen.Load(); err != nil && ctx.Err() != nil && last != nil {
				err = errors.Join(err, *last)
			}
		}()
		u := w.cloud.uploader(ctx, w.name, w.tag, storage.WithErrorFunc(func(err error) bool {
			if err != nil {
				seen.Store(&err)
			}
			return mayPass(err)
		}))
		// Room for all of it: an upload that fits into one piece is one request.
		u.ChunkSize = max(256<<10, w.small.Len()+1)
		if _, err := u.Write(w.small.Bytes()); err != nil {
			return nil, errors.Join(err, u.Close())
		}
		if err := u.Close(); err != nil {
			return nil, err
		}
		return u.Attrs(), nil
	})
}

// Abort gives the object up.
func (w *cloudWriter) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.cancel(fs.ErrClosed)
	if w.upload != nil {
		_ = w.upload.Close() // it says that it was canceled
	}
	return nil
}

// own tells a write that went through, whose reply was lost, from one that did not: by
// the tag of what is there.
func (c *Cloud) own(ctx context.Context, verb, name, tag string, err error) (*storage.ObjectAttrs, error) {
	if ctx.Err() == nil {
		if a, statErr := c.attrs(ctx, name); statErr == nil && a.Metadata[tagKey] == tag {
			return a, nil
		}
	}
	return nil, c.explain(ctx, verb, name, err)
}

// Copy gives an object a second name, by one call for all of its content.
func (c *Cloud) Copy(ctx context.Context, from, to string) error {
	source, err := c.attrs(ctx, from)
	if err != nil {
		return c.explain(ctx, "copy", from, err)
	}
	tag := uuid.NewString()
	copied, err := call(ctx, c, func(ctx context.Context) (*storage.ObjectAttrs, error) {
		copier := c.object(to).If(absent).CopierFrom(c.object(from).Generation(source.Generation))
		// With a tag of its own it takes nothing else over from the source by itself.
		copier.ContentType, copier.ContentEncoding = source.ContentType, source.ContentEncoding
		copier.Metadata = map[string]string{tagKey: tag}
		return copier.Run(ctx)
	})
	if err != nil {
		copied, err = c.own(ctx, "copy", to, tag, err)
	}
	if err != nil {
		return err
	}
	if copied.CRC32C != source.CRC32C {
		return errors.Join(fmt.Errorf("copy %s to %s: %w", from, to, errSum), c.Remove(ctx, to))
	}
	return nil
}

// contentType is what an object of this name holds: of compressed files it is the
// compressed, so that nobody unpacks them on the way.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".json":
		return "application/json"
	case ".jsonl":
		return "application/x-ndjson"
	case ".gz":
		return "application/gzip"
	case ".zst":
		return "application/zstd"
	case ".html":
		return "text/html; charset=utf-8"
	case ".log", ".yaml":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// watch calls late when nothing has gone on for the limit, between start and stop.
type watch struct {
	limit time.Duration

	mu    sync.Mutex
	timer *time.Timer
	on    bool
}

func newWatch(limit time.Duration, late func()) *watch {
	w := &watch{limit: limit, timer: time.AfterFunc(limit, late)}
	w.timer.Stop()
	return w
}

func (w *watch) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = true
	w.timer.Reset(w.limit)
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = false
	w.timer.Stop()
}

// progress says that something has gone on.
func (w *watch) progress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.on {
		w.timer.Reset(w.limit)
	}
}
