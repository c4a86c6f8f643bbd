// Package objects is one small view of objects in Cloud Storage and of files on disk:
// listing with globs, reads of a range at a pinned generation, writes that never replace
// anything. It does not know what is in them.
package objects

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Object is one object or file.
type Object struct {
	Name       string // as one opens it: a path, or gs://bucket/name
	Size       int64
	Generation string    // changes whenever the content may have changed; given to Open, "" takes any
	Sum        string    // CRC-32C of what is stored, in eight hexadecimal digits; "" where the store keeps none
	Updated    time.Time // when its content was written, by the store's clock
	Gzipped    bool      // stored with Content-Encoding: gzip: Open and Size give what is stored, the file is what it unpacks to
}

// The errors that callers branch on; they come wrapped with the object's name.
var (
	ErrNotExist = errors.New("does not exist")
	ErrExist    = errors.New("exists already")
	ErrChanged  = errors.New("has changed since the run was planned")
)

// ErrUnsettled is beside the other errors of a Writer's Commit for which no answer came: the
// object may be there, and where it is not, it may yet come.
var ErrUnsettled = errors.New("no answer came: it may yet be done")

// Writer writes one new object, which is not there before Commit, and then whole.
type Writer interface {
	io.Writer
	// Commit makes the object visible and durable, or returns ErrExist where there is
	// one of that name. ErrUnsettled: nobody knows whether it does.
	Commit(ctx context.Context) error
	// Abort gives the object up. After Commit it does nothing.
	Abort() error
}

// Store is where objects are: a disk, or Cloud Storage. Safe for concurrent use.
type Store interface {
	// List yields the objects below a folder (recursively), ordered by the bytes of
	// their names; a folder that does not exist holds none. An error stands for one
	// object, named beside it, or for a folder that can not be looked at; the listing
	// goes on behind it for as long as the caller does.
	List(ctx context.Context, folder string) iter.Seq2[Object, error]
	// Stat describes one object; ErrNotExist, also for a folder.
	Stat(ctx context.Context, name string) (Object, error)
	// Open reads length bytes from offset of exactly the content that o describes
	// (length -1: to the end); ErrChanged, ErrNotExist, also from Read and Close: who
	// must know that all of what was read is what o describes looks at Close's error.
	Open(ctx context.Context, o Object, offset, length int64) (io.ReadCloser, error)
	// Create begins a new object, and the folders that lead to it. When ctx ends before its
	// Commit, the object may be given up.
	Create(ctx context.Context, name string) (Writer, error)
	// Compose makes a new object of the contents of others, one behind the other, exactly as
	// they are described; ErrExist where its name is taken, ErrNotExist where one of them is
	// gone, ErrChanged. What it is made of stays.
	Compose(ctx context.Context, name string, from []Object) error
	// Copy gives an object a second name; ErrExist where that is taken.
	Copy(ctx context.Context, from, to string) error
	// Remove removes one object; removing what is not there is no error.
	Remove(ctx context.Context, name string) error
}
