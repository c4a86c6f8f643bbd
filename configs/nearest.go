package configs

import (
	"iter"
	"reflect"
	"strings"
)

// keyPaths lists the paths of all keys of a job file, sections included.
func keyPaths() []string { return appendPaths(nil, reflect.TypeFor[Job](), "") }

func appendPaths(paths []string, t reflect.Type, prefix string) []string {
	for f := range keyFields(t) {
		path := join(prefix, f.Tag.Get("yaml"))
		paths = append(paths, path)
		if section := sectionType(f.Type); section != nil {
			paths = appendPaths(paths, section, path)
		}
	}
	return paths
}

// keyFields yields the fields of a section that are keys of the job file.
func keyFields(t reflect.Type) iter.Seq[reflect.StructField] {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			f := t.Field(i)
			if tag := f.Tag.Get("yaml"); tag == "" || tag == "-" {
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

// sectionType is the struct type of a section, or nil for a value.
func sectionType(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || hasOwnForm(t) {
		return nil
	}
	return t
}

// suggestion is what an unknown key may have been meant to be, most likely first.
// section is the path of the section it stands in.
func suggestion(paths []string, section, key string) []string {
	var here, elsewhere, everywhere []string
	for _, p := range paths {
		parent, name := split(p)
		switch {
		case parent == section:
			here = append(here, p)
		case name == key:
			elsewhere = append(elsewhere, p)
		}
		everywhere = append(everywhere, p)
	}
	if p := nearest(here, key); p != "" {
		return []string{p}
	}
	if len(elsewhere) > 0 {
		return elsewhere
	}
	if p := nearest(everywhere, key); p != "" {
		return []string{p}
	}
	return nil
}

// nearest is the candidate whose last element is most like word, or "".
func nearest(candidates []string, word string) string {
	limit := min(3, max(1, len(word)/3))
	best, bestDistance := "", limit+1
	word = plainWord(word)
	for _, c := range candidates {
		_, name := split(c)
		if d := distance(word, plainWord(name), limit); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// plainWord makes package-uris, packageUris and package_uris one word.
func plainWord(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}

// distance counts the insertions, deletions, replacements and swaps of neighbours between
// a and b; above limit it only says limit+1.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit+1)
}

// join appends a key to the path of its section.
func join(section, key string) string {
	if section == "" || key == "" {
		return section + key
	}
	return section + "." + key
}

// split takes the last key off a path.
func split(path string) (section, key string) {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}
