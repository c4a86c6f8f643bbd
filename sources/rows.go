package sources

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

// Rows says how the instances of rows are arranged: what the Predictor sees of a row
// (the job file's `instance`), and what the output shows of it (`output.instance`).
// The zero value takes a row as it is for both, and does not look into it.
type Rows struct {
	Instance InstanceConfig
	Shown    pipeline.Echo
}

// arranger makes instances of rows. It is used by one goroutine at a time.
type arranger struct {
	rows     Rows
	field    string         // of the line, which is the row
	included map[string]int // place in IncludedFields
	excluded map[string]int
	shown    map[string]int // place in Shown.Fields
	labels   [][]byte       // Shown.Fields as JSON strings

	// Reused from row to row.
	line, row, kept []values.Member
	chosen          []values.Member // by place in IncludedFields
	echoed          [][]byte        // by place in Shown.Fields
	name            []byte
}

func newArranger(field string, rows Rows) arranger {
	a := arranger{
		rows:     rows,
		field:    field,
		included: places(rows.Instance.IncludedFields),
		excluded: places(rows.Instance.ExcludedFields),
		shown:    places(rows.Shown.Fields),
		chosen:   make([]values.Member, len(rows.Instance.IncludedFields)),
		echoed:   make([][]byte, len(rows.Shown.Fields)),
	}
	for _, f := range rows.Shown.Fields {
		a.labels = append(a.labels, values.AppendString(nil, f))
	}
	return a
}

func places(fields []string) map[string]int {
	m := make(map[string]int, len(fields))
	for i, f := range fields {
		m[f] = i
	}
	return m
}

// looks reports whether rows have to be parsed.
func (a *arranger) looks() bool { return a.wantsObject() || len(a.shown) > 0 }

// wantsObject reports whether rows have to be objects.
func (a *arranger) wantsObject() bool {
	i := a.rows.Instance
	return i.InstanceType != "" || i.KeyField != "" || len(a.included) > 0 || len(a.excluded) > 0
}

// arrange completes the last instance of b, whose line is text, in b.Buffer.
func (a *arranger) arrange(b *pipeline.Batch, text []byte) {
	in := &b.Instances[len(b.Instances)-1]
	in.Echo = text
	if a.field != "" {
		row, failure := a.pick(text)
		if failure != nil {
			in.Failure = failure
			return
		}
		in.Echo = row
	}
	in.Input = in.Echo
	if !a.rows.Shown.None && len(a.shown) == 0 {
		in.Shown = in.Echo
	}
	if !a.looks() {
		return
	}
	if in.Failure = a.divide(in); in.Failure != nil {
		in.Input, in.Shown = nil, nil
		return
	}
	a.compose(in, b)
}

// pick returns the text of the field that the row is.
func (a *arranger) pick(text []byte) ([]byte, *pipeline.Failure) {
	var failure *pipeline.Failure
	if a.line, failure = parse(a.line[:0], text); failure != nil {
		return nil, failure
	}
	if failure := keptFailure(a.line); failure != nil {
		return nil, failure
	}
	row := find(a.line, a.field)
	if row == nil {
		return nil, missing(fmt.Sprintf("the line%s has no field %q", notObject(text), a.field))
	}
	return row, nil
}

// keptFailure is the failure of a line of an errors file that was not JSON: it has
// nothing that could be predicted. It is nil for another line.
func keptFailure(line []values.Member) *pipeline.Failure {
	text, failed := find(line, "text"), find(line, "error")
	if values.KindOf(text) != values.String || values.KindOf(failed) != values.Object {
		return nil
	}
	f := &pipeline.Failure{Phase: pipeline.PhaseRead, Type: pipeline.TypeInvalidJSON, Text: unquote(text), NotJSON: true}
	members, _ := values.Members(nil, failed) // checked with the line
	for _, m := range []struct {
		name string
		to   *string
	}{{"type", &f.Type}, {"message", &f.Message}, {"traceback", &f.Traceback}} {
		if v := find(members, m.name); values.KindOf(v) == values.String {
			*m.to = unquote(v)
		}
	}
	return f
}

func unquote(raw []byte) string { return values.Repair(values.AppendUnquoted(nil, raw)) }

// find returns the value of a field: of several, as in Python, the last one's.
func find(members []values.Member, name string) []byte {
	for _, m := range slices.Backward(members) {
		if values.KeyIs(m.Key, name) {
			return m.Value
		}
	}
	return nil
}

