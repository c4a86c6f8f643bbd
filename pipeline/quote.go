package pipeline

import "strings"

// longestQuote is how many characters of a text of the Predictor's stand outside errors
// files: it may quote an instance.
const longestQuote = 200

// Quote cuts what the Predictor has said to what may stand outside errors files.
func Quote(s string) string { return cut(s, longestQuote) }

// QuoteLines does so with each line of a text.
func QuoteLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		text, ended := strings.CutSuffix(line, "\n")
		b.WriteString(Quote(text))
		if ended {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// quotedTraceback is the traceback of f as it may stand outside errors files: without more
// of its message than 200 characters, whatever number of lines it has.
func quotedTraceback(f *Failure) string {
	traceback := f.Traceback
	if f.Message != Quote(f.Message) {
		traceback = strings.ReplaceAll(traceback, f.Message, Quote(f.Message))
	}
	return QuoteLines(traceback)
}
