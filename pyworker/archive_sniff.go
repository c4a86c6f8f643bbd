package pyworker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
)

// notGzip says what a file looks like that does not begin as a .tar.gz archive does, and
// what to do about it. It returns nothing for one that does.
func notGzip(name string, head []byte) (found, hint string) {
	const anew = "Make a source distribution (`python3 -m build --sdist`), or name the folder with the sources instead."
	has := func(prefix string) bool { return bytes.HasPrefix(head, []byte(prefix)) }
	text := strings.ToLower(strings.TrimSpace(string(head)))
	switch {
	case has("\x1f\x8b"):
		return "", ""
	case len(head) == 0:
		return "an empty file", "Copy or download it again."
	case has("PK\x03\x04") && strings.EqualFold(filepath.Ext(name), ".whl"):
		return "a wheel", "Install it by python.requirements, or unzip it and name the folder."
	case has("PK\x03\x04"):
		return "a zip file", "Unzip it and name the folder, or pack it by `tar czf`."
	case has("version https://git-lfs.github.com/"):
		return "a Git LFS pointer, which stands for the file", "Fetch the file itself: `git lfs pull`."
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"):
		return "an HTML page: a download that was answered by a login or error page", "Download it again."
	case strings.HasPrefix(text, "<?xml"):
		return "an XML document: a download that was answered by an error, perhaps", "Download it again."
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return "a tar archive that is not compressed", "Compress it: `gzip " + filepath.Base(name) + "`."
	case has("BZh"):
		return "data compressed by bzip2", anew
	case has("\xfd7zXZ\x00"):
		return "data compressed by xz", anew
	case has("\x28\xb5\x2f\xfd"):
		return "data compressed by zstd", anew
	case strings.EqualFold(filepath.Ext(name), ".py"):
		return "a Python module", "Name the folder that it lies in."
	case utf8.Valid(head) && !bytes.ContainsRune(head, 0):
		return "text", anew
	}
	return fmt.Sprintf("data of an unknown kind, which begins with the bytes % x", head[:min(4, len(head))]), anew
}

// unwrap unpacks an archive once that was compressed a second time when it was uploaded.
// One whose own compression is what its Content-Encoding tells of stays as it is.
func unwrap(name string, limit *allowance) (err error) {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil // what it is is told when it is unpacked
	}
	inner := bufio.NewReader(unzipped)
	if head, err := inner.Peek(2); err != nil || string(head) != "\x1f\x8b" {
		return nil
	}
	plain, err := os.CreateTemp(filepath.Dir(name), "")
	if err != nil {
		return err
	}
	var from io.Reader = inner
	if limit.limit > 0 { // a reader of the archive sees that the rest is missing
		from = io.LimitReader(inner, limit.limit+maxHeaders)
	}
	_, err = io.Copy(plain, from)
	if err = errors.Join(err, plain.Close()); err != nil {
		return err
	}
	return os.Rename(plain.Name(), name)
}
