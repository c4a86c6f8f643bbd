package objects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Local is the Store of the disk: objects are regular files, names are paths, relative
// ones to the current folder. Links are followed, those to folders too. Names are bytes:
// they need not be UTF-8. What is neither file nor folder (pipes, sockets, devices) is
// not listed, and an error elsewhere.
//
// The generation of a file is its size and the time of its last change. The inode is
// left out on purpose: mounted buckets and other file systems in user space give a file
// another one on every mount.
type Local struct{}

var _ Store = (*Local)(nil)

// NewLocal returns the Store of the disk.
func NewLocal() *Local { return &Local{} }

func describe(name string, info fs.FileInfo) Object {
	return Object{
		Name:       name,
		Size:       info.Size(),
		Generation: fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano()),
	}
}

// Stat describes one file.
func (l *Local) Stat(ctx context.Context, name string) (Object, error) {
	if err := context.Cause(ctx); err != nil {
		return Object{}, err
	}
	info, err := os.Stat(name)
	switch {
	case isAbsent(err):
		return Object{}, fmt.Errorf("stat %s: %w", name, ErrNotExist)
	case err != nil:
		return Object{}, err
	case info.IsDir():
		return Object{}, fmt.Errorf("stat %s: a folder, and no file of that name: %w", name, ErrNotExist)
	case !info.Mode().IsRegular():
		return Object{}, fmt.Errorf("stat %s: %w", name, errIrregular)
	}
	return describe(name, info), nil
}

var errIrregular = errors.New("neither a file nor a folder")

// isAbsent is also true where a folder of the path is a file, and for what is too long to
// be a name (a pattern, say).
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG)
}

// Remove removes one file, never a folder.
func (l *Local) Remove(ctx context.Context, name string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	// Not os.Remove, which would take an empty folder too.
	if err := syscall.Unlink(name); err != nil && !isAbsent(err) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// List yields the files below a folder.
func (l *Local) List(ctx context.Context, folder string) iter.Seq2[Object, error] {
	return l.listWhere(ctx, folder, everything)
}

// listWhere is List without the folders that are not wanted.
func (l *Local) listWhere(ctx context.Context, folder string, wanted where) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		w := walk{root: folder, enter: wanted.enter, yield: yield}
		info, err := os.Stat(w.path(""))
		switch {
		case isAbsent(err), err == nil && !info.IsDir():
		case err != nil:
			yield(Object{}, err)
		default:
			w.folder(ctx, "", []fs.FileInfo{info})
		}
	}
}

// walk is one listing under way.
type walk struct {
	root  string
	enter func(string) bool
	yield func(Object, error) bool
}

// path names what is called rel below the root.
func (w *walk) path(rel string) string { return filepath.Join(w.root, rel) }

// folder lists the folder rel, whose ancestors, itself included, are given; it reports
// whether to go on.
func (w *walk) folder(ctx context.Context, rel string, ancestors []fs.FileInfo) bool {
	entries, err := os.ReadDir(w.path(rel))
	if err != nil && !isAbsent(err) && !w.yield(Object{}, err) {
		return false
	}
	found := make([]entry, 0, len(entries))
	for _, e := range entries {
		if f, ok := w.look(rel, e); ok {
			found = append(found, f)
		}
	}
	// ReadDir's order is not that of whole names: "a.b" is before "a/b".
	slices.SortFunc(found, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	for _, f := range found {
		if err := context.Cause(ctx); err != nil {
			w.yield(Object{}, err)
			return false
		}
		switch {
		case f.err != nil:
			if !w.yield(Object{Name: w.path(f.rel)}, f.err) {
				return false
			}
		case !f.info.IsDir():
			if !w.yield(describe(w.path(f.rel), f.info), nil) {
				return false
			}
		case slices.ContainsFunc(ancestors, func(a fs.FileInfo) bool { return os.SameFile(a, f.info) }):
			// A link to where we come from: all that is in there has its name already.
		case w.enter(f.rel):
			if !w.folder(ctx, f.rel, append(ancestors[:len(ancestors):len(ancestors)], f.info)) {
				return false
			}
		}
	}
	return true
}

// entry is a file or folder below the root.
type entry struct {
	rel  string
	key  string // rel, with the slash that a folder's content has behind it
	info fs.FileInfo
	err  error
}

// look describes what e is, or reports that it is not listed.
func (w *walk) look(rel string, e fs.DirEntry) (entry, bool) {
	f := entry{rel: e.Name()}
	if rel != "" {
		f.rel = rel + "/" + e.Name()
	}
	f.key = f.rel
	if e.Type()&fs.ModeSymlink != 0 {
		f.info, f.err = os.Stat(w.path(f.rel))
	} else if f.info, f.err = e.Info(); errors.Is(f.err, fs.ErrNotExist) {
		return f, false // removed since
	}
	switch {
	case f.err != nil:
		return f, true
	case f.info.IsDir():
		f.key = strings.TrimSuffix(f.rel, "/") + "/"
		return f, true
	}
	return f, f.info.Mode().IsRegular()
}