// parse returns the members of a text, none where it is JSON but no object.
func parse(dst []values.Member, text []byte) ([]values.Member, *pipeline.Failure) {
	var err error
	if values.KindOf(text) == values.Object {
		dst, err = values.Members(dst, text)
	} else {
		err = values.Check(text)
	}
	if err != nil {
		return dst, invalid(text, err)
	}
	return dst, nil
}

// invalid says where a text is not JSON, as the worker does where it is the judge.
func invalid(text []byte, err error) *pipeline.Failure {
	f := &pipeline.Failure{Phase: pipeline.PhaseRead, Type: pipeline.TypeInvalidJSON, Message: err.Error(), Text: values.Repair(text), NotJSON: true}
	var syntax *values.SyntaxError
	switch {
	case !utf8.Valid(text):
		f.Message = fmt.Sprintf("not UTF-8 at byte %d", validPrefix(text)+1)
	case errors.As(err, &syntax):
		f.Message = fmt.Sprintf("%s at column %d", strings.TrimSuffix(syntax.Msg, " at"), utf8.RuneCount(text[:syntax.Offset])+1)
	}
	return f
}

// validPrefix is how many bytes of text are UTF-8 up to the first that is not.
func validPrefix(text []byte) int {
	at := 0
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

func missing(message string) *pipeline.Failure {
	return &pipeline.Failure{Phase: pipeline.PhaseRead, Type: pipeline.TypeMissingField, Message: message}
}

// notObject says what a text is that is no object.
func notObject(text []byte) string {
	if kind := values.KindOf(text); kind != values.Object {
		return " is " + kind.String() + ", not an object: it"
	}
	return ""
}

// divide parses the row and sorts its fields by what becomes of them.
func (a *arranger) divide(in *pipeline.Instance) *pipeline.Failure {
	var failure *pipeline.Failure
	if a.row, failure = parse(a.row[:0], in.Echo); failure != nil {
		return failure
	}
	a.kept = a.kept[:0]
	clear(a.chosen)
	clear(a.echoed)
	for _, m := range a.row {
		name := a.nameOf(m)
		if i, ok := a.shown[string(name)]; ok {
			a.echoed[i] = m.Value
		}
		if a.isKey(name) {
			in.Key = m.Value
			continue
		}
		if i, ok := a.included[string(name)]; ok {
			if a.chosen[i].Key == nil {
				a.kept = append(a.kept, m)
			}
			a.chosen[i] = m
		} else if _, ok := a.excluded[string(name)]; !ok && len(a.included) == 0 {
			a.kept = append(a.kept, m)
		}
	}
	return a.check(in)
}

func (a *arranger) isKey(name []byte) bool {
	return a.rows.Instance.KeyField != "" && string(name) == a.rows.Instance.KeyField
}

// nameOf returns the name of a field, valid until the next call.
func (a *arranger) nameOf(m values.Member) []byte {
	if bytes.IndexByte(m.Key, '\\') < 0 {
		return m.Key[1 : len(m.Key)-1]
	}
	a.name = values.AppendUnquoted(a.name[:0], m.Key)
	return a.name
}

// check reports what the row lacks.
func (a *arranger) check(in *pipeline.Instance) *pipeline.Failure {
	if a.isArrayAlready(in.Echo) {
		return nil
	}
	if key := a.rows.Instance.KeyField; key != "" && in.Key == nil {
		return missing(fmt.Sprintf("the row%s has no key field %q", notObject(in.Echo), key))
	}
	var absent []string
	for i, f := range a.rows.Instance.IncludedFields {
		if a.chosen[i].Key == nil && f != a.rows.Instance.KeyField {
			absent = append(absent, fmt.Sprintf("%q", f))
		}
	}
	switch {
	case len(absent) == 1:
		return missing(fmt.Sprintf("the row%s has no field %s", notObject(in.Echo), absent[0]))
	case len(absent) > 1:
		return missing(fmt.Sprintf("the row%s has no fields %s", notObject(in.Echo), strings.Join(absent, ", ")))
	case a.wantsObject() && values.KindOf(in.Echo) != values.Object:
		return missing(fmt.Sprintf("the row%s has no fields to arrange", notObject(in.Echo)))
	}
	return nil
}

// isArrayAlready is true for a row that is what the Predictor shall see as it stands.
func (a *arranger) isArrayAlready(row []byte) bool {
	i := a.rows.Instance
	return i.InstanceType == "array" && i.KeyField == "" && len(a.included)+len(a.excluded) == 0 && values.KindOf(row) == values.Array
}
