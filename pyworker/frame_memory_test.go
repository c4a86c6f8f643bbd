package pyworker

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
)

// A frame may say that it is long: memory is taken for what has come of it.
func TestReadFrameTakesNoMemoryForWhatDoesNotCome(t *testing.T) {
	const limit = 1 << 30
	begin := testFrame(header{kind: kindAnswer, length: limit}, "")[:headerSize]
	begin[20], begin[21], begin[22], begin[23] = 0, 0, 0, limit>>24
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := readFrame(bytes.NewReader(append(begin, "[1"...)), limit)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error: %v", err)
	}
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 16<<20 {
		t.Errorf("%d MiB were taken", taken>>20)
	}
}
