package runs

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
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
}

// File is one file that decides the output.
type File struct {
	Name string `json:"name"`
	Sum  string `json:"sum"` // changes with its content: a hash, or a generation
}

// sourceFiles is the name of the part that Source adds.
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

// Source adds the files that the splits read. The plan holds them, so that only their
// hash is kept here.
func (d *Digest) Source(splits []pipeline.PlannedSplit) {
	h := sha256.New()
	last := ""
	for _, s := range splits {
		for _, p := range s.Pieces {
			if p.URI != last {
				field(h, p.URI)
				field(h, pin(p))
				last = p.URI
			}
		}
	}
	d.Parts = append(d.Parts, Part{Name: sourceFiles, Hash: hex.EncodeToString(h.Sum(nil))})
}

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

// differences says, a line each, in what plan b differs from plan a, which was there first.
func differences(a, b *Plan) []string {
	var out []string
	for _, p := range a.Digest.Parts {
		q, ok := b.Digest.part(p.Name)
		if !ok {
			out = append(out, p.Name+" has been taken away")
			continue
		}
		if p.Name == sourceFiles && p.Hash != q.Hash {
			p, q = Part{Name: p.Name, Files: a.files()}, Part{Name: p.Name, Files: b.files()}
			out = append(out, cmp.Or(difference(p, q), p.Name+" come in another order"))
			continue
		}
		if text := difference(p, q); text != "" {
			out = append(out, text)
		}
	}
	for _, q := range b.Digest.Parts {
		if _, ok := a.Digest.part(q.Name); !ok {
			out = append(out, q.Name+" has been added")
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

func difference(a, b Part) string {
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

// files are the objects that a plan reads.
func (p *Plan) files() []File {
	var out []File
	for _, s := range p.Splits {
		for _, piece := range s.Pieces {
			if len(out) == 0 || out[len(out)-1].Name != piece.URI {
				out = append(out, File{Name: piece.URI, Sum: pin(piece)})
			}
		}
	}
	return out
}

func pin(p pipeline.Piece) string { return fmt.Sprintf("%s/%d", p.Generation, p.Size) }

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
