package pyworker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// tree is a folder on disk that is copied or hashed: with all that is below it, symbolic
// links followed.
type tree struct {
	what   string                               // in errors
	root   string                               // the folder
	skip   func(name string, dir []string) bool // by base name, beside those of its folder; nil: nothing
	except []string                             // folders that are left out
}

// node is one file or folder of a tree.
type node struct {
	path string      // where it is
	name string      // below the tree's root, with slashes
	info fs.FileInfo // of what it leads to
}

// skipInPackage leaves out of a package what is no source of it.
func skipInPackage(name string, _ []string) bool { return name == "__pycache__" || name == ".git" }

// walk visits all below the root, a folder before what is in it, in the order of names.
func (t tree) walk(ctx context.Context, visit func(node) error) error {
	root, err := os.Stat(t.root)
	if err != nil {
		return stageError("read "+t.what, err)
	}
	w := walker{tree: t, visit: visit}
	for _, folder := range t.except {
		if info, err := os.Stat(folder); err == nil {
			w.except = append(w.except, info)
		}
	}
	return w.folder(ctx, node{path: t.root, info: root}, nil)
}

type walker struct {
	tree
	visit  func(node) error
	except []fs.FileInfo
}

// folder visits what is in a folder; above holds the folders that it lies in.
func (w *walker) folder(ctx context.Context, n node, above []node) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	entries, err := os.ReadDir(n.path)
	if err != nil {
		return stageError("read "+w.what, err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	above = append(slices.Clip(above), n)
	for _, name := range names {
		if w.skip != nil && w.skip(name, names) {
			continue
		}
		if err := w.entry(ctx, node{path: filepath.Join(n.path, name), name: path.Join(n.name, name)}, above); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(ctx context.Context, n node, above []node) error {
	info, err := os.Stat(n.path)
	if err != nil {
		if target, linkErr := os.Readlink(n.path); linkErr == nil && errors.Is(err, fs.ErrNotExist) {
			return faulty("Remove the link, or put its file there.", "%s: %q is a symbolic link to %q, which does not exist", w.what, n.name, target)
		}
		return stageError("read "+w.what, err)
	}
	n.info = info
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return faulty("Only files and folders can be copied: remove it.", "%s: %q is %s", w.what, n.name, kindOf(info.Mode()))
		}
		return w.visit(n)
	}
	if slices.ContainsFunc(w.except, func(e fs.FileInfo) bool { return os.SameFile(e, info) }) {
		return nil
	}
	for _, a := range above {
		if os.SameFile(a.info, info) {
			return faulty("Remove the link.", "%s: %q is a symbolic link that leads back to %q, which it lies in", w.what, n.name, path.Join(".", a.name))
		}
	}
	if err := w.visit(n); err != nil {
		return err
	}
	return w.folder(ctx, n, above)
}

// copy copies the contents of the tree into an existing folder, within limit. It looks at
// all sizes first, so that a tree over the limit costs no copying.
func (t tree) copy(ctx context.Context, into string, limit *allowance) error {
	measured := *limit
	err := t.walk(ctx, func(n node) error {
		if err := measured.enter(n.name); err != nil || n.info.IsDir() {
			return err
		}
		return measured.take(n.info.Size(), n.name)
	})
	if err != nil {
		return err
	}
	target, err := os.Stat(into)
	if err != nil {
		return stageError("copy "+t.what, err)
	}
	return t.walk(ctx, func(n node) error {
		if err := limit.enter(n.name); err != nil {
			return err
		}
		to := filepath.Join(into, filepath.FromSlash(n.name))
		if !n.info.IsDir() {
			if err := copyFile(ctx, n, to, limit); err != nil {
				return stageError(fmt.Sprintf("copy %q of %s", n.name, t.what), err)
			}
			return nil
		}
		if os.SameFile(n.info, target) {
			return faulty("Set TMPDIR to a folder outside of it.", "%s: the folder it would be copied to, %s, lies inside of it", t.what, into)
		}
		if err := os.Mkdir(to, n.info.Mode().Perm()|0o700); err != nil {
			return stageError("copy "+t.what, err)
		}
		return nil
	})
}

// copyChunk is how much is copied between two looks at the context: the kernel copies it
// in one go where it can.
const copyChunk = 64 << 20

// copyFile copies one file, which may have grown since its size was read.
func copyFile(ctx context.Context, n node, to string, limit *allowance) (err error) {
	from, err := os.Open(n.path)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	file, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, n.info.Mode().Perm()|0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		copied, err := io.Copy(file, &io.LimitedReader{R: from, N: copyChunk})
		if err != nil {
			return err
		}
		if err := limit.take(copied, n.name); err != nil {
			return err
		}
		if copied < copyChunk {
			return nil
		}
	}
}
