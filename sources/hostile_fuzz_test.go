package sources_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker/values"
	"github.com/cpr-batch/cpr-batch/sources"
)

// gzipOf compresses in one member for each text.
func gzipOf(t testing.TB, texts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, text := range texts {
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// FuzzCompressed reads files that say they are compressed: gzip's as the standard library
// does, and whatever else without harm.
func FuzzCompressed(f *testing.F) {
	f.Add(gzipOf(f, "1\n[2,\n", "3]\n\n4"))
	f.Add(append(gzipOf(f, "1\n"), "behind"...))
	f.Add(append(gzipOf(f, "1\n"), 0, 0, 0, 0))
	f.Add(gzipOf(f, "1\n2\n")[:25])
	// Two frames of zstd, and one that is to be skipped before them.
	zstd := []byte("\x28\xb5\x2f\xfd\x04\x00\x11\x00\x00\x31\x0a\x72\x5e\x06\xb4")
	f.Add(zstd)
	f.Add(append(append([]byte("\x50\x2a\x4d\x18\x02\x00\x00\x00ab"), zstd...), zstd[:9]...))
	f.Fuzz(func(t *testing.T, content []byte) {
		cfg := config()
		cfg.MaxLine = 64
		rows, err := readAll(t.Context(), sources.NewReader(bytes.NewReader(content), "-", cfg, sources.Rows{}), pipeline.Limits{Instances: 100})
		var fault *pipeline.Error
		if err != nil && (!errors.As(err, &fault) || fault.Phase != pipeline.PhaseRead || fault.Remedy != pipeline.FixInput) {
			t.Fatalf("error %#v", err)
		}
		// Flags that are kept for later are an error to gunzip, and not to the standard library.
		if !bytes.HasPrefix(content, []byte{0x1F, 0x8B}) || len(content) > 3 && content[3]&0xE0 != 0 {
			return
		}
		plain, wantErr := gunzip(content)
		for end := len(content); wantErr != nil && err == nil && end > 0 && content[end-1] == 0; end-- {
			plain, wantErr = gunzip(content[:end-1]) // zeros that fill up a block are no fault
		}
		if err == nil && wantErr != nil && bytes.Contains(content, []byte{0, 0x1F, 0x8B}) {
			return // zeros between two members, behind which the standard library reads none
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("error %v, the standard library's %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if bytes.HasPrefix(plain, []byte{0x1F, 0x8B}) || bytes.HasPrefix(plain, []byte{0x28, 0xB5, 0x2F, 0xFD}) || len(plain) > 3 && string(plain[1:4]) == "\x2A\x4D\x18" {
			return // compressed twice
		}
		want := reference("-", plain, 64)
		for i := range want {
			want[i].Offset = -1
		}
		if diff := firstDiff(want, rows); diff != "" {
			t.Error(diff)
		}
	})
}

func gunzip(content []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// FuzzRows arranges rows in every way: what the Predictor gets, and what the output shows,
// is JSON on one line or there is a failure.
func FuzzRows(f *testing.F) {
	arranged := []sources.InstanceConfig{
		{}, {KeyField: "id"}, {InstanceType: "array"}, {InstanceType: "object"}, {IncludedFields: []string{"b", "a"}, KeyField: "id"},
		{InstanceType: "array", IncludedFields: []string{"a", "b"}}, {ExcludedFields: []string{"a"}}, {InstanceType: "array", ExcludedFields: []string{"a"}},
	}
	for i, line := range []string{
		`{"id":1,"a":[2],"b":"\ud800"}`, `{"\u0061":1,"a":NaN,"id":{},"i\u0064":null}`, `[1, {"a":2}]`, `{"instance":{"id":1},"error":{"type":"T"},"text":"x"}`,
		`{"instance":{"id":1,"a":2,"b":3}}`, `{"id":1`, "{\"a\":\"\xff\"}", `{"a":1,"b":2,"":3,"id":0}`,
	} {
		f.Add([]byte(line), uint8(i))
		f.Add([]byte(line), uint8(i+len(arranged)))
	}
	f.Fuzz(func(t *testing.T, line []byte, mode uint8) {
		if bytes.ContainsAny(line, "\n") {
			return
		}
		cfg, rows := config(), sources.Rows{Instance: arranged[int(mode)%len(arranged)]}
		if mode&0x40 != 0 {
			cfg.Field = "instance"
		}
		if mode&0x80 != 0 {
			rows.Shown = pipeline.Echo{Fields: []string{"b", "id"}}
		}
		looks := cfg.Field != "" || len(rows.Shown.Fields) > 0 || int(mode)%len(arranged) != 0
		source := sources.NewReader(bytes.NewReader(append(bytes.Clone(line), '\n')), "-", cfg, rows)
		split, err := source.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b := pipeline.Batch{}
		err = split.Read(t.Context(), &b)
		_ = split.Settle(t.Context(), nil)
		if err != nil {
			return // empty, or it looks compressed
		}
		if len(b.Instances) != 1 {
			t.Fatalf("%d instances of a line", len(b.Instances))
		}
		in := &b.Instances[0]
		if in.Failure != nil {
			known := []string{pipeline.TypeInvalidJSON, pipeline.TypeMissingField}
			if in.Failure.Phase != pipeline.PhaseRead || cfg.Field == "" && !slices.Contains(known, in.Failure.Type) {
				t.Errorf("failure %+v", in.Failure)
			}
			if !in.Failure.NotJSON && values.Check(in.Echo) != nil {
				t.Errorf("the echo of a failure, %q, is no JSON", in.Echo)
			}
			return
		}
		for what, text := range map[string][]byte{"input": in.Input, "shown": in.Shown, "key": in.Key} {
			if looks && text != nil && values.Check(text) != nil {
				t.Errorf("%s %q of %q is no JSON: %v", what, text, line, values.Check(text))
			}
		}
		if rows.Instance.InstanceType == "array" && values.KindOf(in.Input) != values.Array {
			t.Errorf("%q is no array", in.Input)
		}
		if (in.Key != nil) != (rows.Instance.KeyField != "") {
			t.Errorf("key %q", in.Key)
		}
		if echo := bytes.Trim(bytes.TrimPrefix(line, []byte("\ufeff")), " \t\r"); cfg.Field == "" && !bytes.Equal(echo, in.Echo) {
			t.Error(cmp.Diff(string(echo), string(in.Echo)))
		}
	})
}
