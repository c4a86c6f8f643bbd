package pyworker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// protocol is the version of the frames and of what the hello holds.
const protocol = 1

// kind says what a frame is. Frames of kinds below 64 go to the worker, the others come
// from it. 4 and 70 are kept for a loaded worker that is a template: "fork into this
// folder" and its answer.
type kind uint8

const (
	kindHello    kind = 1  // JSON: hello
	kindLoad     kind = 2  // empty: import the class and make the Predictor
	kindPredict  kind = 3  // see newCall
	kindGreeting kind = 65 // JSON: greeting
	kindReady    kind = 66 // JSON, with nothing that is needed
	kindFailed   kind = 67 // JSON: told, why loading failed; the worker ends
	kindAnswer   kind = 68 // see readAnswer
	kindRaised   kind = 69 // JSON: told, why a call failed
)

// flagNonFinite of an answer: NaN or Infinity may stand in its text.
const flagNonFinite = 1

const (
	headerSize = 24
	magic      = "CPRB"
	// longestNote bounds the frames that hold JSON for us: a message and a traceback of
	// 64 KiB each, every character escaped.
	longestNote = 2 << 20
	// readAhead is how much of a frame is believed before its bytes are there.
	readAhead = 1 << 20
)

// errBroken is wrapped by all that a worker may send and must not.
var errBroken = errors.New("broken frame")

// header is what stands before a frame's payload: the magic, kind and flags, two zero
// bytes, and then, little endian, sequence, number of instances and length.
type header struct {
	kind     kind
	flags    uint8
	sequence uint64
	count    uint32
	length   uint32
}

type frame struct {
	header
	payload []byte
}

// putHeader writes h to the first headerSize bytes of dst.
func putHeader(dst []byte, h header) {
	copy(dst, magic)
	dst[4], dst[5], dst[6], dst[7] = byte(h.kind), h.flags, 0, 0
	binary.LittleEndian.PutUint64(dst[8:], h.sequence)
	binary.LittleEndian.PutUint32(dst[16:], h.count)
	binary.LittleEndian.PutUint32(dst[20:], h.length)
}

// readFrame reads one frame from a worker. It returns io.EOF between two frames,
// io.ErrUnexpectedEOF inside of one, and errBroken for what is none. No payload is longer
// than limit.
func readFrame(r io.Reader, limit int64) (frame, error) {
	var b [headerSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return frame{}, err
	}
	if string(b[:4]) != magic {
		return frame{}, fmt.Errorf("%w: it begins with %q", errBroken, b[:4])
	}
	f := frame{header: header{
		kind: kind(b[4]), flags: b[5],
		sequence: binary.LittleEndian.Uint64(b[8:]),
		count:    binary.LittleEndian.Uint32(b[16:]),
		length:   binary.LittleEndian.Uint32(b[20:]),
	}}
	switch f.kind {
	case kindAnswer:
	case kindGreeting, kindReady, kindFailed, kindRaised:
		limit = longestNote
	default:
		return frame{}, fmt.Errorf("%w: unknown kind %d", errBroken, f.kind)
	}
	if int64(f.length) > limit {
		return frame{}, fmt.Errorf("%w: %d bytes, over the limit of %d", errBroken, f.length, limit)
	}
	payload, err := readPayload(r, int(f.length))
	if err != nil {
		return frame{}, err
	}
	f.payload = payload
	return f, nil
}

// readPayload reads n bytes and takes memory as they come.
func readPayload(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, min(n, readAhead))
	for done := 0; ; {
		k, err := io.ReadFull(r, b[done:])
		done += k
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case done == n:
			return b, nil
		}
		grown := make([]byte, min(n, 2*len(b)))
		copy(grown, b)
		b = grown
	}
}
