package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker"
)

// index finds what the job file has for a key.
type index map[string]*node

// decoder fills a Job from the nodes of a job file, and tells every problem on the way.
type decoder struct {
	problems *problems
	rules    map[string]rule
	paths    []string        // of all keys
	index    index           // of the keys that are there and not empty
	meant    map[string]bool // keys that an unknown key was probably meant to be
}

func (d *decoder) fail(n *node, path, message string) {
	d.problems.add(Problem{File: n.at.file, Line: n.at.line, Column: n.at.column,
		Key: path, Value: n.show(), Message: message})
}

// value decodes n into v.
func (d *decoder) value(n *node, v reflect.Value, path string) {
	if n.kind == kindNull && slices.Contains(d.rules[path].enum, n.text) && n.text != "" {
		n.kind = kindText // the word null, as in `non_finite: null`
	}
	if n.empty() && !n.broken {
		return
	}
	d.index[path] = n
	if n.broken {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if n.kind != kindMapping {
			d.wrong(n, path, "write its keys below it")
			return
		}
		v.Set(newSection(v.Type().Elem()))
		v = v.Elem()
	default:
	}
	if hasOwnForm(v.Type()) {
		d.ownForm(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.section(n, v, path)
	case reflect.Slice:
		v.Set(reflect.ValueOf(d.texts(n, path)))
	case reflect.Map:
		v.Set(reflect.ValueOf(d.table(n, path)))
	default:
		d.scalar(n, v, path)
	}
}

// wrong tells that a value is not of the kind that its key takes.
func (d *decoder) wrong(n *node, path, allowed string) {
	what := ""
	if n.kind != kindList && n.kind != kindMapping {
		what = "is " + n.kind.String() + ": "
	}
	if n.substituted {
		what = ""
	}
	d.fail(n, path, what+allowed)
}

func (d *decoder) section(n *node, v reflect.Value, path string) {
	if n.kind != kindMapping {
		d.wrong(n, path, "write its keys below it")
		return
	}
	known := make(map[string]reflect.Value)
	for f := range keyFields(v.Type()) {
		known[f.Tag.Get("yaml")] = v.FieldByIndex(f.Index)
	}
	for _, f := range n.fields {
		if to, ok := known[f.name]; ok {
			d.value(f.value, to, join(path, f.name))
			continue
		}
		d.unknown(f, path)
	}
}

func (d *decoder) unknown(f field, section string) {
	message := "unknown key"
	if !d.problems.full() {
		near := suggestion(d.paths, section, f.name)
		for _, p := range near {
			d.meant[p] = true
		}
		if len(near) > 0 {
			message += "; did you mean " + either(near) + "?"
		}
	}
	d.problems.add(Problem{File: f.at.file, Line: f.at.line, Column: f.at.column,
		Key: join(section, shorten(f.name)), Message: message})
}

// texts decodes a list of texts.
func (d *decoder) texts(n *node, path string) []string {
	if n.kind != kindList {
		d.wrong(n, path, "write a list: ["+strings.Trim(n.show(), `"`)+"]")
		return nil
	}
	out := make([]string, 0, len(n.items))
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.index[at] = item
		out = append(out, "") // a refused item keeps its place, so that at is right for the others
		switch {
		case item.broken:
		case item.empty():
			d.fail(item, at, "is empty")
		default:
			if s, ok := d.text(item, at); ok && d.obeys(item, s, at, path+"[]") {
				out[i] = s
			}
		}
	}
	return out
}

// table decodes a mapping of names to texts; numbers are taken as they are written.
func (d *decoder) table(n *node, path string) map[string]string {
	if n.kind != kindMapping {
		d.wrong(n, path, "write names and values below it")
		return nil
	}
	out := make(map[string]string, len(n.fields))
	for _, f := range n.fields {
		at := join(path, f.name)
		d.index[at] = f.value
		if f.value.broken || f.value.kind == kindNull {
			continue
		}
		if k := f.value.kind; k == kindInteger || k == kindFloat {
			out[f.name] = f.value.text
			continue
		}
		if s, ok := d.text(f.value, at); ok {
			out[f.name] = s
		}
	}
	return out
}

