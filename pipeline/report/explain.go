package report

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// Explain writes an error that ends a run for a person: what, where, why, what to do,
// then Python's traceback and the worker's last lines where there are any.
func Explain(w io.Writer, e *pipeline.Error) error {
	d := describe(e)
	what := d.Message
	if d.Type != "" && what != "" {
		what = d.Type + ": " + what
	} else if d.Type != "" {
		what = d.Type
	}
	if d.Phase != "" {
		what = string(d.Phase) + ": " + what
	}
	what = indent(what, "  ")[2:]
	_, err := fmt.Fprintf(w, "error: %s\n", what)
	if d.Hint != "" {
		_, hintErr := fmt.Fprintf(w, "  what to do: %s\n", indent(d.Hint, "    ")[4:])
		err = errors.Join(err, hintErr)
	}
	for _, part := range []struct{ title, text string }{
		{"the Predictor's traceback", d.Traceback},
		{"the worker's last lines", d.Stderr},
	} {
		// What the worker wrote often ends with the traceback itself.
		if strings.TrimSpace(part.text) == "" || part.text == d.Stderr && strings.Contains(d.Traceback, strings.TrimSpace(d.Stderr)) {
			continue
		}
		_, partErr := fmt.Fprintf(w, "\n  %s:\n%s\n", part.title, indent(part.text, "    "))
		err = errors.Join(err, partErr)
	}
	return err
}
