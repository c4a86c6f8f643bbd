package objects_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

var fuzzedTree = []string{
	"a", "a.jsonl", "ab/c", "b.jsonl", "[x].jsonl", "c#1?.jsonl", "d*e", "é.jsonl", "in/_x/a", "in/.y", "in/2026/01/x.jsonl", "in/2026/02/y.jsonl", "in/top.jsonl",
	"in.d/z", "la\xe9", "{a,b}", "st*r/s", `back\slash/b`, "z/**/z", "z/z/z/z",
}

// FuzzMatch holds Match to a slow matcher, and a store that spares itself folders to one
// that lists all.
func FuzzMatch(f *testing.F) {
	root := f.TempDir()
	for _, name := range fuzzedTree {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o777); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o666); err != nil {
			f.Fatal(err)
		}
	}
	for _, uri := range []string{"in/**/*.jsonl", "{a,in/20*/0[1-9]/x}.jsonl", `st\*r/?`, "[!a]*", "z/**", `a\b`, `in\.d/z`, "./in//t*", "{[a,b]*}", "in", "{*,}*"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if strings.HasPrefix(uri, "/") || strings.HasPrefix(uri, "gs:") || strings.Contains(strings.ReplaceAll(uri, `\`, ""), "..") || len(uri) > 200 || uri == "" {
			return // it would leave the tree
		}
		if !utf8.ValidString(uri) || strings.ContainsRune(uri, utf8.RuneError) {
			return // job files are UTF-8
		}
		found, err := objects.Match(t.Context(), objects.NewLocal(), root, uri)
		all, allErr := objects.Match(t.Context(), plain{objects.NewLocal()}, root, uri)
		if diff := cmp.Diff(all, found); diff != "" || (err == nil) != (allErr == nil) {
			t.Fatalf("%q: with all listed %v, else %v: %s", uri, allErr, err, diff)
		}
		if err != nil && !errors.Is(err, objects.ErrPattern) && !strings.Contains(uri, "\x00") {
			t.Fatalf("%q: %v", uri, err)
		}
		var got []string
		for _, one := range found {
			rel := strings.TrimPrefix(one.Object.Name, root+"/")
			got = append(got, rel)
			if !slices.Contains(fuzzedTree, rel) {
				t.Errorf("%q found %q", uri, one.Object.Name)
			}
			if joined := objects.Join(root, one.URI); joined != one.Object.Name {
				t.Errorf("%q: %q is called %q", uri, one.Object.Name, one.URI)
			}
		}
		if !slices.IsSorted(got) {
			t.Errorf("%q: not sorted: %q", uri, got)
		}
		if want, known := slowMatches(uri); known && err == nil {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q: %s", uri, diff)
			}
		}
	})
}

// slowMatches returns what a URI stands for in fuzzedTree, where that is plain to see.
func slowMatches(uri string) (found []string, known bool) {
	for part := range strings.SplitSeq(uri, "/") {
		if part == "" || part == "." {
			return nil, false
		}
	}
	if slices.Contains(fuzzedTree, uri) {
		return []string{uri}, true
	}
	patterns, known := unbraced(uri)
	if strings.Contains(uri, "{") && slices.ContainsFunc(patterns, func(p string) bool { return strings.Contains(p, "**") }) {
		return nil, false // what two stars are that braces bring together is the library's own matter
	}
	for _, name := range slices.Sorted(slices.Values(fuzzedTree)) {
		if below, ok := strings.CutPrefix(name, uri+"/"); ok && !strings.Contains("/"+below, "/_") && !strings.Contains("/"+below, "/.") {
			found = append(found, name)
		}
	}
	if len(found) > 0 || !known {
		return found, known
	}
	for _, name := range slices.Sorted(slices.Values(fuzzedTree)) {
		for _, p := range patterns {
			// Whether ** may be no folder at all behind a file is a matter of taste.
			if stem, ok := strings.CutSuffix(p, "/**"); ok && matchesParts(strings.Split(stem, "/"), strings.Split(name, "/")) {
				return nil, false
			}
		}
		if slices.ContainsFunc(patterns, func(p string) bool { return matchesParts(strings.Split(p, "/"), strings.Split(name, "/")) }) {
			found = append(found, name)
		}
	}
	return found, true
}

// unbraced writes a pattern as all those that its braces stand for. What is said twice, or
// in a way that few know, is not known.
func unbraced(p string) ([]string, bool) {
	if strings.ContainsAny(p, `\`) || strings.Contains(p, "***") {
		return nil, false
	}
	open := strings.IndexByte(p, '{')
	if open < 0 {
		ok := !strings.Contains(p, "}") && classesAreSimple(p)
		return []string{p}, ok
	}
	inside, after, closed := strings.Cut(p[open+1:], "}")
	if !closed || strings.ContainsAny(inside, "{[]*/") || strings.ContainsAny(p[:open], "[]") || inside == "" {
		return nil, false
	}
	var all []string
	for choice := range strings.SplitSeq(inside, ",") {
		rest, ok := unbraced(p[:open] + choice + after)
		if !ok {
			return nil, false
		}
		all = append(all, rest...)
	}
	return all, true
}

// classesAreSimple is true where each [ has its ] and there are single characters and
// ranges between.
func classesAreSimple(p string) bool {
	for {
		before, rest, opened := strings.Cut(p, "[")
		if strings.Contains(before, "]") {
			return false
		}
		if !opened {
			return true
		}
		class, after, closed := strings.Cut(rest, "]")
		class = strings.TrimLeft(class, "^!")
		if !closed || class == "" || len(rest)-len(after)-1-len(class) > 1 || strings.ContainsAny(class, "[/^!") {
			return false
		}
		for i, c := range class {
			if c == '-' && (i == 0 || i == len(class)-1 || class[i-1] > class[i+1] || i%3 != 1) || c >= utf8.RuneSelf {
				return false
			}
		}
		p = after
	}
}

// matchesParts matches folder by folder; ** is any number of them.
func matchesParts(pattern, name []string) bool {
	switch {
	case len(pattern) == 0:
		return len(name) == 0
	case pattern[0] == "**":
		return matchesParts(pattern[1:], name) || len(name) > 0 && matchesParts(pattern, name[1:])
	}
	return len(name) > 0 && matchesPart(pattern[0], name[0]) && matchesParts(pattern[1:], name[1:])
}

// matchesPart matches between two slashes.
func matchesPart(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	r, size := utf8.DecodeRuneInString(name)
	switch pattern[0] {
	case '*':
		return matchesPart(pattern[1:], name) || name != "" && matchesPart(pattern, name[size:])
	case '?':
		return name != "" && matchesPart(pattern[1:], name[size:])
	case '[':
		class, after, _ := strings.Cut(pattern[1:], "]")
		bare := strings.TrimLeft(class, "^!")
		return name != "" && inClass(bare, r) == (bare == class) && matchesPart(after, name[size:])
	}
	return name != "" && name[0] == pattern[0] && matchesPart(pattern[1:], name[1:])
}

func inClass(class string, r rune) bool {
	for i := 0; i < len(class); i++ {
		if i+2 < len(class) && class[i+1] == '-' {
			if rune(class[i]) <= r && r <= rune(class[i+2]) {
				return true
			}
			i += 2
		} else if rune(class[i]) == r {
			return true
		}
	}
	return false
}