// text is the text of a scalar.
func (d *decoder) text(n *node, path string) (string, bool) {
	switch {
	case n.kind == kindList || n.kind == kindMapping:
		d.wrong(n, path, "write a text")
		return "", false
	case n.kind != kindText && !n.substituted:
		d.wrong(n, path, "write a text: "+strconv.Quote(shorten(n.raw)))
		return "", false
	case strings.ContainsRune(n.text, 0):
		d.fail(n, path, "no text here may have a NUL character")
		return "", false
	}
	return n.text, true
}

func (d *decoder) scalar(n *node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		if s, ok := d.text(n, path); ok && d.obeys(n, s, path, path) {
			v.SetString(s)
		}
	case reflect.Bool:
		switch {
		case n.kind == kindBool, n.substituted && scalarKind(n.text) == kindBool:
			v.SetBool(strings.EqualFold(n.text, "true"))
		default:
			d.wrong(n, path, "write true or false")
		}
	case reflect.Int, reflect.Int64:
		if i, ok := wholeNumber(n); ok && d.inRange(n, float64(i), path) {
			v.SetInt(i)
		} else if !ok {
			d.wrong(n, path, "write a whole number")
		}
	case reflect.Float64:
		if f, ok := number(n); ok && d.inRange(n, f, path) {
			v.SetFloat(f)
		} else if !ok && (n.kind == kindInteger || n.kind == kindFloat) {
			d.fail(n, path, "write a finite number")
		} else if !ok {
			d.wrong(n, path, "write a number")
		}
	default:
		panic("configs: no decoder for " + v.Type().String())
	}
}

// hasOwnForm says whether values of a type are written in a form of their own.
func hasOwnForm(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[time.Duration](), reflect.TypeFor[pipeline.Bytes](), reflect.TypeFor[pipeline.Count](),
		reflect.TypeFor[pipeline.Echo](), reflect.TypeFor[pyworker.Kwargs](), reflect.TypeFor[pyworker.Requirements]():
		return true
	}
	return false
}

func (d *decoder) ownForm(n *node, v reflect.Value, path string) {
	switch to := v.Addr().Interface().(type) {
	case *time.Duration:
		d.duration(n, to, path)
	case *pipeline.Bytes:
		d.size(n, to, path)
	case *pipeline.Count:
		d.count(n, to, path)
	case *pipeline.Echo:
		d.echo(n, to, path)
	case *pyworker.Kwargs:
		*to = d.kwargs(n, path)
	case *pyworker.Requirements:
		if n.kind == kindList {
			to.Lines = d.texts(n, path)
		} else if s, ok := d.text(n, path); ok && d.obeysSyntax(n, s, path, uri) {
			to.File = s
		}
	}
}

// obeys holds a text against the rule of its key.
func (d *decoder) obeys(n *node, s, path, key string) bool {
	r := d.rules[key]
	if r.enum != nil && !slices.Contains(r.enum, s) {
		d.fail(n, path, notOneOf(s, r.enum, n.substituted))
		return false
	}
	return d.obeysSyntax(n, s, path, r.syntax)
}

func (d *decoder) obeysSyntax(n *node, s, path string, want syntax) bool {
	if want.valid == nil || want.valid(s) {
		return true
	}
	d.fail(n, path, want.allowed)
	return false
}

// notOneOf says what is allowed instead of s, and what s may have been meant to be. A
// replaced value is not compared: its nearest word would tell of it.
func notOneOf(s string, enum []string, replaced bool) string {
	words := slices.DeleteFunc(slices.Clone(enum), func(w string) bool { return w == "" })
	message := "write " + either(words)
	if near := nearest(words, s); near != "" && !replaced {
		message += "; did you mean " + near + "?"
	}
	return message
}

// inRange holds a number against the rule of its key.
func (d *decoder) inRange(n *node, f float64, path string) bool {
	r := d.rules[path]
	low, high := "", ""
	switch {
	case r.above != nil:
		low = "more than " + formatNumber(*r.above)
	case r.min != nil:
		low = formatNumber(*r.min) + " or more"
	}
	if r.max != nil {
		low, high = "from "+formatNumber(*r.min), " to "+formatNumber(*r.max)
	}
	if r.above != nil && f <= *r.above || r.min != nil && f < *r.min || r.max != nil && f > *r.max {
		d.fail(n, path, "write "+low+high)
		return false
	}
	return true
}

func formatNumber(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
