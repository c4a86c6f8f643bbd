package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

var (
	errRefused     = errors.New("the store does not want to")
	errUnheard     = errors.New("the reply is lost")
	errInterrupted = errors.New("told to end")
)

// A process is the store as that process has it: each operation waits until it is its turn,
// and then has its fate.
var _ objects.Store = (*process)(nil)

// do does an operation when it is its turn.
func (p *process) do(ctx context.Context, op, name string, act func() error) (verdict, error) {
	if err := context.Cause(ctx); err != nil {
		return verdict{}, err
	}
	v, err := p.s.ask(p, op, name)
	if err != nil {
		return v, err
	}
	switch v.fate {
	case refused:
		return v, fmt.Errorf("%s %s: %w", op, name, errRefused)
	case interrupted:
		p.interrupt(errInterrupted)
		if err := context.Cause(ctx); err != nil {
			return v, err
		}
	case killedBefore:
		p.s.kill(p)
		return v, errKilled
	case late:
		p.s.postpone(act)
		return v, fmt.Errorf("%s %s: %w", op, name, objects.ErrUnsettled)
	case killedLate:
		p.s.postpone(act)
		p.s.kill(p)
		return v, errKilled
	}
	if err = act(); err != nil && v.fate != killedAfter {
		return v, err
	}
	switch v.fate {
	case unheard:
		return v, fmt.Errorf("%s %s: %w", op, name, errUnheard)
	case misheard:
		return v, fmt.Errorf("%s %s: %w", op, name, objects.ErrExist)
	case killedAfter:
		p.s.kill(p)
		return v, errKilled
	}
	return v, nil
}

// List yields a listing, in the middle of which others may go on.
func (p *process) List(ctx context.Context, folder string) iter.Seq2[objects.Object, error] {
	return func(yield func(objects.Object, error) bool) {
		var page []objects.Object
		look := func() (err error) {
			page, err = p.s.below(ctx, folder)
			return err
		}
		v, err := p.do(ctx, "list", folder, look)
		if err != nil {
			yield(objects.Object{}, err)
			return
		}
		last := ""
		for n := 1; len(page) > 0; n++ {
			if n == v.stop {
				rest := page
				if _, err := p.do(ctx, "list on", folder, look); err != nil {
					yield(objects.Object{}, err)
					return
				}
				if !v.newer {
					page = rest
				}
			}
			for len(page) > 0 && page[0].Name <= last {
				page = page[1:]
			}
			if len(page) == 0 {
				return
			}
			last = page[0].Name
			if !yield(p.seen(page[0]), nil) {
				return
			}
			page = page[1:]
		}
	}
}

// below are the objects below a folder.
func (s *schedule) below(ctx context.Context, folder string) ([]objects.Object, error) {
	var all []objects.Object
	for o, err := range s.store.List(ctx, folder) {
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// seen is an object as this kind of store describes it.
func (p *process) seen(o objects.Object) objects.Object {
	if p.s.disk {
		o.Sum = ""
	}
	return o
}

// Stat describes one object.
func (p *process) Stat(ctx context.Context, name string) (o objects.Object, err error) {
	_, err = p.do(ctx, "stat", name, func() error {
		o, err = p.s.store.Stat(ctx, name)
		return err
	})
	return p.seen(o), err
}

// Open opens an object.
func (p *process) Open(ctx context.Context, o objects.Object, offset, length int64) (io.ReadCloser, error) {
	var r io.ReadCloser
	v, err := p.do(ctx, "open", o.Name, func() (err error) {
		r, err = p.s.store.Open(ctx, o, offset, length)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &stream{ReadCloser: r, by: p, left: v.stream}, nil
}

// Create begins an object.
func (p *process) Create(ctx context.Context, name string) (objects.Writer, error) {
	var w objects.Writer
	v, err := p.do(ctx, "create", name, func() (err error) {
		w, err = p.s.store.Create(context.WithoutCancel(ctx), name) // it may be late
		return err
	})
	if err != nil {
		return nil, err
	}
	return &upload{Writer: w, by: p, left: v.stream, name: name, given: func() error { return context.Cause(ctx) }}, nil
}

// Compose makes an object of others.
func (p *process) Compose(ctx context.Context, name string, from []objects.Object) error {
	return p.make(ctx, "compose", name, func() error { return p.s.store.Compose(ctx, name, from) })
}

// Copy gives an object a second name.
func (p *process) Copy(ctx context.Context, from, to string) error {
	return p.make(ctx, "copy", to, func() error { return p.s.store.Copy(ctx, from, to) })
}

// make does an operation that makes an object.
func (p *process) make(ctx context.Context, op, name string, act func() error) error {
	_, err := p.do(ctx, op, name, func() error {
		err := act()
		if err == nil {
			p.s.check(func() error { return p.s.made(p, name) })
		}
		return err
	})
	return err
}

// Remove removes an object.
func (p *process) Remove(ctx context.Context, name string) error {
	_, err := p.do(ctx, "remove", name, func() error {
		_, there := p.s.store.Content(name)
		err := p.s.store.Remove(ctx, name)
		if err == nil && there {
			p.s.check(func() error { return p.s.removed(p, name) })
		}
		return err
	})
	return err
}

// stream is what is read of an object.
type stream struct {
	io.ReadCloser
	by   *process
	left int // reads until one is refused; 0: none is
}

func (r *stream) Read(b []byte) (int, error) {
	if err := r.by.pass(&r.left); err != nil {
		return 0, err
	}
	return r.ReadCloser.Read(b)
}

// upload is an object that is written.
type upload struct {
	objects.Writer
	by   *process
	left int // writes until one is refused; 0: none is
	name string

	given func() error // why the object is given up
	asked bool         // for Commit: what is on its way is not called back
}

func (w *upload) Write(b []byte) (int, error) {
	if err := w.by.pass(&w.left); err != nil {
		return 0, err
	}
	return w.Writer.Write(b)
}

func (w *upload) Commit(ctx context.Context) error {
	if err := w.given(); err != nil {
		return err
	}
	w.asked = true
	return w.by.make(ctx, "commit", w.name, func() error { return w.Writer.Commit(context.WithoutCancel(ctx)) })
}

func (w *upload) Abort() error {
	if w.asked {
		return nil
	}
	return w.Writer.Abort()
}

// pass lets one read or write of a stream pass, or not.
func (p *process) pass(left *int) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.dead {
		return errKilled
	}
	if *left == 0 {
		return nil
	}
	*left--
	if *left == 0 {
		return errRefused
	}
	return nil
}
