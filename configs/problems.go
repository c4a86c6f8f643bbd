package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// maxProblems is how many problems of one job file are told.
const maxProblems = 100

// Problem is one thing that is wrong with a job file.
type Problem struct {
	File         string // the job file, or --set, --var, --date; "" where the job has no file
	Line, Column int    // from 1; 0 where there is none
	Key          string // path of the key: workers.count, source.jsonl.uris[1]
	Value        string // as written, never as replaced from the environment; "" where the value does not matter
	Message      string // what is wrong, or what is allowed
}

// String is the problem as a line: file, line, column, key, value, message.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	for _, part := range []string{p.Key, p.Value, p.Message} {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	return b.String()
}

// Problems is everything that is wrong with a job file, in the file's order.
type Problems []Problem

// Error is one line a problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// problems collects what is wrong, up to a bound.
type problems struct {
	list    Problems
	omitted int
}

func (p *problems) add(q Problem) {
	if p.full() {
		p.omitted++
		return
	}
	q.Key, q.Message = printable(q.Key), printable(q.Message)
	p.list = append(p.list, q)
}

// printable keeps a problem on its line: what can not be printed is escaped.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	return strings.Trim(strconv.Quote(s), `"`)
}

func (p *problems) full() bool { return len(p.list) >= maxProblems }

// err is nil, or all problems of file as a *pipeline.Error that holds Problems.
func (p *problems) err(file string) error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(rank(a, file), rank(b, file)),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
	if p.omitted > 0 {
		p.list = append(p.list, Problem{File: file, Message: fmt.Sprintf("and %d more problems", p.omitted)})
		p.omitted = 0
	}
	where, hint := file, "Correct the job file; `cpr-batch schema` describes all of its keys."
	if rank(p.list[0], file) > 0 {
		where, hint = "the command line", "Correct the command line; `cpr-batch schema` describes all keys of a job file."
		if p.list[0].File == dateVariable {
			where, hint = "the environment", "Correct the variable, or give --date."
		}
	}
	message := "1 problem in " + where
	if n := len(p.list); n > 1 {
		message = strconv.Itoa(n) + " problems in " + where
	}
	return &pipeline.Error{
		Remedy: pipeline.FixConfig, Phase: pipeline.PhaseConfigure,
		Message: message, Hint: hint, Err: p.list,
	}
}

// rank sorts what the job file has before what the command line has.
func rank(p Problem, file string) int {
	if p.File == file {
		return 0
	}
	return 1
}

// quote shows a text in an error, shortened.
func quote(s string) string { return strconv.Quote(shorten(s)) }

// shorten cuts s for an error.
func shorten(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// either writes names as one reads them: a, b or c.
func either(names []string) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
