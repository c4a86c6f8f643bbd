package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func jsonFile(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 || neg != (len(args) == 2) {
		ts.Fatalf("usage: json file path want, or ! json file path")
	}
	checkJSON(ts, ts.ReadFile(args[0]), args[1], args[2:])
}

func jsonLine(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 || len(args) > 4 || neg != (len(args) == 3) {
		ts.Fatalf("usage: jsonl file n path want, or ! jsonl file n path")
	}
	all := strings.Split(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n")
	n := number(ts, args[1])
	if n < 1 || n > len(all) {
		ts.Fatalf("%s has %d lines", args[0], len(all))
	}
	checkJSON(ts, all[n-1], args[2], args[3:])
}

// checkJSON compares the value at a path with want, or, without a want, demands that there
// is none.
func checkJSON(ts *testscript.TestScript, text, path string, want []string) {
	value, found, err := lookUp(text, path)
	ts.Check(err)
	switch {
	case len(want) == 0 && found:
		ts.Fatalf("%s is %v, want none", path, value)
	case len(want) == 1 && !found:
		ts.Fatalf("there is no %s in %s", path, text)
	case len(want) == 1:
		ts.Check(matches(value, want[0]))
	}
}

var step = regexp.MustCompile(`^\.?(?:([^.\[\]]+)|\[(\d+)\]|(\[\]))`)

// lookUp finds the value at a path like failures[0].first.source in a JSON text; [] is the
// number of elements or fields, and a lone dot is the whole. Numbers keep their digits.
func lookUp(text, path string) (value any, found bool, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, false, fmt.Errorf("decode %q: %w", text, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, false, fmt.Errorf("decode %q: more than one value", text)
	}
	if path == "." {
		return value, true, nil
	}
	for rest := path; rest != ""; {
		m := step.FindStringSubmatch(rest)
		if m == nil {
			return nil, false, fmt.Errorf("path %q is none", path)
		}
		rest = rest[len(m[0]):]
		if value, found = descend(value, m[1], m[2], m[3]); !found {
			return nil, false, nil
		}
	}
	return value, true, nil
}

func descend(value any, name, index, count string) (any, bool) {
	switch v := value.(type) {
	case map[string]any:
		if count != "" {
			return json.Number(strconv.Itoa(len(v))), true
		}
		element, ok := v[name]
		return element, ok && name != ""
	case []any:
		if count != "" {
			return json.Number(strconv.Itoa(len(v))), true
		}
		i, err := strconv.Atoi(index)
		if err != nil || i >= len(v) {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}

// matches compares a value with what a scenario wants: JSON, ~ and a regular expression
// for a string or a number, or a string as it stands.
func matches(value any, want string) error {
	if pattern, ok := strings.CutPrefix(want, "~"); ok {
		text, ok := value.(string)
		if n, isNumber := value.(json.Number); isNumber {
			text, ok = n.String(), true
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return fmt.Errorf("compile %q: %w", pattern, err)
		}
		if !ok || !re.MatchString(text) {
			return fmt.Errorf("got %#v, want what matches %s", value, pattern)
		}
		return nil
	}
	wanted, _, err := lookUp(want, ".")
	if err != nil {
		wanted = want
	}
	if !reflect.DeepEqual(value, wanted) {
		return fmt.Errorf("got %#v, want %#v", value, wanted)
	}
	return nil
}

func TestMatches(t *testing.T) {
	t.Parallel()
	const text = `{"a": {"b": [1, "two", 1.50]}, "none": null, "day": "2026-03-01"}`
	for name, c := range map[string]struct {
		path, want string
		ok         bool
	}{
		"a number with its digits":        {"a.b[2]", "1.50", true},
		"a number with other digits":      {"a.b[2]", "1.5", false},
		"a string as it stands":           {"a.b[1]", "two", true},
		"a string that matches":           {"a.b[1]", "~^t", true},
		"a number that matches":           {"a.b[2]", "~^1", true},
		"an array never matches":          {"a.b", "~1", false},
		"a string that begins as JSON":    {"day", "2026-03-01", true},
		"the number of elements":          {"a.b[]", "3", true},
		"an object whatever its spaces":   {"a", `{"b":[1,"two",1.50]}`, true},
		"null":                            {"none", "null", true},
		"another value than the one here": {"a.b[0]", "2", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			value, found, err := lookUp(text, c.path)
			if err != nil || !found {
				t.Fatalf("%s: found %v, %v", c.path, found, err)
			}
			if err := matches(value, c.want); (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
