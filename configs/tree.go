package configs

import (
	"fmt"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v4"
)

// kind is what a value of the job file is, by the core schema of YAML 1.2: there `yes` and
// dates are text, and 010 is ten.
type kind int

const (
	kindNull kind = iota
	kindBool
	kindInteger
	kindFloat
	kindText
	kindList
	kindMapping
)

func (k kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "a number", "text", "a list", "a mapping"}[k]
}

// place is where something stands.
type place struct {
	file         string
	line, column int
}

// node is one value of a job file, its aliases and merge keys resolved.
type node struct {
	kind   kind
	text   string // of a scalar, after replacement
	raw    string // of a scalar, as written
	plain  bool   // not in quotes
	at     place
	key    place // of the key in front of it
	items  []*node
	fields []field
	// substituted says that text is not only the file's own.
	substituted bool
	// broken says that a problem with the value is told already.
	broken bool
}

// field is one key of a mapping with its value.
type field struct {
	name  string
	at    place
	kind  kind // of the key
	value *node
}

// get is the value of a key, or nil.
func (n *node) get(name string) *node {
	for i := range n.fields {
		if n.fields[i].name == name {
			return n.fields[i].value
		}
	}
	return nil
}

// empty says whether a value counts as absent.
func (n *node) empty() bool {
	return n.kind == kindNull || n.kind == kindText && n.text == ""
}

// show is the value for an error: what was written, not what it was replaced by.
func (n *node) show() string {
	switch n.kind {
	case kindList, kindMapping:
		return n.kind.String()
	case kindNull:
		return n.raw
	}
	if n.plain && n.kind != kindText && !n.substituted {
		return shorten(n.raw)
	}
	return quote(n.raw)
}

// aliasBudget bounds what aliases may repeat: characters, and so many more for each value.
const (
	aliasBudget   = maxSize
	aliasNodeCost = 16
)

// builder makes nodes of what the YAML parser gives.
type builder struct {
	file     string
	problems *problems
	open     map[*yaml.Node]bool // aliases being followed
	budget   int
	overrun  bool
}

func (b *builder) place(n *yaml.Node) place { return place{b.file, n.Line, n.Column} }

func (b *builder) fail(at place, path, value, message string) {
	b.problems.add(Problem{File: at.file, Line: at.line, Column: at.column, Key: path, Value: value, Message: message})
}

// build makes the node of y, which stands at path.
func (b *builder) build(y *yaml.Node, path string) *node {
	if y.Kind == yaml.AliasNode {
		return b.alias(y, path)
	}
	n := &node{at: b.place(y)}
	if len(b.open) > 0 {
		b.budget -= aliasNodeCost + len(y.Value)
		if b.budget < 0 {
			if !b.overrun {
				b.fail(n.at, path, "", "aliases repeat too much: more than 1 MiB of values")
			}
			b.overrun = true
			n.broken = true
			return n
		}
	}
	switch y.Kind {
	case yaml.SequenceNode:
		n.kind = kindList
		b.checkTag(y, n, path, "!!seq")
		for i, item := range y.Content {
			n.items = append(n.items, b.build(item, fmt.Sprintf("%s[%d]", path, i)))
		}
	case yaml.MappingNode:
		n.kind = kindMapping
		b.checkTag(y, n, path, "!!map")
		b.mapping(y, n, path)
	default:
		b.scalar(y, n, path)
	}
	return n
}

func (b *builder) alias(y *yaml.Node, path string) *node {
	if b.open[y.Alias] || b.overrun {
		if !b.overrun {
			b.fail(b.place(y), path, "*"+y.Value, "an alias inside its own anchor has no end")
		}
		return &node{at: b.place(y), broken: true}
	}
	b.open[y.Alias] = true
	defer delete(b.open, y.Alias)
	return b.build(y.Alias, path)
}

func (b *builder) mapping(y *yaml.Node, n *node, path string) {
	var merges []*yaml.Node
	first := make(map[string]place, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		at := b.place(key)
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		name := join(path, shorten(key.Value))
		switch {
		case key.Kind != yaml.ScalarNode:
			b.fail(at, path, "", "a key must be text")
			continue
		case key.Tag == "!!merge":
			merges = append(merges, value)
			continue
		}
		if was, ok := first[key.Value]; ok {
			b.fail(at, name, "", fmt.Sprintf("the key is there twice, first on line %d", was.line))
			continue
		}
		first[key.Value] = at
		var k node
		b.scalar(key, &k, name)
		child := b.build(value, name)
		child.key = at
		n.fields = append(n.fields, field{name: key.Value, at: at, kind: k.kind, value: child})
	}
	for _, m := range merges {
		b.merge(m, n, first, path)
	}
}

// merge adds the fields of y, a mapping or a list of mappings, that n does not have yet.
func (b *builder) merge(y *yaml.Node, n *node, first map[string]place, path string) {
	from := b.build(y, path)
	if from.broken {
		return
	}
	parts := []*node{from}
	if from.kind == kindList {
		parts = from.items
	}
	for _, part := range parts {
		if part.kind != kindMapping {
			if !part.broken {
				b.fail(b.place(y), join(path, "<<"), part.show(), "write a mapping, or a list of mappings")
			}
			continue
		}
		for _, f := range part.fields {
			if _, ok := first[f.name]; !ok {
				first[f.name] = f.at
				n.fields = append(n.fields, f)
			}
		}
	}
}

// checkTag refuses an explicit tag on a list or mapping that is not its own.
func (b *builder) checkTag(y *yaml.Node, n *node, path, own string) {
	if y.Tag != own && y.Tag != "!" {
		b.failTag(y, n, path)
	}
}

func (b *builder) failTag(y *yaml.Node, n *node, path string) {
	n.broken = true
	b.fail(b.place(y), path, shownTag(y.Tag), "no such type in a job file: leave the tag out")
}

// shownTag is a tag as it is, but for what a line can not hold: %0A in it is a line feed.
func shownTag(tag string) string {
	if q := quote(tag); q != `"`+tag+`"` {
		return q
	}
	return tag
}

func (b *builder) scalar(y *yaml.Node, n *node, path string) {
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	n.text, n.raw, n.plain = y.Value, y.Value, y.Style&quoted == 0
	tagged := y.Style&yaml.TaggedStyle != 0
	switch {
	case y.Tag == "!" || !tagged && !n.plain:
		n.kind = kindText
		return
	case !tagged:
		n.kind = scalarKind(y.Value)
		return
	}
	want := map[string][]kind{
		"!!str": {kindText}, "!!timestamp": {kindText}, "!!int": {kindInteger}, "!!float": {kindFloat, kindInteger},
		"!!bool": {kindBool}, "!!null": {kindNull},
	}[y.Tag]
	switch got := scalarKind(y.Value); {
	case want == nil:
		b.failTag(y, n, path)
	case want[0] == kindText:
		n.kind = kindText
	case slices.Contains(want, got):
		n.kind = want[0]
	default:
		n.broken = true
		b.fail(b.place(y), path, quote(y.Value), "is not of the type that its tag "+y.Tag+" says")
	}
}

var (
	integerPattern = regexp.MustCompile(`^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$`)
	floatPattern   = regexp.MustCompile(`^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
)

// scalarKind tells what a scalar without quotes is (YAML 1.2, chapter 10.3.2).
func scalarKind(s string) kind {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return kindNull
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return kindBool
	}
	switch {
	case integerPattern.MatchString(s):
		return kindInteger
	case floatPattern.MatchString(s):
		return kindFloat
	}
	return kindText
}
