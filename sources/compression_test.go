package sources_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/sources"
)

func gzipped(t testing.TB, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t testing.TB, content string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return string(w.EncodeAll([]byte(content), nil))
}

const content = "\ufeff{\"a\":1}\n\n{\"b\":[2,3,4]}\r\n\"text that does not repeat itself: 5ac3f0e91b\"\nlast"

func TestCompression(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, stored, content string
	}{
		{"gzip", gzipped(t, content), content},
		{"gzip of several members", gzipped(t, content[:10]) + gzipped(t, "") + gzipped(t, content[10:]), content},
		{"gzip with zeros behind it", gzipped(t, content) + strings.Repeat("\x00", 700), content},
		{"gzip of nothing", gzipped(t, ""), ""},
		{"zstd", zstandard(t, content), content},
		{"zstd of several frames", zstandard(t, content[:10]) + zstandard(t, content[10:]), content},
		{"zstd that begins with a frame to be skipped", "\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstandard(t, content), content},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "in.jsonl", tc.stored)
			cfg := config("in.jsonl")
			cfg.SplitSize = 10 // a compressed file is never cut
			plan := plan(t, dir, cfg)
			if len(plan) != 1 || len(plan[0].Pieces) != 1 {
				t.Fatalf("plan %+v", plan)
			}
			split, err := sources.NewJSONL(objects.NewLocal(), cfg, sources.Rows{}, sources.InOrder(plan...)).Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			rows, extent, err := readSplit(t.Context(), split, limits)
			if err != nil {
				t.Fatal(err)
			}
			want := reference("in.jsonl", []byte(tc.content), 1000)
			for i := range want {
				want[i].Offset = -1
			}
			if diff := cmp.Diff(want, rows); diff != "" {
				t.Error(diff)
			}
			if extent.Bytes != int64(len(tc.stored)) {
				t.Errorf("%d of %d bytes read", extent.Bytes, len(tc.stored))
			}
		})
	}
}

// TestCutCompression cuts compressed data at every byte behind its magic number: an
// error, or all rows, never fewer rows.
func TestCutCompression(t *testing.T) {
	t.Parallel()
	want := reference("-", []byte(content), 1000)
	for i := range want {
		want[i].Offset = -1
	}
	for name, data := range map[string]string{
		"gzip": gzipped(t, content), "gzip with zeros": gzipped(t, content) + "\x00\x00\x00", "zstd": zstandard(t, content),
		"zstd without a checksum": zstandardPlain(t, content),
	} {
		for n := 4; n < len(data); n++ {
			rows, err := readAll(t.Context(), sources.NewReader(strings.NewReader(data[:n]), "-", config(), sources.Rows{}), limits)
			if err == nil {
				if diff := cmp.Diff(want, rows); diff != "" {
					t.Errorf("%s cut at %d of %d: %s", name, n, len(data), diff)
				}
				continue
			}
			var e *pipeline.Error
			if !errors.As(err, &e) || e.Remedy != pipeline.FixInput || !strings.Contains(e.Message, "read -") || e.Hint == "" {
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
		}
	}
}

func zstandardPlain(t *testing.T, content string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return string(w.EncodeAll([]byte(content), nil))
}

func TestCorruptCompression(t *testing.T) {
	t.Parallel()
	flip := func(s string, at int) string {
		b := []byte(s)
		b[at] ^= 0x55
		return string(b)
	}
	g, z := gzipped(t, content), zstandard(t, content)
	for name, data := range map[string]string{
		"a checksum of gzip is wrong":      flip(g, len(g)-6),
		"data of gzip is wrong":            flip(g, 20),
		"other data is behind gzip":        g + "{}\n",
		"zeros and other data behind gzip": g + "\x00\x00{}",
		"a later member of gzip is broken": g + flip(g, len(g)-6),
		"a checksum of zstd is wrong":      flip(z, len(z)-2),
		"other data is behind zstd":        z + "{}\n{}\n",
	} {
		_, err := readAll(t.Context(), sources.NewReader(strings.NewReader(data), "in.gz", config(), sources.Rows{}), limits)
		var e *pipeline.Error
		if !errors.As(err, &e) || e.Remedy != pipeline.FixInput || !strings.Contains(e.Message, "in.gz") || !strings.Contains(e.Message, "corrupt") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
