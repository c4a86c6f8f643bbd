package values_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text, err string
	}{
		{"an empty text is no value", "", "Expecting value (byte 0)"},
		{"white space alone is no value", " \t\r\n", "Expecting value (byte 4)"},
		{"white space around a value is passed over", " \t\r\n{ \"a\" : [ 1 , 2 ] } \n", ""},
		{"other white space is refused", "\v1", "Expecting value (byte 0)"},
		{"a no-break space is refused", "1\u00a0", "Extra data (byte 1)"},
		{"a byte order mark is refused", "\ufeff1", "Unexpected UTF-8 BOM (decode using utf-8-sig) (byte 0)"},
		{"NaN and the infinities are values", "[NaN,Infinity,-Infinity]", ""},
		{"-NaN is refused", "-NaN", "Expecting value (byte 0)"},
		{"a sign alone is refused", "[-]", "Expecting value (byte 1)"},
		{"a cut word is refused", "tru", "Expecting value (byte 0)"},
		{"a word in capitals is refused", "True", "Expecting value (byte 0)"},
		{"a number ends before a second digit behind a zero", "01", "Extra data (byte 1)"},
		{"a number ends before a point without digits", "[1.]", "Expecting ',' delimiter (byte 2)"},
		{"a number ends before an exponent without digits", "1e+", "Extra data (byte 1)"},
		{"a point alone begins no number", ".5", "Expecting value (byte 0)"},
		{"a plus begins no number", "+1", "Expecting value (byte 0)"},
		{"numbers of all forms are taken", "[0,-0,-0.0,1E400,1e-5,0e0,12.50E+07,123456789012345678901234567890]", ""},
		{"digits that are not ASCII are refused", "１", "Expecting value (byte 0)"},
		{"a control character in a string is refused", "\"abcdefghij\x1f\"", "Invalid control character at (byte 11)"},
		{"DEL and U+2028 in a string are taken", "\"\x7f\u2028\u0080\uffff\"", ""},
		{"a string without end is refused where it begins", `[1,"abc`, "Unterminated string starting at (byte 3)"},
		{"a string that ends in a backslash is refused where it begins", `"abc\`, "Unterminated string starting at (byte 0)"},
		{"all escapes are taken", `"\"\\\/\b\f\n\r\t\u12aB"`, ""},
		{"an unknown escape is refused", `"ab\q"`, `Invalid \escape (byte 3)`},
		{"four digits are wanted behind u", `"\u12g4"`, `Invalid \uXXXX escape (byte 2)`},
		{"a text may not end behind the digits", `"\u12ab\ud83d`, `Invalid \uXXXX escape (byte 8)`},
		{"a text may not end within an escape", `"\u12`, `Invalid \uXXXX escape (byte 2)`},
		{"lone surrogate escapes are taken", `["\ud800","\udc00\ud800","\ud83d\ude00"]`, ""},
		{"raw surrogates are refused", "\"\xed\xa0\x80\"", "Invalid UTF-8 (byte 1)"},
		{"overlong forms are refused", "\"12345678\xc0\x80\"", "Invalid UTF-8 (byte 9)"},
		{"a cut character is refused", "\"\xe2\x82\"", "Invalid UTF-8 (byte 1)"},
		{"doubled keys are taken", `{"a":1,"a":2}`, ""},
		{"a key is a string", `{1:1}`, "Expecting property name enclosed in double quotes (byte 1)"},
		{"a key has a colon", `{"a" 1}`, "Expecting ':' delimiter (byte 5)"},
		{"no comma before the end of an array", `[1, ]`, "Expecting value (byte 4)"},
		{"no comma before the end of an object", `{"a":1, }`, "Expecting property name enclosed in double quotes (byte 8)"},
		{"an array ends with its own bracket", `[1}`, "Expecting ',' delimiter (byte 2)"},
		{"an object ends with its own brace", `{"a":1]`, "Expecting ',' delimiter (byte 6)"},
		{"an open array is refused at the end", `[[1]`, "Expecting ',' delimiter (byte 4)"},
		{"two values are refused", `1 2`, "Extra data (byte 2)"},
		{"200 levels are no matter", strings.Repeat(`[{"a":`, 100) + "1" + strings.Repeat("}]", 100), ""},
		{"a million levels are no matter", strings.Repeat("[", 1e6) + strings.Repeat("]", 1e6), ""},
		{"a wrong bracket 130 levels up is found", strings.Repeat("[", 130) + strings.Repeat("]", 129) + "}", "Expecting ',' delimiter (byte 259)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := values.Check([]byte(tc.text)); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.err, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScanEndsWithTheValue(t *testing.T) {
	t.Parallel()
	for text, rest := range map[string]string{
		`[1] [2]`: " [2]", "01": "1", "  1.": ".", `"a""b"`: `"b"`, "nullx": "x", "NaNN": "N", "{}}": "}",
	} {
		end, err := values.Scan([]byte(text), 0)
		if err != nil || text[end:] != rest {
			t.Errorf("Scan(%q) ends before %q, %v; want %q", text, text[end:], err, rest)
		}
	}
	if end, err := values.Scan([]byte(`{"a":1} [2] x`), 7); err != nil || end != 11 {
		t.Errorf("Scan from 7 = %d, %v; want 11", end, err)
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "no value", " {": "an object", "[": "an array", `"`: "a string", "-1": "a number", "7": "a number",
		"NaN": "a number", "Infinity": "a number", "true": "a boolean", "false": "a boolean", "null": "null", "?": "no value",
	} {
		if got := values.KindOf([]byte(text)).String(); got != want {
			t.Errorf("KindOf(%q) = %s; want %s", text, got, want)
		}
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	text := " { \"a\" : 1 ,\n\"b\\u0063\":[ 2, {} ] , \"a\":\"x\" } "
	got, err := values.Members(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []values.Member{
		{Key: []byte(`"a"`), Value: []byte(`1`)},
		{Key: []byte(`"b\u0063"`), Value: []byte(`[ 2, {} ]`)},
		{Key: []byte(`"a"`), Value: []byte(`"x"`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := values.Members(nil, []byte("{ }")); err != nil || len(got) != 0 {
		t.Errorf("Members of an empty object = %v, %v", got, err)
	}
	for text, want := range map[string]string{
		`[1]`: "Expecting an object (byte 0)", `{"a":1`: "Expecting ',' delimiter (byte 6)", `{"a":1}x`: "Extra data (byte 7)",
		`{,}`: "Expecting property name enclosed in double quotes (byte 1)", `{"a"}`: "Expecting ':' delimiter (byte 4)",
		`{"a":}`: "Expecting value (byte 5)", `{`: "Expecting property name enclosed in double quotes (byte 1)",
	} {
		if _, err := values.Members(nil, []byte(text)); err == nil || err.Error() != want {
			t.Errorf("Members(%q): %v; want %s", text, err, want)
		}
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	got, err := values.Split(nil, []byte(` [ 1 , "],[" ,[2,[3]],{"a":[4]} ] `))
	if err != nil {
		t.Fatal(err)
	}
	want := [][]byte{[]byte("1"), []byte(`"],["`), []byte("[2,[3]]"), []byte(`{"a":[4]}`)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		`{}`: "Expecting an array (byte 0)", `[1`: "Expecting ',' delimiter (byte 2)", `[1]]`: "Extra data (byte 3)", `[1,]`: "Expecting value (byte 3)",
	} {
		if _, err := values.Split(nil, []byte(text)); err == nil || err.Error() != want {
			t.Errorf("Split(%q): %v; want %s", text, err, want)
		}
	}
}

func TestScanDoesNotAllocate(t *testing.T) {
	line := []byte(strings.Repeat(`[`, 900) + `{"name":"köln","n":[1,2.5e3,null]}` + strings.Repeat(`]`, 900))
	members := make([]values.Member, 0, 8)
	object := []byte(`{"a":[1,2],"b":{"c":"d"}}`)
	if n := testing.AllocsPerRun(100, func() {
		if values.Check(line) != nil {
			t.Fatal("refused")
		}
		if _, err := values.Members(members, object); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzCheck holds Check to encoding/json, where the two mean the same language, and the
// other readers to Check.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e+3,"x\u00e9\n"],"b":{}}`, `[NaN,-Infinity]`, `"\ud800"`, "\"\xff\"", "01", `[1,]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := values.Check(text)
		beyond := bytes.Contains(text, []byte("NaN")) || bytes.Contains(text, []byte("Infinity")) || len(text) > 10000
		if want := json.Valid(text) && utf8.Valid(text); !beyond && want != (err == nil) {
			t.Fatalf("Check(%q): %v; encoding/json says %v", text, err, want)
		}
		elements, splitErr := values.Split(nil, text)
		if isArray := values.KindOf(text) == values.Array; (err == nil && isArray) != (splitErr == nil) {
			t.Fatalf("Check(%q): %v, but Split: %v", text, err, splitErr)
		}
		members, membersErr := values.Members(nil, text)
		if isObject := values.KindOf(text) == values.Object; (err == nil && isObject) != (membersErr == nil) {
			t.Fatalf("Check(%q): %v, but Members: %v", text, err, membersErr)
		}
		if splitErr != nil {
			elements = nil
		}
		if membersErr == nil {
			for _, m := range members {
				elements = append(elements, m.Key, m.Value)
			}
		}
		for _, e := range elements {
			if end, err := values.Scan(e, 0); err != nil || end != len(e) {
				t.Fatalf("%q of %q is no value: %v", e, text, err)
			}
		}
		if err == nil {
			finite := values.ReplaceNonFinite(nil, text, values.AsNull)
			if len(text) <= 10000 && !json.Valid(finite) {
				t.Fatalf("ReplaceNonFinite(%q) = %q", text, finite)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	for name, line := range map[string]string{
		"ten floats": "[" + strings.Repeat("0.7341829347819234,", 9) + "12.5]",
		"record":     `{"customer_id":"C-0012345","age":42,"balance":1523.75,"active":true,"city":"Köln","tags":["a","b"],"notes":null}`,
		"ascii text": `{"text":"` + strings.Repeat("The quick brown fox jumps over the lazy dog. ", 20) + `"}`,
		"korean":     `{"text":"` + strings.Repeat("다람쥐 헌 쳇바퀴에 타고파 ", 20) + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			text := []byte(line)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if err := values.Check(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
