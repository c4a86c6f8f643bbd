package configs

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/cpr-batch/cpr-batch/pyworker"
)

// kwargs writes the keyword arguments of predict as one JSON object. Numbers keep their
// own text wherever JSON has that form.
func (d *decoder) kwargs(n *node, path string) pyworker.Kwargs {
	if n.kind != kindMapping {
		d.wrong(n, path, "write names and values below it")
		return nil
	}
	for _, f := range n.fields {
		if f.name == "self" || f.name == "instances" {
			d.problems.add(Problem{File: f.at.file, Line: f.at.line, Column: f.at.column, Key: join(path, f.name),
				Message: "predict has an argument of that name already: take another one"})
		}
	}
	if len(n.fields) == 0 {
		return nil
	}
	before := len(d.problems.list)
	var b bytes.Buffer
	d.json(&b, n, path)
	if len(d.problems.list) > before || d.problems.full() {
		return nil
	}
	return b.Bytes()
}

func (d *decoder) json(b *bytes.Buffer, n *node, path string) {
	switch n.kind {
	case kindMapping:
		d.object(b, n, path)
	case kindList:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			d.json(b, item, path)
		}
		b.WriteByte(']')
	case kindNull:
		b.WriteString("null")
	case kindBool:
		b.WriteString(strings.ToLower(n.text))
	case kindInteger:
		b.WriteString(jsonInteger(n.text))
	case kindFloat:
		s := jsonFloat(n.text)
		if s == "" {
			d.fail(n, path, "JSON has no such number: write it as a text, or leave it out")
		}
		b.WriteString(s)
	case kindText:
		writeString(b, n.text)
	}
}

func (d *decoder) object(b *bytes.Buffer, n *node, path string) {
	b.WriteByte('{')
	for i, f := range n.fields {
		if f.kind != kindText {
			d.problems.add(Problem{File: f.at.file, Line: f.at.line, Column: f.at.column,
				Key: join(path, shorten(f.name)), Message: "a key of an object is text: write it in quotes"})
		}
		if i > 0 {
			b.WriteByte(',')
		}
		writeString(b, f.name)
		b.WriteByte(':')
		d.json(b, f.value, join(path, shorten(f.name)))
	}
	b.WriteByte('}')
}

// writeString writes s as JSON, nothing escaped that need not be.
func writeString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil { // a string always encodes
		panic(err)
	}
	b.Truncate(b.Len() - 1) // Encode ends its line
}

// jsonInteger writes an integer of YAML 1.2 as JSON does: every digit, no plus, no
// leading zeros, decimal.
func jsonInteger(s string) string {
	if json.Valid([]byte(s)) {
		return s
	}
	if i, ok := bigInt(s); ok {
		return i.String()
	}
	return s
}

// jsonFloat writes a float of YAML 1.2 as JSON does, every digit kept: .5 is 0.5 there,
// 1. is 1.0. It is "" for infinity and NaN.
func jsonFloat(s string) string {
	if json.Valid([]byte(s)) {
		return s
	}
	sign := ""
	s = strings.TrimPrefix(s, "+")
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		sign, s = "-", rest
	}
	exponent := ""
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		s, exponent = s[:i], s[i:]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction == "" {
		fraction = "0"
	}
	if out := sign + whole + "." + fraction + exponent; json.Valid([]byte(out)) {
		return out
	}
	return ""
}
