package sources

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// compression is how a file is compressed.
type compression string

const (
	uncompressed compression = ""
	gzipped      compression = "gzip"
	zstandard    compression = "zstd"
)

// sniffSize is how many bytes of a file tell its compression.
const sniffSize = 4

// maxWindow is how far back zstd data may refer: what the command line's own limit is.
const maxWindow = 128 << 20

var (
	gzipMagic     = []byte{0x1F, 0x8B}
	zstdMagic     = []byte{0x28, 0xB5, 0x2F, 0xFD}
	zstdSkipMagic = []byte{0x2A, 0x4D, 0x18} // behind one of 16 first bytes
)

// sniff tells a compression by the first bytes of a file: none of these can begin a JSON
// text.
func sniff(head []byte) compression {
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		return gzipped
	case bytes.HasPrefix(head, zstdMagic):
		return zstandard
	case len(head) >= 4 && head[0]&0xF0 == 0x50 && bytes.Equal(head[1:4], zstdSkipMagic):
		return zstandard // a frame to be skipped, with which pzstd begins
	}
	return uncompressed
}

// decompress returns what r holds, by its content. The function returned releases what
// that needs. A gzip file may hold another compressed one: Cloud Storage takes compressed
// files that are compressed once more on the way there.
func decompress(r *bufio.Reader) (io.Reader, compression, func(), error) {
	content, kind, free, err := unpack(r)
	if err != nil || kind != gzipped {
		return content, kind, free, err
	}
	inner := bufio.NewReaderSize(content, 32<<10)
	content, _, freeInner, err := unpack(inner)
	if err != nil {
		free()
		return nil, kind, nil, err
	}
	return content, kind, func() { freeInner(); free() }, nil
}

// unpack takes one compression off.
func unpack(r *bufio.Reader) (io.Reader, compression, func(), error) {
	head, err := r.Peek(sniffSize)
	if err != nil && err != io.EOF {
		return nil, uncompressed, nil, err
	}
	switch kind := sniff(head); kind {
	case gzipped:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, kind, nil, whole(err)
		}
		z.Multistream(false)
		return &members{compressed: r, current: z}, kind, func() {}, nil
	case zstandard:
		// One goroutine: the caller's.
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, kind, nil, whole(err)
		}
		return z, kind, z.Close, nil
	}
	return r, uncompressed, func() {}, nil
}

// whole makes an end where more is needed an error.
func whole(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errTrailing = errors.New("gzip: other data behind the end of the compressed data")

// members reads the members of a gzip file one after the other. Zeros behind the last
// one, with which blocks are filled up, are passed over as gzip(1) does; other data there
// is an error: it may be a member that is broken.
type members struct {
	compressed *bufio.Reader
	current    *gzip.Reader
}

func (m *members) Read(p []byte) (int, error) {
	for {
		n, err := m.current.Read(p)
		if err == io.EOF {
			err = m.next()
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// next goes to the next member, or returns io.EOF.
func (m *members) next() error {
	for {
		c, err := m.compressed.ReadByte()
		if err != nil {
			return err
		}
		if c != 0 {
			break
		}
	}
	if err := m.compressed.UnreadByte(); err != nil {
		return err
	}
	switch head, err := m.compressed.Peek(2); {
	case len(head) == 1 && head[0] == gzipMagic[0]:
		return whole(err)
	case !bytes.Equal(head, gzipMagic):
		return errTrailing
	}
	err := m.current.Reset(m.compressed)
	m.current.Multistream(false)
	return whole(err)
}
