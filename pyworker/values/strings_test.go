package values_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

func TestKeyIs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		raw, name string
		want      bool
	}{
		{`"age"`, "age", true},
		{`"age"`, "ag", false},
		{`""`, "", true},
		{`"\u0061ge"`, "age", true},
		{`"a\/b"`, "a/b", true},
		{`"\ud83d\ude00"`, "😀", true},
		{`"\ud83d"`, "\ufffd", false},
		{`"\t\n\r\b\f\"\\"`, "\t\n\r\b\f\"\\", true},
		{`"größe"`, "größe", true},
	} {
		if got := values.KeyIs([]byte(tc.raw), tc.name); got != tc.want {
			t.Errorf("KeyIs(%s, %q) = %v", tc.raw, tc.name, got)
		}
	}
}

func TestAppendString(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                          `""`,
		"a\"b\\c/":                  `"a\"b\\c/"`,
		"\n\r\t\b\f\x00\x1f\x7f":    `"\n\r\t\b\f\u0000\u001f` + "\x7f\"",
		"é😀\u2028\ufeff":            "\"é😀\u2028\ufeff\"",
		"\xed\xa0\xbdx\xed\xbf\xbf": `"\ud83dx\udfff"`,
		"a\xffb\xe2\x82c\xf0\x9f":   "\"a\ufffdb\ufffdc\ufffd\"",
	} {
		if diff := cmp.Diff(want, string(values.AppendString(nil, in))); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(want, string(values.AppendString(nil, []byte(in)))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestReplaceNonFinite(t *testing.T) {
	t.Parallel()
	in := `{"NaN":[NaN,-Infinity,Infinity,-1,"a\"NaN\\"],"b":NaN}`
	for as, want := range map[values.NonFinite]string{
		values.AsNull:   `{"NaN":[null,null,null,-1,"a\"NaN\\"],"b":null}`,
		values.AsString: `{"NaN":["NaN","-Infinity","Infinity",-1,"a\"NaN\\"],"b":"NaN"}`,
	} {
		if diff := cmp.Diff("x"+want, string(values.ReplaceNonFinite([]byte("x"), []byte(in), as))); diff != "" {
			t.Error(diff)
		}
	}
	if got := values.ReplaceNonFinite(nil, []byte("NaN"), values.AsNull); string(got) != "null" {
		t.Errorf("alone: %s", got)
	}
}

// FuzzStrings turns any bytes into a string and back.
func FuzzStrings(f *testing.F) {
	f.Add([]byte("a\"\\\n\x00é\xed\xa0\x80"))
	f.Add([]byte("\xff\xf0\x9f\x98"))
	f.Fuzz(func(t *testing.T, b []byte) {
		repaired := values.Repair(b)
		text := values.AppendString(nil, repaired)
		if err := values.Check(text); err != nil {
			t.Fatalf("AppendString(%q) = %q: %v", repaired, text, err)
		}
		if got := string(values.AppendUnquoted(nil, text)); got != repaired {
			t.Fatalf("%q came back as %q", repaired, got)
		}
		if !values.KeyIs(text, repaired) {
			t.Fatalf("KeyIs(%q, %q) is false", text, repaired)
		}
		if err := values.Check(values.AppendString(nil, b)); err != nil {
			t.Fatalf("AppendString(%q): %v", b, err)
		}
	})
}

func BenchmarkAppendString(b *testing.B) {
	s := []byte("The quick brown fox jumps over the lazy dog; größer, schneller, weiter. ")
	dst := make([]byte, 0, 256)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		dst = values.AppendString(dst[:0], s)
	}
}
