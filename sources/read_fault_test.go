package sources_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/sources"
)

// A disk or a connection that fails may do better the next time: exit status 1. What is
// compressed is not called corrupt for it.
func TestAFaultWhileReadingIsWorthTryingAgain(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("1\n2\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, begin := range map[string]string{
		"at the first byte": "",
		"of plain lines":    "1\n2\n",
		"of a gzip file":    packed.String()[:packed.Len()-6],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := io.MultiReader(strings.NewReader(begin), iotest.ErrReader(syscall.EIO))
			_, err := readAll(t.Context(), sources.NewReader(in, "in", config(), sources.Rows{}), limits)
			var e *pipeline.Error
			if !errors.As(err, &e) || e.Remedy != pipeline.TryAgain || e.Phase != pipeline.PhaseRead || !errors.Is(err, syscall.EIO) {
				t.Fatalf("error: %+v", err)
			}
			if !strings.Contains(e.Message, "in") || e.Hint == "" || strings.Contains(e.Error(), "corrupt") {
				t.Errorf("error: %v; %s", e, e.Hint)
			}
		})
	}
}
