package configs

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// allSections is Default with every source and sink that there is.
func allSections() *Job {
	job := Default()
	for _, section := range []reflect.Value{reflect.ValueOf(&job.Source).Elem(), reflect.ValueOf(&job.Sink).Elem()} {
		for i := range section.NumField() {
			section.Field(i).Set(newSection(section.Field(i).Type().Elem()))
		}
	}
	return job
}

func TestTheReferenceHasEveryKeyWithItsDefault(t *testing.T) {
	t.Parallel()
	var p problems
	root := parse([]byte(Reference), "reference.yaml", &p)
	d := &decoder{problems: &p, rules: rules(), paths: keyPaths(), index: make(index), meant: make(map[string]bool)}
	job := &Job{}
	d.section(root, reflect.ValueOf(job).Elem(), "")
	for _, q := range p.list {
		t.Error(q)
	}
	if diff := cmp.Diff(allSections(), job, cmpopts.IgnoreUnexported(Job{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("defaults (-struct +reference):\n%s", diff)
	}

	var has []string
	var walk func(n *node, path string)
	walk = func(n *node, path string) {
		for _, f := range n.fields {
			has = append(has, join(path, f.name))
			walk(f.value, join(path, f.name))
		}
	}
	walk(root, "")
	if diff := cmp.Diff(keyPaths(), has); diff != "" {
		t.Errorf("keys (-struct +reference):\n%s", diff)
	}
}

func TestTheReferenceExplainsEveryKey(t *testing.T) {
	t.Parallel()
	descriptions, _, err := referenceKeys()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range keyPaths() {
		if s := descriptions[path]; s == "" || !strings.HasSuffix(s, ".") {
			t.Errorf("%s: description %q", path, s)
		}
		r := rules()[path]
		for _, word := range r.enum {
			if !strings.Contains(descriptions[path], word) {
				t.Errorf("%s: description %q does not name %s", path, descriptions[path], word)
			}
		}
	}
}

func TestRulesAreOfKeys(t *testing.T) {
	t.Parallel()
	paths := keyPaths()
	for path := range rules() {
		if !slices.Contains(paths, strings.TrimSuffix(path, "[]")) {
			t.Errorf("rule for %s, which is no key", path)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b  string
		limit int
		want  int
	}{
		{"count", "cuont", 3, 1}, {"", "abc", 3, 3}, {"abc", "", 3, 3}, {"kitten", "sitting", 3, 3},
		{"a", "a", 1, 0}, {"abc", "abcdefgh", 3, 4}, {"abcd", "wxyz", 2, 3}, {"uris", "uri", 1, 1},
	} {
		if got := distance(test.a, test.b, test.limit); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestPathsComeFromTheStruct(t *testing.T) {
	t.Parallel()
	paths := keyPaths()
	for _, want := range []string{"model", "model.kwargs", "source.jsonl.uris", "sink.jsonl.window.max_age", "output.instance", "python.requirements", "metrics.listen"} {
		if !slices.Contains(paths, want) {
			t.Errorf("no path %s", want)
		}
	}
	for _, no := range []string{"python.requirements.file", "output.instance.none", "path", "dir"} {
		if slices.Contains(paths, no) {
			t.Errorf("path %s", no)
		}
	}
}
