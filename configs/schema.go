package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
	"go.yaml.in/yaml/v4"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker"
)

// Schema is the JSON Schema (draft 2020-12) of the job file. Wherever a value is no text,
// it also accepts a text with ${NAME}, and an empty value, which is an absent one.
func Schema() ([]byte, error) {
	reflector := jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, ExpandedStruct: true,
		FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, Mapper: formSchema,
	}
	root := reflector.Reflect(&Job{})
	root.Title = "cpr-batch job file"
	descriptions, defaults, err := referenceKeys()
	if err != nil {
		return nil, err
	}
	w := schemaWriter{rules: rules(), descriptions: descriptions, defaults: defaults}
	w.section(root, "")
	root.Required = []string{"model", "source", "sink"}
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	return append(out, '\n'), nil
}

const (
	replacedPattern = `\$\{`
	durationPattern = `^[0-9.]+(ns|us|µs|ms|s|m|h)([0-9.]+(ns|us|µs|ms|s|m|h))*$`
)

// formSchema is the schema of the types that are written in a form of their own.
func formSchema(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: durationPattern}
	case reflect.TypeFor[pipeline.Bytes]():
		return anyOf(&jsonschema.Schema{Type: "integer", Minimum: "1"},
			&jsonschema.Schema{Type: "string", Pattern: sizePattern.String()})
	case reflect.TypeFor[pipeline.Count]():
		return anyOf(&jsonschema.Schema{Type: "integer", Minimum: "1"}, &jsonschema.Schema{Const: "auto"})
	case reflect.TypeFor[pipeline.Echo]():
		return anyOf(&jsonschema.Schema{Type: "string", Enum: toAny([]string{"full", "none"})}, texts(1))
	case reflect.TypeFor[pyworker.Requirements]():
		return anyOf(&jsonschema.Schema{Type: "string"}, texts(0))
	case reflect.TypeFor[pyworker.Kwargs]():
		return &jsonschema.Schema{Type: "object",
			PropertyNames: &jsonschema.Schema{Not: &jsonschema.Schema{Enum: toAny([]string{"self", "instances"})}}}
	}
	return nil
}

func anyOf(forms ...*jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{AnyOf: forms} }

// texts is a list of at least so many texts.
func texts(least uint64) *jsonschema.Schema {
	one := uint64(1)
	s := &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "string", MinLength: &one}}
	if least > 0 {
		s.MinItems = &least
	}
	return s
}

// schemaWriter puts what the rules and the reference say into a schema of bare types.
type schemaWriter struct {
	rules        map[string]rule
	descriptions map[string]string
	defaults     map[string]json.RawMessage
}

func (w *schemaWriter) section(s *jsonschema.Schema, path string) {
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		at := join(path, pair.Key)
		if w.rules[at].required {
			s.Required = append(s.Required, pair.Key)
		}
		pair.Value = w.key(pair.Value, at)
	}
	if path == "source" || path == "sink" {
		s.OneOf = exactlyOne(s)
	}
}

// key is the schema of one key: a section, or a value.
func (w *schemaWriter) key(s *jsonschema.Schema, path string) *jsonschema.Schema {
	required := w.rules[path].required
	var forms []*jsonschema.Schema
	switch {
	case s.Properties != nil && s.Properties.Len() > 0:
		w.section(s, path)
		forms = []*jsonschema.Schema{s}
		required = path == "model" || path == "source" || path == "sink"
	default:
		forms = w.forms(s, path, required)
	}
	if !required {
		forms = append(forms, &jsonschema.Schema{Type: "null"})
	}
	out := forms[0]
	if len(forms) > 1 {
		out = anyOf(forms...)
	}
	out.Description = w.descriptions[path]
	if d := w.defaults[path]; d != nil && !w.rules[path].required {
		out.Default = d
	}
	return out
}

// forms lists the ways to write one value.
func (w *schemaWriter) forms(s *jsonschema.Schema, path string, required bool) []*jsonschema.Schema {
	r := w.rules[path]
	if len(s.AnyOf) > 0 {
		return append(s.AnyOf, replaced())
	}
	switch s.Type {
	case "integer", "number":
		s.Minimum, s.Maximum, s.ExclusiveMinimum = limit(r.min), limit(r.max), limit(r.above)
		return []*jsonschema.Schema{s, replaced()}
	case "array":
		least := uint64(0)
		if required {
			least = 1
		}
		list := texts(least)
		if items := w.rules[path+"[]"]; items.enum != nil {
			list.Items = anyOf(&jsonschema.Schema{Enum: toAny(items.enum)}, &jsonschema.Schema{Type: "string", Pattern: replacedPattern})
		}
		return []*jsonschema.Schema{list}
	case "object":
		if s.PropertyNames == nil { // python.env and its like: names and texts, numbers as they are written
			s.AdditionalProperties = anyOf(&jsonschema.Schema{Type: "string"},
				&jsonschema.Schema{Type: "number"}, &jsonschema.Schema{Type: "null"})
		}
		return []*jsonschema.Schema{s}
	case "boolean":
		return []*jsonschema.Schema{s, replaced()}
	}
	switch {
	case r.enum != nil:
		return []*jsonschema.Schema{{Enum: toAny(r.enum)}, replaced()}
	case s.Pattern != "":
		return []*jsonschema.Schema{s, replaced()}
	case required:
		one := uint64(1)
		s.MinLength = &one
	}
	return []*jsonschema.Schema{s}
}

// replaced is a text that stands for another value: with ${NAME}, or empty.
func replaced() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^$|" + replacedPattern}
}

// exactlyOne says that one key of a section is there, and is not empty.
func exactlyOne(s *jsonschema.Schema) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		one := jsonschema.NewProperties()
		one.Set(pair.Key, &jsonschema.Schema{Type: "object"})
		out = append(out, &jsonschema.Schema{Required: []string{pair.Key}, Properties: one})
	}
	return out
}

func limit(f *float64) json.Number {
	if f == nil {
		return ""
	}
	return json.Number(strconv.FormatFloat(*f, 'f', -1, 64))
}

func toAny(s []string) []any {
	out := make([]any, len(s))
	for i := range s {
		out[i] = s[i]
	}
	return out
}

// referenceKeys reads every key's comment and value from the reference file.
func referenceKeys() (descriptions map[string]string, defaults map[string]json.RawMessage, err error) {
	var doc yaml.Node
	if err := yaml.Load([]byte(Reference), &doc); err != nil {
		return nil, nil, fmt.Errorf("read reference: %w", err)
	}
	descriptions, defaults = make(map[string]string), make(map[string]json.RawMessage)
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			at := join(path, key.Value)
			descriptions[at] = comment(key.HeadComment)
			if value.Kind == yaml.MappingNode && len(value.Content) > 0 {
				walk(value, at)
				continue
			}
			defaults[at] = defaultJSON(value)
		}
	}
	walk(doc.Content[0], "")
	return descriptions, defaults, nil
}

// comment is the text of a comment without its signs.
func comment(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.Join(lines, " ")
}

// defaultJSON writes a value of the reference file as JSON.
func defaultJSON(y *yaml.Node) json.RawMessage {
	var p problems
	b := builder{problems: &p, open: make(map[*yaml.Node]bool), budget: aliasBudget}
	d := decoder{problems: &p}
	var out bytes.Buffer
	d.json(&out, b.build(y, ""), "")
	return out.Bytes()
}
