package pyworker

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

const (
	maxNameBytes = 1024      // of an entry's name
	maxNameDepth = 100       // folders that an entry may lie in
	maxHeaders   = 256 << 20 // bytes of an unpacked archive that are no file's content
)

// entryKind is what an archive's entry becomes.
type entryKind string

const (
	entryFile    entryKind = "file"
	entryFolder  entryKind = "folder"
	entrySymlink entryKind = "symbolic link"
	entryLink    entryKind = "hard link"
)

// archiveEntry is one entry of an archive whose header has been checked: its name lies
// inside of the folder it is unpacked to, and its size within the limit.
type archiveEntry struct {
	kind entryKind
	name string // clean, relative, with slashes
	link string // of a symlink: the target as it stands; of a hard link: the name of an entry
	mode fs.FileMode
	body io.Reader // a file's content; empty otherwise
}

// openArchive opens a file that begins as a .tar.gz archive does.
func openArchive(what, name string) (*os.File, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, stageError("open "+what, err)
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		_ = file.Close()
		return nil, stageError("read "+what, err)
	}
	if found, hint := notGzip(name, head[:n]); found != "" {
		_ = file.Close()
		return nil, faulty(hint, "%s is not a .tar.gz archive: it looks like %s", what, found)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		_ = file.Close()
		return nil, stageError("read "+what, err)
	}
	return file, nil
}

// errHeaders says that an archive has far more headers than files.
var errHeaders = errors.New("more headers than contents")

// boundedReader passes on no more than most bytes, then errHeaders: most grows with the
// contents that the headers announce and the limit allows.
type boundedReader struct {
	io.Reader
	n, most int64
}

func (r *boundedReader) Read(p []byte) (int, error) {
	if r.n >= r.most {
		return 0, errHeaders
	}
	n, err := r.Reader.Read(p[:min(int64(len(p)), r.most-r.n)])
	r.n += int64(n)
	return n, err
}

// readArchive reads a .tar.gz archive, which is not trusted, to its end, and calls visit
// for each entry. It refuses names and links that leave the folder, devices, and more
// than limit allows, which it believes neither headers nor contents about.
func readArchive(ctx context.Context, what string, file io.Reader, limit *allowance, visit func(archiveEntry) error) error {
	unzipped, err := gzip.NewReader(bufio.NewReaderSize(file, 64<<10))
	if err != nil {
		return archiveError(what, "", err)
	}
	raw := &boundedReader{Reader: unzipped, most: maxHeaders}
	archive := tar.NewReader(raw)
	entries := 0
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if entries == 0 && errors.Is(err, tar.ErrHeader) {
				return faulty("Make it with `tar czf`, or as a source distribution.", "%s is not a .tar.gz archive: it is compressed by gzip, but holds no tar archive", what)
			}
			return archiveError(what, "", err)
		}
		entries++
		if err := limit.enter(header.Name); err != nil {
			return err
		}
		entry, err := checkHeader(what, header)
		if err != nil {
			return err
		}
		if err := limit.take(header.Size, header.Name); err != nil {
			return err
		}
		raw.most += header.Size
		if entry.kind == "" {
			continue
		}
		entry.body = archive
		if err := visit(entry); err != nil {
			return archiveError(what, header.Name, err)
		}
	}
	if entries == 0 {
		return faulty("Make it again, and look with `tar tzf` at what it holds.", "%s is an empty archive", what)
	}
	return readRest(what, raw)
}

// readRest reads what lies behind the archive's last entry, so that the checksum is seen.
func readRest(what string, raw io.Reader) error {
	_, err := io.Copy(io.Discard, raw)
	if err != nil && !errors.Is(err, gzip.ErrHeader) { // bytes behind the compressed data, which gunzip ignores too
		return archiveError(what, "", err)
	}
	return nil
}

// checkHeader makes an entry of a header, without its body, or refuses it. An entry
// without a kind is to be passed over.
func checkHeader(what string, h *tar.Header) (archiveEntry, error) {
	e := archiveEntry{mode: fs.FileMode(h.Mode) & fs.ModePerm}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return archiveEntry{}, nil
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		e.kind = entryFile
	case tar.TypeDir:
		e.kind = entryFolder
	case tar.TypeSymlink:
		e.kind = entrySymlink
	case tar.TypeLink:
		e.kind = entryLink
	case tar.TypeChar, tar.TypeBlock:
		return e, hostile("%s: %q is a device", what, h.Name)
	case tar.TypeFifo:
		return e, hostile("%s: %q is a named pipe", what, h.Name)
	default:
		return e, hostile("%s: %q is of an unknown kind (%q)", what, h.Name, h.Typeflag)
	}
	name, fault := cleanName(h.Name)
	if fault != "" {
		return e, hostile("%s: the name %q %s", what, shorten(h.Name), fault)
	}
	if e.name = name; name == "." {
		if e.kind != entryFolder {
			return e, hostile("%s: the name %q is that of the folder itself", what, h.Name)
		}
		return archiveEntry{}, nil
	}
	switch e.kind {
	case entrySymlink:
		e.link = h.Linkname
		if path.IsAbs(h.Linkname) || !isLocal(path.Join(path.Dir(name), h.Linkname)) {
			return e, hostile("%s: the symbolic link %q leaves the archive: it leads to %q", what, h.Name, shorten(h.Linkname))
		}
	case entryLink:
		if e.link, fault = cleanName(h.Linkname); fault != "" || e.link == "." {
			return e, hostile("%s: the hard link %q leaves the archive: it leads to %q", what, h.Name, shorten(h.Linkname))
		}
	}
	return e, nil
}

// cleanName returns the name that an entry has below the folder it is unpacked to, or
// what is wrong with it.
func cleanName(name string) (clean, fault string) {
	switch {
	case name == "":
		return "", "is empty"
	case strings.ContainsRune(name, 0):
		return "", "holds a zero byte"
	case path.IsAbs(name):
		return "", "is absolute"
	case len(name) > maxNameBytes:
		return "", "is longer than " + strconv.Itoa(maxNameBytes) + " bytes"
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", "leaves the archive by \"..\""
		}
	}
	clean = path.Clean(name)
	if strings.Count(clean, "/") > maxNameDepth {
		return "", "lies in more than " + strconv.Itoa(maxNameDepth) + " folders"
	}
	return clean, ""
}

func isLocal(name string) bool { return name != ".." && !strings.HasPrefix(name, "../") }

// hostile is an error of an archive that no packaging tool makes.
func hostile(format string, values ...any) error {
	return faulty("No packaging tool makes such an archive: look where it comes from, or unpack it and name the folder instead.", format, values...)
}

// archiveError is an error met while an archive was read, or unpacked to name.
func archiveError(what, name string, err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return faulty("Copy or download it again: its end is missing.", "%s is truncated", what)
	case errors.Is(err, errHeaders):
		return hostile("%s: its headers alone take more than %s", what, pipeline.Bytes(maxHeaders))
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong), isCorrupt(err):
		e := faulty("Copy or download it again, or make it anew.", "%s is corrupt", what)
		e.Err = err
		return e
	case name == "":
		return stageError("read "+what, err)
	}
	return stageError(fmt.Sprintf("unpack %q of %s", shorten(name), what), err)
}

func isCorrupt(err error) bool {
	var corrupt flate.CorruptInputError
	var broken flate.InternalError
	return errors.As(err, &corrupt) || errors.As(err, &broken)
}

// shorten cuts a name that is too long to be shown.
func shorten(name string) string {
	const most = 200
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}
