package sinks

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

func TestPredictionLines(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		in   pipeline.Instance
		echo pipeline.Echo
		want string
	}{
		"the row's own text":      {pipeline.Instance{Shown: []byte(`{"a": NaN}`)}, pipeline.Echo{}, `{"instance":{"a": NaN},"prediction":[1]}`},
		"fields of the row":       {pipeline.Instance{Shown: []byte(`{"a":1}`)}, pipeline.Echo{Fields: []string{"a"}}, `{"instance":{"a":1},"prediction":[1]}`},
		"the prediction alone":    {pipeline.Instance{}, pipeline.Echo{None: true}, `[1]`},
		"a key":                   {pipeline.Instance{Key: []byte(`"k"`), Shown: []byte(`2`)}, pipeline.Echo{}, `{"key":"k","prediction":[1]}`},
		"a key wins over echoing": {pipeline.Instance{Key: []byte(`7`)}, pipeline.Echo{None: true}, `{"key":7,"prediction":[1]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := appendPrediction([]byte("before\n"), &tt.in, []byte(`[1]`), tt.echo)
			if diff := cmp.Diff("before\n"+tt.want+"\n", string(got)); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}

func TestFailureLines(t *testing.T) {
	t.Parallel()
	failure := func(change func(*pipeline.Failure)) pipeline.Failure {
		f := pipeline.Failure{Phase: pipeline.PhasePredict, Type: "ValueError", Message: "no", Traceback: "T"}
		change(&f)
		return f
	}
	same := func(*pipeline.Failure) {}
	place := pipeline.Origin{URI: "gs://b/a.jsonl", Line: 17, Offset: 2210}
	const errorText = `"error":{"phase":"predict","type":"ValueError","message":"no","traceback":"T"}`
	const placeText = `"source":{"uri":"gs://b/a.jsonl","line":17,"offset":2210}}`
	for name, tt := range map[string]struct {
		in   pipeline.Instance
		f    pipeline.Failure
		want string
	}{
		"a row":                        {pipeline.Instance{Echo: []byte(`[1]`), Origin: place}, failure(same), `{"instance":[1],` + errorText + "," + placeText},
		"a row with a key":             {pipeline.Instance{Echo: []byte(`[1]`), Key: []byte(`"k"`), Origin: place}, failure(same), `{"instance":[1],"key":"k",` + errorText + "," + placeText},
		"a line that is no JSON":       {pipeline.Instance{Echo: []byte(`{x`), Origin: place}, failure(func(f *pipeline.Failure) { f.NotJSON, f.Text = true, "{x" }), `{"instance":null,"text":"{x",` + errorText + "," + placeText},
		"a line that is too long":      {pipeline.Instance{Origin: place}, failure(func(f *pipeline.Failure) { f.NotJSON, f.Text = true, "aaa" }), `{"instance":null,"text":"aaa",` + errorText + "," + placeText},
		"no traceback":                 {pipeline.Instance{Echo: []byte(`1`), Origin: place}, failure(func(f *pipeline.Failure) { f.Traceback = "" }), `{"instance":1,"error":{"phase":"predict","type":"ValueError","message":"no"},` + placeText},
		"an empty message":             {pipeline.Instance{Echo: []byte(`1`), Origin: place}, failure(func(f *pipeline.Failure) { f.Message = "" }), `{"instance":1,"error":{"phase":"predict","type":"ValueError","message":"","traceback":"T"},` + placeText},
		"a compressed file":            {pipeline.Instance{Echo: []byte(`1`), Origin: pipeline.Origin{URI: "a.gz", Line: 1, Offset: -1}}, failure(same), `{"instance":1,` + errorText + `,"source":{"uri":"a.gz","line":1}}`},
		"a file's first byte":          {pipeline.Instance{Echo: []byte(`1`), Origin: pipeline.Origin{URI: "a", Line: 1}}, failure(same), `{"instance":1,` + errorText + `,"source":{"uri":"a","line":1,"offset":0}}`},
		"a message of a stream":        {pipeline.Instance{Echo: []byte(`1`), Origin: pipeline.Origin{MessageID: "m1"}}, failure(same), `{"instance":1,` + errorText + `,"source":{"message_id":"m1"}}`},
		"a name with a quotation mark": {pipeline.Instance{Echo: []byte(`1`), Origin: pipeline.Origin{URI: `a"b`, Offset: -1}}, failure(same), `{"instance":1,` + errorText + `,"source":{"uri":"a\"b"}}`},
		"a traceback of several lines": {pipeline.Instance{Echo: []byte(`1`), Origin: place}, failure(func(f *pipeline.Failure) { f.Traceback = "a\n\tb\\é\x00\u2028" }), `{"instance":1,"error":{"phase":"predict","type":"ValueError","message":"no","traceback":"a\n\tb\\é\u0000` + "\u2028" + `"},` + placeText},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := appendFailure(nil, &tt.in, &tt.f)
			if diff := cmp.Diff(tt.want+"\n", string(got)); diff != "" || err != nil {
				t.Error(diff, err)
			}
			if !json.Valid(got) {
				t.Errorf("not JSON: %s", got)
			}
		})
	}
}

func TestNoLineIsBroken(t *testing.T) {
	t.Parallel()
	ok := []byte("1")
	for name, tt := range map[string]struct {
		in         pipeline.Instance
		prediction []byte
	}{
		"an empty prediction":         {pipeline.Instance{Shown: ok}, nil},
		"a prediction over two lines": {pipeline.Instance{Shown: ok}, []byte("[\n1]")},
		"no instance to show":         {pipeline.Instance{}, ok},
		"an instance over two lines":  {pipeline.Instance{Shown: []byte("[\n1]")}, ok},
		"an empty key":                {pipeline.Instance{Key: []byte{}}, ok},
		"a key over two lines":        {pipeline.Instance{Key: []byte("\n1")}, ok},
	} {
		if _, err := appendPrediction(nil, &tt.in, tt.prediction, pipeline.Echo{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, tt := range map[string]struct {
		in pipeline.Instance
		f  pipeline.Failure
	}{
		"no phase":                   {pipeline.Instance{Echo: ok}, pipeline.Failure{Type: "T"}},
		"no type":                    {pipeline.Instance{Echo: ok}, pipeline.Failure{Phase: "read"}},
		"an instance over two lines": {pipeline.Instance{Echo: []byte("[\n1]")}, pipeline.Failure{Phase: "read", Type: "T"}},
		"an empty instance":          {pipeline.Instance{Echo: []byte{}}, pipeline.Failure{Phase: "read", Type: "T"}},
		"a key over two lines":       {pipeline.Instance{Echo: ok, Key: []byte("\n")}, pipeline.Failure{Phase: "read", Type: "T"}},
	} {
		if _, err := appendFailure(nil, &tt.in, &tt.f); err == nil {
			t.Errorf("failure: %s: no error", name)
		}
	}
}

func TestLongTextsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		strings.Repeat("a", maxText), strings.Repeat("a", maxText+1), strings.Repeat("é", maxText),
		"a" + strings.Repeat("€", maxText), strings.Repeat("\x80", maxText+9), strings.Repeat("😀", maxText),
	} {
		got := cut(s)
		if len(got) > maxText || (len(s) <= maxText) != (got == s) {
			t.Errorf("%d bytes of %d", len(got), len(s))
		}
		if utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("cut inside a character: %q", got[len(got)-8:])
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "a\"b\\c\n\r\t\b\f\x00\x1f\x7f", "é€😀\u2028", "\xff\xc3", "\xed\xa0\x80", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := appendString([]byte("x"), s)[1:]
		var back string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		var want strings.Builder // a U+FFFD for each byte that is not UTF-8
		for _, r := range s {
			want.WriteRune(r)
		}
		if back != want.String() {
			t.Errorf("%q came back as %q", s, back)
		}
		if !utf8.Valid(got) || strings.ContainsAny(string(got), "\n\r") {
			t.Errorf("%q is not one line of UTF-8", got)
		}
	})
}

func TestLinesNeedNoMemoryEach(t *testing.T) {
	in := pipeline.Instance{Echo: []byte(`{"a":1}`), Shown: []byte(`{"a":1}`), Origin: pipeline.Origin{URI: "a", Line: 1}}
	f := pipeline.Failure{Phase: pipeline.PhaseRead, Type: "InvalidJSON", Message: "m\n\"é"}
	buffer := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		b, _ := appendPrediction(buffer, &in, []byte(`[1]`), pipeline.Echo{})
		_, _ = appendFailure(b, &in, &f)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppendPrediction(b *testing.B) {
	text := []byte(`[` + strings.Repeat("0.123456789,", 9) + `1]`)
	in := pipeline.Instance{Shown: text}
	var dst []byte
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = appendPrediction(dst[:0], &in, []byte(`0.25`), pipeline.Echo{})
	}
}
