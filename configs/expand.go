package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expander replaces ${NAME} in the values of a job file.
type expander struct {
	vars     map[string]string
	lookup   func(string) (string, bool)
	date     *runDate // nil: ${date} is not allowed here
	problems *problems
}

// walk replaces in n, whose path is path, and in everything below it.
func (e *expander) walk(n *node, path string) {
	switch n.kind {
	case kindList:
		for i, item := range n.items {
			e.walk(item, fmt.Sprintf("%s[%d]", path, i))
		}
	case kindMapping:
		for _, f := range n.fields {
			e.walk(f.value, join(path, f.name))
		}
	case kindText:
		e.scalar(n, path)
	}
}

func (e *expander) scalar(n *node, path string) {
	if n.broken || n.substituted || !strings.Contains(n.text, "${") {
		return
	}
	replaced, substituted, errs := e.replace(n.text)
	for _, err := range errs {
		n.broken = true
		e.problems.add(Problem{File: n.at.file, Line: n.at.line, Column: n.at.column,
			Key: path, Value: n.show(), Message: err.Error()})
	}
	if n.broken {
		return
	}
	n.text, n.substituted = replaced, substituted
	if substituted && n.plain {
		n.kind = replacedKind(replaced)
	}
}

// replacedKind tells what a value without quotes has become: a number, true or false only
// where JSON has that very text, so that 007 and 1_0 stay what they are.
func replacedKind(s string) kind {
	if k := scalarKind(s); k != kindNull && json.Valid([]byte(s)) {
		return k
	}
	return kindText
}

// replace replaces every ${NAME} in s; substituted says whether there was one. The errors
// are those of all the names that can not be replaced.
func (e *expander) replace(s string) (replaced string, substituted bool, errs []error) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String(), substituted, errs
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1])
			b.WriteString("${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		name, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed {
			return "", false, append(errs, errors.New("${ without its }; $${ stands for ${ itself"))
		}
		value, err := e.value(name)
		if err != nil {
			errs = append(errs, err)
		}
		b.WriteString(value)
		s, substituted = rest, true
	}
}

func (e *expander) value(name string) (string, error) {
	if isDate(name) {
		if e.date == nil {
			return "", fmt.Errorf("${%s} is not allowed here: the date depends on the time zone", name)
		}
		return e.date.format(name)
	}
	if !namePattern.MatchString(name) {
		return "", fmt.Errorf("${%s} is no name: write ${NAME} with letters, digits and _; $${ stands for ${ itself", shorten(name))
	}
	if v, ok := e.vars[name]; ok {
		return v, nil
	}
	if v, ok := e.lookup(name); ok {
		return v, nil
	}
	return "", fmt.Errorf("${%s} is not set: give --var %s=VALUE, or set it in the environment", name, name)
}
