package objects

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// namesChunk is how many names of a folder are read at a time.
const namesChunk = 4096

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

// under names what is called name in the folder rel.
func under(rel, name string) string {
	if rel == "" {
		return name
	}
	return rel + "/" + name
}

// folder lists the folder rel, whose ancestors, itself included, are given; it reports
// whether to go on. Of a folder's content it holds the names only.
func (w *walk) folder(ctx context.Context, rel string, ancestors []fs.FileInfo) bool {
	names, err := w.names(rel)
	if err != nil && !isAbsent(err) && !w.yield(Object{}, err) {
		return false
	}
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			w.yield(Object{}, err)
			return false
		}
		name, isFolder := strings.CutSuffix(name, "/")
		below := under(rel, name)
		if isFolder && !w.enter(below) {
			continue
		}
		info, err := w.look(below)
		goOn := true
		switch {
		case info == nil && err == nil:
		case err != nil:
			goOn = w.yield(Object{Name: w.path(below)}, err)
		case isFolder && info.IsDir():
			isAncestor := func(a fs.FileInfo) bool { return os.SameFile(a, info) }
			// A link to where we come from: all that is in there has its name already.
			goOn = slices.ContainsFunc(ancestors, isAncestor) ||
				w.folder(ctx, below, append(ancestors[:len(ancestors):len(ancestors)], info))
		case !isFolder && info.Mode().IsRegular():
			goOn = w.yield(describe(w.path(below), info), nil)
		}
		if !goOn {
			return false
		}
	}
	return true
}

// look describes what is there now; nil where it was removed since its name was read.
func (w *walk) look(rel string) (fs.FileInfo, error) {
	info, err := os.Lstat(w.path(rel))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		return os.Stat(w.path(rel))
	}
	return info, err
}

// names returns the names in a folder, a slash behind those of folders, in the order of
// the bytes of all that is listed by them. What is no file, folder or link is left out. An
// error stands for the names that are missing.
func (w *walk) names(rel string) ([]string, error) {
	f, err := os.Open(w.path(rel))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	for err == nil {
		var entries []fs.DirEntry
		entries, err = f.ReadDir(namesChunk)
		names = w.appendNames(names, rel, entries)
	}
	slices.Sort(names)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err
}

// appendNames appends the names of what may be listed. All of a chunk's names are one
// string: each by itself would take a third more memory.
func (w *walk) appendNames(names []string, rel string, entries []fs.DirEntry) []string {
	size := 0
	for _, e := range entries {
		size += len(e.Name()) + len("/")
	}
	var chunk strings.Builder
	chunk.Grow(size)
	ends := make([]int, 0, len(entries))
	for _, e := range entries {
		kind := e.Type()
		if kind&fs.ModeSymlink != 0 {
			if info, err := os.Stat(w.path(under(rel, e.Name()))); err == nil { // else it is listed, with the error
				kind = info.Mode().Type()
			} else {
				kind = 0
			}
		}
		if kind != 0 && kind != fs.ModeDir {
			continue
		}
		chunk.WriteString(e.Name())
		if kind == fs.ModeDir {
			chunk.WriteByte('/')
		}
		ends = append(ends, chunk.Len())
	}
	from, all := 0, chunk.String()
	for _, end := range ends {
		names = append(names, all[from:end])
		from = end
	}
	return names
}
