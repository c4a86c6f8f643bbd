package configs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxSize bounds a job file.
const maxSize = 1 << 20

// parse reads one YAML document. It is nil where the text is no YAML; whatever is wrong is
// added to p.
func parse(data []byte, file string, p *problems) *node {
	b := &builder{file: file, problems: p, open: make(map[*yaml.Node]bool), budget: aliasBudget}
	if len(data) > maxSize {
		p.add(Problem{File: file, Message: "is larger than 1 MiB"})
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if utf8.Valid(data) && json.Valid(data) {
		data = yamlEscapes(data)
	}
	if at, message := badCharacter(data); message != "" {
		at.file = file
		b.fail(at, "", "", message)
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(hideVersion(data)))
	if err != nil {
		p.add(Problem{File: file, Message: err.Error()})
		return nil
	}
	var doc, more yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return &node{at: place{file, 1, 1}}
	case err != nil:
		b.syntax(err, data)
		return nil
	}
	switch err := loader.Load(&more); {
	case err == nil:
		b.fail(b.place(&more), "", "", "a second document begins here: one file is one job")
		return nil
	case !errors.Is(err, io.EOF):
		b.syntax(err, data)
		return nil
	}
	if len(doc.Content) == 0 {
		return &node{at: place{file, 1, 1}}
	}
	return b.build(doc.Content[0], "")
}

// hideVersion makes a comment of the directive %YAML 1.2, which the parser refuses although
// it is what it reads.
func hideVersion(data []byte) []byte {
	at := 0
	for line := range bytes.Lines(data) {
		trimmed := bytes.TrimSpace(line)
		switch {
		case bytes.HasPrefix(line, []byte("%YAML 1.")):
			out := bytes.Clone(data)
			out[at] = '#'
			return out
		case len(trimmed) > 0 && trimmed[0] != '#' && trimmed[0] != '%':
			return data
		}
		at += len(line)
	}
	return data
}

// syntax tells what the YAML parser refuses.
func (b *builder) syntax(err error, data []byte) {
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		b.fail(place{file: b.file}, "", "", err.Error())
		return
	}
	at := place{b.file, e.Mark.Line, e.Mark.Column}
	message := "no YAML: " + e.Message
	if e.ContextMsg != "" {
		message += ", " + e.ContextMsg
		if c := e.ContextMark; c.Line > 0 && c.Line != e.Mark.Line {
			message += fmt.Sprintf(" that begins on line %d", c.Line)
		}
	}
	switch line := lineOf(data, e.Mark.Line); {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		message += "; indent with spaces, not with tabs"
	case e.Mark.Column >= 1 && e.Mark.Column <= len(line) && line[e.Mark.Column-1] == '*':
		message += "; a text that begins with * needs quotes"
	case strings.Contains(line, "${"):
		message += "; inside [] and {} a value with ${…} needs quotes"
	}
	b.fail(at, "", "", message)
}

func lineOf(data []byte, number int) string {
	for line := range bytes.Lines(data) {
		if number--; number == 0 {
			return string(line)
		}
	}
	return ""
}

// badCharacter finds the first character that no YAML file may have.
func badCharacter(data []byte) (place, string) {
	at := place{line: 1, column: 1}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return at, fmt.Sprintf("byte 0x%02x is no UTF-8: a job file is UTF-8", data[i])
		case r == '\n':
			at.line++
			at.column = 0
		case r == '\t' || r == '\r':
		case isNoYAML(r):
			return at, fmt.Sprintf("the character %U is not allowed: write it as an escape in double quotes", r)
		}
		at.column++
		i += size
	}
	return place{}, ""
}

// isNoYAML says whether a YAML file may not have r as it is.
func isNoYAML(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 && r != 0x85 || r == 0xfeff || r == 0xfffe || r == 0xffff
}

// yamlEscapes writes what only JSON has in its strings as YAML has it: pairs of escaped
// surrogates, and characters that YAML refuses or takes for the end of a line.
func yamlEscapes(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); {
		if data[i] != '\\' {
			r, size := utf8.DecodeRune(data[i:])
			switch {
			case r > ' ' && isNoYAML(r), r == 0x85, r == 0x2028, r == 0x2029:
				out = fmt.Appendf(out, `\u%04x`, r)
			default:
				out = append(out, data[i:i+size]...)
			}
			i += size
			continue
		}
		if r := escapedPair(data[i:]); r > 0 {
			out = fmt.Appendf(out, `\U%08X`, r)
			i += len(`\ud83d\ude00`)
			continue
		}
		out = append(out, data[i:i+2]...)
		i += 2
	}
	return out
}

// escapedPair is the character that data begins with as two escaped surrogates, or 0.
func escapedPair(data []byte) rune {
	if len(data) < 12 || data[1] != 'u' || data[6] != '\\' || data[7] != 'u' {
		return 0
	}
	high, err1 := strconv.ParseUint(string(data[2:6]), 16, 16)
	low, err2 := strconv.ParseUint(string(data[8:12]), 16, 16)
	if err1 != nil || err2 != nil {
		return 0
	}
	if r := utf16.DecodeRune(rune(high), rune(low)); r != utf8.RuneError {
		return r
	}
	return 0
}
