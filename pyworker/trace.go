package pyworker

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	threadLine = regexp.MustCompile(`^(?:Current thread|Thread) 0x([0-9a-f]+)[^(]*\(most recent call first\):$`)
	frameLine  = regexp.MustCompile(`^  File "(.*)", line (\d+|\?\?\?) in (.*)$`)
)

// readTrace returns the stack of the worker's main thread as faulthandler has written it,
// in the form and order of Python's tracebacks and without the worker's own frames; ""
// when there is none.
func (p *process) readTrace(thread uint64, strip stripper) string {
	file, err := os.Open(filepath.Join(p.dir, "trace"))
	if err != nil {
		return ""
	}
	defer file.Close()
	dump, err := io.ReadAll(io.LimitReader(file, 4<<20))
	if err != nil {
		return ""
	}
	return stuckLines(string(dump), thread, filepath.Join(p.dir, "worker.py"), strip)
}

// stuckLines picks the main thread out of the last dump.
func stuckLines(dump string, thread uint64, ours string, strip stripper) string {
	if i := strings.LastIndex(dump, "Timeout ("); i > 0 {
		dump = dump[i:]
	}
	var lines []string
	inside := false
	for line := range strings.Lines(dump) {
		line = strings.TrimSuffix(line, "\n")
		if m := threadLine.FindStringSubmatch(line); m != nil {
			id, err := strconv.ParseUint(m[1], 16, 64)
			inside = err == nil && id == thread
			continue
		}
		if !inside || line == "" {
			continue
		}
		m := frameLine.FindStringSubmatch(line)
		switch {
		case m == nil:
			lines = append(lines, line) // "  ...", where the stack is deep
		case m[1] != ours:
			lines = append(lines, fmt.Sprintf("  File %q, line %s, in %s%s", strip.clean(m[1]), m[2], m[3], sourceLine(m[1], m[2], strip)))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	slices.Reverse(lines)
	return cut("Traceback (most recent call last):\n" + strings.Join(lines, "\n") + "\n")
}

// sourceLine is the line of a user's file, as Python's tracebacks show it.
func sourceLine(name, number string, strip stripper) string {
	n, err := strconv.Atoi(number)
	if err != nil || strip.clean(name) == name || filepath.Clean(name) != name {
		return ""
	}
	file, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return ""
	}
	i := 0
	for line := range bytes.Lines(text) {
		if i++; i == n {
			return "\n    " + string(bytes.TrimSpace(line))
		}
	}
	return ""
}
