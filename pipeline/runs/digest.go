package runs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Digest is what decides a run's output, part by part, so that a difference can be named.
// The order of its parts is the order in which they were added.
type Digest struct {
	Parts []Part `json:"parts"`
}

// Part is one named thing that decides the output. One of Text, Hash and Files is set.
type Part struct {
	Name  string `json:"name"`
	Text  string `json:"text,omitempty"`  // shown where it differs
	Hash  string `json:"hash,omitempty"`  // of what may be a secret, or is long
	Files []File `json:"files,omitempty"` // in the order of their names
	// Replaceable marks what may be another one when a run is carried on and the user says
	// so: the model, its environment.
	Replaceable bool `json:"replaceable,omitempty"`
}

// File is one file that decides the output.
type File struct {
	Name string `json:"name"`
	Sum  string `json:"sum"` // changes with its content: a hash, or a generation
}

// sourceFiles is the name of the part that stands for the files that are read.
const sourceFiles = "source files"

// Show adds a part whose value may be told.
func (d *Digest) Show(name, value string) {
	d.Parts = append(d.Parts, Part{Name: name, Text: value})
}

// Hide adds a part of which only a hash is kept.
func (d *Digest) Hide(name, value string) {
	d.Parts = append(d.Parts, Part{Name: name, Hash: sum(name, value)})
}

// Add adds a part of files, which it sorts by name.
func (d *Digest) Add(name string, files []File) {
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	d.Parts = append(d.Parts, Part{Name: name, Files: files})
}

// reading is d with the files that a run reads: the plan holds them, so that only a hash of
// their names is kept here. That a file has changed is seen when it is read.
func (d Digest) reading(files string) Digest {
	parts := slices.DeleteFunc(slices.Clone(d.Parts), func(p Part) bool { return p.Name == sourceFiles })
	return Digest{Parts: append(parts, Part{Name: sourceFiles, Hash: files})}
}

// Replaceable marks the part that was added last.
func (d *Digest) Replaceable() { d.Parts[len(d.Parts)-1].Replaceable = true }

// Sum is one hash of all parts, in hexadecimal.
func (d Digest) Sum() string {
	h := sha256.New()
	for _, p := range d.Parts {
		for _, s := range []string{p.Name, p.Text, p.Hash} {
			field(h, s)
		}
		fmt.Fprintf(h, "%d ", len(p.Files))
		for _, f := range p.Files {
			field(h, f.Name)
			field(h, f.Sum)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// difference is one part of the digest in which two jobs differ.
type difference struct {
	part Part   // its name and kind
	text string // what is told of it
}

// differences says in what digest b differs from digest a, which was there first; files
// that are read are left out.
func differences(a, b Digest) []difference {
	var out []difference
	for _, p := range a.Parts {
		if p.Name == sourceFiles {
			continue
		}
		q, ok := b.part(p.Name)
		if !ok {
			out = append(out, difference{p, p.Name + " has been taken away"})
			continue
		}
		if text := differing(p, q); text != "" {
			out = append(out, difference{q, text})
		}
	}
	for _, q := range b.Parts {
		if _, ok := a.part(q.Name); !ok && q.Name != sourceFiles {
			out = append(out, difference{q, q.Name + " has been added"})
		}
	}
	return out
}

func (d Digest) part(name string) (Part, bool) {
	i := slices.IndexFunc(d.Parts, func(p Part) bool { return p.Name == name })
	if i < 0 {
		return Part{}, false
	}
	return d.Parts[i], true
}

func differing(a, b Part) string {
	switch {
	case a.Text != b.Text:
		return fmt.Sprintf("%s was %s, is %s", a.Name, shown(a.Text), shown(b.Text))
	case a.Hash != b.Hash:
		return a.Name + " differ"
	}
	return fileDifference(a.Name, a.Files, b.Files)
}

func fileDifference(name string, a, b []File) string {
	old := make(map[string]string, len(a))
	for _, f := range a {
		old[f.Name] = f.Sum
	}
	var added, changed, gone change
	for _, f := range b {
		was, ok := old[f.Name]
		switch {
		case !ok:
			added.note(f.Name)
		case was != f.Sum:
			changed.note(f.Name)
		}
		delete(old, f.Name)
	}
	for _, f := range a {
		if _, ok := old[f.Name]; ok {
			gone.note(f.Name)
		}
	}
	var texts []string
	for _, c := range []struct {
		change
		verb string
	}{{added, "added"}, {changed, "changed"}, {gone, "gone"}} {
		if c.count > 0 {
			texts = append(texts, fmt.Sprintf("%d %s (%s)", c.count, c.verb, c.examples()))
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return name + ": " + strings.Join(texts, ", ")
}

// change counts files and keeps the first names.
type change struct {
	count int
	names []string
}

func (c *change) note(name string) {
	c.count++
	if len(c.names) < 3 {
		c.names = append(c.names, name)
	}
}

func (c *change) examples() string {
	s := strings.Join(c.names, ", ")
	if c.count > len(c.names) {
		s += ", …"
	}
	return s
}

func sum(name, value string) string {
	h := sha256.New()
	field(h, name)
	field(h, value)
	return hex.EncodeToString(h.Sum(nil))
}

// field writes s so that no two lists of fields give the same bytes.
func field(w io.Writer, s string) { fmt.Fprintf(w, "%d:%s", len(s), s) }

func shown(s string) string {
	if s == "" {
		return "empty"
	}
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}
