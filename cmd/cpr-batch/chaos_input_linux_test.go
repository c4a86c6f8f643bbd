package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// chaosPredictor appends one line a call to $CALLS by one write: "call START ID ID…", when
// the call has its predictions. It takes $PACE seconds an instance, and raises for some.
const chaosPredictor = `
import os
import time

class P(object):
    @classmethod
    def from_path(cls, model_dir):
        self = cls()
        self.calls = os.open(os.environ["CALLS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(self.calls, ("load %d\n" % os.getpid()).encode())
        return self

    def predict(self, instances, **kwargs):
        ids = [instance["id"] for instance in instances]
        pace = float(os.environ["PACE"])
        if pace > 0:
            time.sleep(pace * len(ids))
        for i in ids:
            if i % 1999 == 7:
                raise ValueError("%d is not wanted" % i)
        os.write(self.calls, ("call %s %s\n" % (os.environ["START"], " ".join(map(str, ids)))).encode())
        return [{"id": i, "twice": 2 * i, "by": kwargs.get("by", "")} for i in ids]
`

// chaosFile is a file of an input: so many instances and what stands between them.
type chaosFile struct {
	name      string
	instances int
	pack      func(text []byte) ([]byte, error) // nil: plain
	newline   string
	mark      string // the first bytes
	blank     int    // a blank line behind every so many; 0: none
	broken    int    // every so many is no instance; 0: none
}

// chaosInput is an input of all kinds of files with n instances in all, broken ones
// included: a large file that is cut in ranges, a large gzip file, one of zstd, many small
// ones, and odd ones.
func chaosInput(n int) []chaosFile {
	files := []chaosFile{
		{name: "a-plain.jsonl", instances: n * 42 / 100},
		{name: "b-gzip.jsonl.gz", instances: n * 25 / 100, pack: gzipped},
		{name: "c-zstd.jsonl.zst", instances: n * 15 / 100, pack: zstandard},
		{name: "e-empty.jsonl"},
		{name: "f-blank.jsonl", blank: 1},
		{name: "g-crlf.jsonl", instances: n * 3 / 100, newline: "\r\n", mark: "\ufeff", blank: 7},
		{name: "h-broken.jsonl", instances: n * 3 / 100, broken: 61},
	}
	rest := n
	for _, f := range files {
		rest -= f.instances
	}
	const small = 60
	for i := range small {
		f := chaosFile{name: fmt.Sprintf("d-small/%02d.jsonl", i), instances: rest / small}
		if i < rest%small {
			f.instances++
		}
		if i%9 == 0 {
			f.name, f.pack = f.name+".gz", gzipped
		}
		files = append(files, f)
	}
	return files
}

// text is the file's content, its instances numbered from first on.
func (f *chaosFile) text(first int) []byte {
	newline := f.newline
	if newline == "" {
		newline = "\n"
	}
	var b bytes.Buffer
	b.WriteString(f.mark)
	if f.blank == 1 {
		b.WriteString(" \t\n\n\r\n")
	}
	brokens := []string{`{"id": %d`, "%d \xff\xfe", `{"id": %d} {}`, `[1, 2]]%d`}
	for i := range f.instances {
		switch {
		case f.broken > 0 && i%f.broken == 5:
			fmt.Fprintf(&b, brokens[i/f.broken%len(brokens)], first+i)
		case i%5 == 0:
			fmt.Fprintf(&b, `  {"text": "Prüfung é\u00e9 \"q\"", "id": %d , "id": %[1]d} `, first+i)
		default:
			fmt.Fprintf(&b, `{"id": %d, "x": [1.50, 1e3]}`, first+i)
		}
		if i < f.instances-1 || f.blank > 0 {
			b.WriteString(newline) // the last line of most files has none
		}
		if f.blank > 1 && i%f.blank == 0 {
			b.WriteString(newline)
		}
	}
	return b.Bytes()
}

func gzipped(text []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(text)
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}

func zstandard(text []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	return w.EncodeAll(text, nil), nil
}

// makeInput writes files by put.
func makeInput(t *testing.T, files []chaosFile, put func(name string, content []byte)) {
	t.Helper()
	first := 0
	for _, f := range files {
		content := f.text(first)
		first += f.instances
		if f.pack != nil {
			var err error
			if content, err = f.pack(content); err != nil {
				t.Fatal(err)
			}
		}
		put(f.name, content)
	}
}

// putBelow writes files below a folder.
func putBelow(t *testing.T, folder string) func(name string, content []byte) {
	return func(name string, content []byte) {
		t.Helper()
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
