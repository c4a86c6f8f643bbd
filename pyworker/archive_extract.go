package pyworker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// extractor unpacks one archive. Whatever the archive says, it makes nothing outside of
// its root.
type extractor struct {
	what    string
	root    *os.Root
	limit   *allowance
	folders map[string]bool // those that are there, by name
	links   []string        // symbolic links made, and hard links, which may be names of such
}

// extract unpacks a .tar.gz archive into an empty folder. Of two entries of one name the
// last counts, as with tar.
func extract(ctx context.Context, what string, file io.Reader, folder string, limit *allowance) (err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return stageError("unpack "+what, err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	x := &extractor{what: what, root: root, limit: limit, folders: map[string]bool{".": true}}
	err = readArchive(ctx, what, file, limit, func(e archiveEntry) error {
		return x.add(ctx, e)
	})
	if err != nil {
		return err
	}
	return x.checkLinks()
}

func (x *extractor) add(ctx context.Context, e archiveEntry) error {
	if e.kind == entryFolder {
		return x.folder(e.name)
	}
	if err := x.folder(path.Dir(e.name)); err != nil {
		return err
	}
	if x.folders[e.name] {
		return x.twofold(e.name)
	}
	if e.kind == entryLink {
		if info, err := x.root.Lstat(e.link); err != nil || info.IsDir() {
			return faulty("Make the archive anew.", "%s: the hard link %q leads to %q, which is no file of the archive before it", x.what, e.name, e.link)
		}
		if e.link == e.name {
			return nil
		}
	}
	if err := x.root.Remove(e.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch e.kind {
	case entrySymlink:
		x.links = append(x.links, e.name)
		return x.root.Symlink(e.link, e.name)
	case entryLink:
		x.links = append(x.links, e.name)
		return x.root.Link(e.link, e.name)
	}
	return x.file(ctx, e)
}

// folder makes a folder and those that it lies in, whose names count as entries too.
func (x *extractor) folder(name string) error {
	if x.folders[name] {
		return nil
	}
	if err := x.folder(path.Dir(name)); err != nil {
		return err
	}
	err := x.root.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		info, statErr := x.root.Stat(name)
		switch {
		case statErr == nil && info.IsDir(): // by a link
			return nil
		case statErr == nil || errors.Is(statErr, fs.ErrNotExist):
			return x.twofold(name)
		}
		return statErr
	}
	if err != nil {
		return err
	}
	x.folders[name] = true
	return x.limit.enter(name)
}

func (x *extractor) twofold(name string) error {
	return faulty("Make the archive anew, from one folder.", "%s: %q is in the archive both as a folder and as a file", x.what, name)
}

func (x *extractor) file(ctx context.Context, e archiveEntry) (err error) {
	file, err := x.root.OpenFile(e.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, e.mode|0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// The body ends at the size that the header announced and the limit allowed.
		if _, err := io.CopyN(file, e.body, copyChunk); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// checkLinks refuses links that leave the folder by way of other links, which their
// texts do not tell.
func (x *extractor) checkLinks() error {
	for _, name := range x.links {
		_, err := x.root.Stat(name)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		target, _ := x.root.Readlink(name)
		return hostile("%s: the link %q leaves the archive, or leads to itself: it leads to %q: %s", x.what, name, shorten(target), reason(err))
	}
	return nil
}

// reason is the cause of an error of a file, without the file's name.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return strings.TrimSpace(fmt.Sprint(err))
}
