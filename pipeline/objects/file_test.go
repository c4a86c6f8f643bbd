package objects_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// oneFile is a Store that holds one object, stored with Content-Encoding: gzip.
type oneFile struct {
	objects.Store
	stored  io.Reader
	closing error
}

func (s oneFile) Open(context.Context, objects.Object, int64, int64) (io.ReadCloser, error) {
	return oneBody{s.stored, s.closing}, nil
}

type oneBody struct {
	io.Reader
	closing error
}

func (b oneBody) Close() error { return b.closing }

func TestOpenFileTellsTheStoreFromContentThatDoesNotUnpack(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	zip := packed(t, "content")
	read := func(stored string, end, closing error) (string, error) {
		s := oneFile{stored: iotest.DataErrReader(&cutReader{rest: stored, end: end}), closing: closing}
		r, err := objects.OpenFile(t.Context(), s, objects.Object{Name: "gs://b/o", Generation: "1", Gzipped: true})
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(r)
		if closing := r.Close(); err == nil {
			err = closing
		}
		return string(text), err
	}
	for name, c := range map[string]struct {
		stored       string
		end, closing error
		unpacks      bool  // no *UnpackError
		want         error // nil: any
	}{
		"whole":                             {string(zip), io.EOF, nil, true, nil},
		"nothing at all":                    {"", io.EOF, nil, false, io.ErrUnexpectedEOF},
		"not compressed":                    {"content, but not compressed", io.EOF, nil, false, nil},
		"cut off where it was made":         {string(zip[:len(zip)-3]), io.EOF, nil, false, io.ErrUnexpectedEOF},
		"something behind it":               {string(zip) + "more of it", io.EOF, nil, false, nil},
		"the store fails at the header":     {string(zip[:3]), lost, nil, true, lost},
		"the store fails in the middle":     {string(zip[:len(zip)-3]), lost, nil, true, lost},
		"the store fails at the end":        {string(zip), lost, nil, true, lost},
		"the store fails when it is closed": {string(zip), io.EOF, lost, true, lost},
		"damaged on the way":                {string(zip[:len(zip)-8]) + "--------" + strings.Repeat("-", 1<<20), lost, nil, true, lost},
		"not compressed, and damaged":       {"content, but not compressed", lost, nil, true, lost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := read(c.stored, c.end, c.closing)
			var unpack *objects.UnpackError
			if errors.As(err, &unpack) == c.unpacks || c.want != nil && !errors.Is(err, c.want) || errors.Is(err, io.EOF) {
				t.Errorf("%q, %v", text, err)
			}
			if whole := c.unpacks && c.want == nil; whole && (text != "content" || err != nil) {
				t.Errorf("%q, %v", text, err)
			}
			if unpack != nil && unpack.Name != "gs://b/o" {
				t.Error(unpack)
			}
		})
	}
}

// cutReader gives the rest, and then its end.
type cutReader struct {
	rest string
	end  error
}

func (r *cutReader) Read(p []byte) (int, error) {
	if r.rest == "" {
		return 0, r.end
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
