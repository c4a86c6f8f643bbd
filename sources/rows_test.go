package sources_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/sources"
)

// instance is what becomes of one line.
type instance struct {
	Echo, Shown, Key, Input string
	Failure                 *pipeline.Failure
}

func arrange(t *testing.T, field string, rows sources.Rows, line string) instance {
	t.Helper()
	cfg := config()
	cfg.Field = field
	split, err := sources.NewReader(strings.NewReader("{}\n"+line+"\n"), "-", cfg, rows).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := pipeline.Batch{Limits: limits}
	if err := split.Read(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Instances) != 2 {
		t.Fatalf("%d instances", len(b.Instances))
	}
	in := b.Instances[1]
	return instance{string(in.Echo), string(in.Shown), string(in.Key), string(in.Input), in.Failure}
}

func lacks(message string) *pipeline.Failure {
	return &pipeline.Failure{Phase: pipeline.PhaseRead, Type: pipeline.TypeMissingField, Message: message}
}

func broken(message, text string) *pipeline.Failure {
	return &pipeline.Failure{Phase: pipeline.PhaseRead, Type: pipeline.TypeInvalidJSON, Message: message, Text: text, NotJSON: true}
}

func TestInstanceTypes(t *testing.T) {
	t.Parallel()
	type config = sources.InstanceConfig
	f := func(fields ...string) []string { return fields }
	const line = `{"id": "C-1", "age":42, "x":[1, 2]}`
	for _, tc := range []struct {
		name  string
		cfg   config
		line  string
		key   string
		input string
		fail  *pipeline.Failure
	}{
		{"a row is the instance", config{}, line, "", line, nil},
		{"what is not JSON is the worker's affair", config{}, `{oops`, "", `{oops`, nil},
		{"an object stays as it stands", config{InstanceType: "object"}, line, "", line, nil},
		{"a key is taken out", config{KeyField: "id"}, line, `"C-1"`, `{"age":42,"x":[1, 2]}`, nil},
		{"a key may be anything", config{KeyField: "x"}, line, `[1, 2]`, `{"id":"C-1","age":42}`, nil},
		{"the only field may be the key", config{KeyField: "id"}, `{"id":1}`, "1", `{}`, nil},
		{"a key is wanted", config{KeyField: "k"}, line, "", "", lacks(`the row has no key field "k"`)},
		{"a key wants an object", config{KeyField: "k"}, "[1]", "", "", lacks(`the row is an array, not an object: it has no key field "k"`)},
		{"a key is not shown although included", config{KeyField: "id", IncludedFields: f("id", "age")}, line, `"C-1"`, `{"age":42}`, nil},
		{"included fields are in the row's order", config{IncludedFields: f("x", "id")}, line, "", `{"id":"C-1","x":[1, 2]}`, nil},
		{"all included leaves the row", config{IncludedFields: f("x", "id", "age")}, line, "", line, nil},
		{"an included field is wanted", config{IncludedFields: f("b", "id", "a")}, line, "", "", lacks(`the row has no fields "b", "a"`)},
		{"a key is kept with what is wanted", config{KeyField: "id", IncludedFields: f("b")}, line, `"C-1"`, "", lacks(`the row has no field "b"`)},
		{"an included field wants an object", config{IncludedFields: f("b")}, "3", "", "", lacks(`the row is a number, not an object: it has no field "b"`)},
		{"excluded fields are left out", config{ExcludedFields: f("age", "none")}, line, "", `{"id":"C-1","x":[1, 2]}`, nil},
		{"excluding what is not there leaves the row", config{ExcludedFields: f("none")}, line, "", line, nil},
		{"excluding wants an object", config{ExcludedFields: f("none")}, "null", "", "", lacks(`the row is null, not an object: it has no fields to arrange`)},
		{"an object is wanted", config{InstanceType: "object"}, `"s"`, "", "", lacks(`the row is a string, not an object: it has no fields to arrange`)},
		{"an array has the included values in their order", config{InstanceType: "array", IncludedFields: f("x", "id")}, line, "", `[[1, 2],"C-1"]`, nil},
		{"an array has all values in the row's order", config{InstanceType: "array"}, line, "", `["C-1",42,[1, 2]]`, nil},
		{"an array without the excluded", config{InstanceType: "array", ExcludedFields: f("id")}, line, "", `[42,[1, 2]]`, nil},
		{"an array without the key", config{InstanceType: "array", KeyField: "age"}, line, "42", `["C-1",[1, 2]]`, nil},
		{"an array stays as it stands", config{InstanceType: "array"}, "[1, 2]", "", "[1, 2]", nil},
		{"of doubled fields the last value counts, in the first place", config{InstanceType: "array"}, `{"a":1,"b":2,"\u0061":3}`, "", `[3,2]`, nil},
		{"of doubled included fields too", config{IncludedFields: f("a", "b")}, `{"a":1,"b":2,"a":3,"c":4}`, "", `{"a":3,"b":2}`, nil},
		{"of doubled remaining fields too", config{ExcludedFields: f("c")}, `{"a":1,"b":2,"a":3,"c":4}`, "", `{"a":3,"b":2}`, nil},
		{"of doubled keys too", config{KeyField: "a"}, `{"a":1,"b":2,"a":3}`, "3", `{"b":2}`, nil},
		{"names are compared as what they stand for", config{KeyField: "größe"}, `{"gr\u00f6\u00dfe":1}`, "1", `{}`, nil},
		{"values are never written anew", config{ExcludedFields: f("c")}, `{"a":1.50E+3,"b":"\u00e9\/","c":0}`, "", `{"a":1.50E+3,"b":"\u00e9\/"}`, nil},
		{"NaN is a value", config{InstanceType: "array"}, `{"a":NaN}`, "", "[NaN]", nil},
		{"broken JSON says where", config{InstanceType: "object"}, `{"ä":1,}`, "", "", broken("Expecting property name enclosed in double quotes at column 8", `{"ä":1,}`)},
		{"a broken string says where it begins", config{KeyField: "a"}, `{"a":"b}`, "", "", broken("Unterminated string starting at column 6", `{"a":"b}`)},
		{"two values are broken JSON", config{KeyField: "a"}, `1 2`, "", "", broken("Extra data at column 3", `1 2`)},
		{"broken UTF-8 is repaired in the text", config{KeyField: "a"}, "{\"a\":\"\xff\"}", "", "", broken("not UTF-8 at byte 7", "{\"a\":\"\ufffd\"}")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			want := instance{Echo: tc.line, Shown: tc.line, Key: tc.key, Input: tc.input, Failure: tc.fail}
			if tc.fail != nil {
				want.Shown = ""
			}
			if diff := cmp.Diff(want, arrange(t, "", sources.Rows{Instance: tc.cfg}, tc.line)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestManyDoubledFields(t *testing.T) {
	t.Parallel()
	var line, want strings.Builder
	for i := range 200 {
		fmt.Fprintf(&line, `,"f%d":%d`, i%150, i)
	}
	for i := range 150 {
		last := i
		if i < 50 {
			last = i + 150
		}
		fmt.Fprintf(&want, `,%d`, last)
	}
	got := arrange(t, "", sources.Rows{Instance: sources.InstanceConfig{InstanceType: "array"}}, "{"+line.String()[1:]+"}")
	if diff := cmp.Diff("["+want.String()[1:]+"]", got.Input); diff != "" {
		t.Error(diff)
	}
}

func TestShown(t *testing.T) {
	t.Parallel()
	const line = `{"id": 7, "a\"b":"x", "id": 8}`
	for _, tc := range []struct {
		name  string
		shown pipeline.Echo
		line  string
		want  string
	}{
		{"all", pipeline.Echo{}, line, line},
		{"nothing", pipeline.Echo{None: true}, line, ""},
		{"fields, in the order that is asked for, without those that are missing", pipeline.Echo{Fields: []string{`a"b`, "none", "id"}}, line, `{"a\"b":"x","id":8}`},
		{"none of the fields", pipeline.Echo{Fields: []string{"none"}}, line, `{}`},
		{"fields of what has none", pipeline.Echo{Fields: []string{"none"}}, "[1]", `{}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(instance{Echo: tc.line, Shown: tc.want, Input: tc.line}, arrange(t, "", sources.Rows{Shown: tc.shown}, tc.line)); diff != "" {
				t.Error(diff)
			}
		})
	}
	both := sources.Rows{Shown: pipeline.Echo{Fields: []string{"id"}}, Instance: sources.InstanceConfig{InstanceType: "array", KeyField: "id"}}
	if diff := cmp.Diff(instance{Echo: line, Shown: `{"id":8}`, Key: "8", Input: `["x"]`}, arrange(t, "", both, line)); diff != "" {
		t.Error(diff)
	}
}

func TestField(t *testing.T) {
	t.Parallel()
	keyed := sources.Rows{Instance: sources.InstanceConfig{KeyField: "id"}}
	for _, tc := range []struct {
		name string
		rows sources.Rows
		line string
		want instance
	}{
		{"a field is the row", sources.Rows{}, `{"instance": {"id": 1}, "error":{"type":"ValueError"}}`,
			instance{Echo: `{"id": 1}`, Shown: `{"id": 1}`, Input: `{"id": 1}`}},
		{"and is arranged", keyed, `{"instance": {"id": 1,"x":2}}`,
			instance{Echo: `{"id": 1,"x":2}`, Shown: `{"id": 1,"x":2}`, Key: "1", Input: `{"x":2}`}},
		{"and may lack a key", keyed, `{"instance": [1]}`,
			instance{Echo: `[1]`, Failure: lacks(`the row is an array, not an object: it has no key field "id"`)}},
		{"a field is wanted", sources.Rows{}, `{"other":1}`, instance{Echo: `{"other":1}`, Failure: lacks(`the line has no field "instance"`)}},
		{"a line that is no object has none", sources.Rows{}, `[1]`, instance{Echo: `[1]`, Failure: lacks(`the line is an array, not an object: it has no field "instance"`)}},
		{"a broken line is broken", sources.Rows{}, `{"instance":1`, instance{Echo: `{"instance":1`, Failure: broken("Expecting ',' delimiter at column 14", `{"instance":1`)}},
		{"a failure that was not JSON stays one", sources.Rows{}, `{"instance":null,"text":"{\"a\" \ufffd","error":{"phase":"read","type":"LineTooLong","message":"too \"long\""},"source":{}}`,
			instance{Echo: `{"instance":null,"text":"{\"a\" \ufffd","error":{"phase":"read","type":"LineTooLong","message":"too \"long\""},"source":{}}`,
				Failure: &pipeline.Failure{Phase: pipeline.PhaseRead, Type: "LineTooLong", Message: `too "long"`, Text: "{\"a\" \ufffd", NotJSON: true}}},
		{"a row may have a field text itself", sources.Rows{}, `{"instance":{"text":"a"},"text":1,"error":{}}`, instance{Echo: `{"text":"a"}`, Shown: `{"text":"a"}`, Input: `{"text":"a"}`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, arrange(t, "instance", tc.rows, tc.line)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
