package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxKinds is how many kinds of failures the summary shows.
const maxKinds = 5

// Summary writes the closing summary: how the run ended and how long it took, how many
// instances have no prediction and why, where the output is, and what to do next.
func Summary(w io.Writer, r Report) error {
	var s summary
	s.head(r)
	s.instances(r)
	s.failures(r)
	s.rest(r)
	_, err := io.WriteString(w, s.String())
	return err
}

// summary is a text of labelled rows.
type summary struct{ strings.Builder }

// row writes a label and what it labels; without a label it goes on with the row before.
func (s *summary) row(label, format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf("  %-14s %s", label, fmt.Sprintf(format, args...)), " ")
	s.WriteString(text + "\n")
}

func (s *summary) head(r Report) {
	took := duration(r.Ended.Sub(r.Attempt.Started))
	name := ""
	if r.Name != "" {
		name = r.Name + " "
	}
	switch {
	case r.Status == Stopped:
		fmt.Fprintf(s, "%sSTOPPED after %s with work left%s\n", name, took, s.why(r))
	case r.Status == Failed:
		fmt.Fprintf(s, "%sFAILED after %s%s\n", name, took, s.why(r))
	case r.Instances.Failed > 0:
		fmt.Fprintf(s, "%sdone in %s, %s without a prediction\n", name, took, counted(r.Instances.Failed, "instance"))
	default:
		fmt.Fprintf(s, "%sdone in %s\n", name, took)
	}
	s.WriteByte('\n')
}

// why is the error, short: the whole of it stands in the report and on standard error.
func (s *summary) why(r Report) string {
	if r.Error == nil {
		return ""
	}
	why := r.Error.Message
	if r.Error.Type != "" {
		why = strings.TrimSuffix(r.Error.Type+": "+why, ": ")
	}
	if r.Error.Phase != "" {
		why = string(r.Error.Phase) + ": " + why
	}
	return ": " + shorten(line(why), 300)
}

func shorten(text string, characters int) string {
	if utf8.RuneCountInString(text) <= characters {
		return text
	}
	return string([]rune(text)[:characters]) + "…"
}

// instances always says how many have no prediction.
func (s *summary) instances(r Report) {
	i := r.Instances
	read, predicted, failed := number(i.Read), number(i.Predicted), number(i.Failed)
	width := max(len(read), len(predicted), len(failed))
	s.row("read", "%*s  %s", width, read, plural(i.Read, "instance"))
	s.row("predicted", "%*s", width, predicted)
	switch {
	case i.Failed == 0:
		s.row("no prediction", "%*s", width, failed)
	case r.ErrorsFiles == "":
		s.row("no prediction", "%*s  (%s), no errors file: no part with a failure was finished", width, failed, share(i.Failed, i.Read))
	case r.Uncommitted != nil && r.Uncommitted.Failed > 0:
		s.row("no prediction", "%*s  (%s), those of finished parts in %s", width, failed, share(i.Failed, i.Read), line(r.errorsHere()))
	default:
		s.row("no prediction", "%*s  (%s), with the reasons in %s", width, failed, share(i.Failed, i.Read), line(r.errorsHere()))
	}
	if open := i.Read - i.Predicted - i.Failed; open > 0 {
		s.row("not reached", "%*s", width, number(open))
	}
	if u := r.Uncommitted; u != nil {
		s.row("unfinished", "%*s  of those read are in unfinished parts: what is not sealed is predicted again next time", width, number(u.Read))
	}
}

func plural(n int64, thing string) string {
	_, word, _ := strings.Cut(counted(n, thing), " ")
	return word
}

func (s *summary) failures(r Report) {
	if len(r.Failures) == 0 {
		return
	}
	s.WriteByte('\n')
	width := 0
	for _, f := range r.Failures {
		width = max(width, len(number(f.Count)))
	}
	for i, f := range r.Failures {
		label := ""
		if i == 0 {
			label = "reasons"
		}
		if i == maxKinds {
			s.row("", "%*s  %s, in report.json", width, "", counted(int64(len(r.Failures)-i), "more kind"))
			break
		}
		s.row(label, "%*s  %s (%s): %s", width, number(f.Count), line(f.Type), f.Phase, line(f.First.Message))
		s.row("", "%*s  %s%s", width, "", firstWord(f.Count), where(f.First.Source))
	}
}

func firstWord(count int64) string {
	if count == 1 {
		return "at "
	}
	return "first at "
}

// where names a place in the source.
func where(o Source) string {
	switch {
	case o.MessageID != "":
		return "message " + line(o.MessageID)
	case o.Line > 0:
		return fmt.Sprintf("%s line %d", line(o.URI), o.Line)
	}
	return line(o.URI)
}

func (s *summary) rest(r Report) {
	s.WriteByte('\n')
	if took := r.Ended.Sub(r.Attempt.Started).Seconds(); took > 0 && r.Attempt.Instances > 0 {
		s.row("speed", "%s instances a second, %s", rate(float64(r.Attempt.Instances)/took), counted(int64(r.Workers.Count), "worker"))
	}
	if troubles := workerTroubles(r.Workers); troubles != "" {
		s.row("workers", "%s", troubles)
	}
	if r.Folder != "" {
		s.row("output", "%s  (%s)", line(r.Folder), parts(r.Splits))
	}
	if n := len(r.MadeBy); n > 1 {
		s.row("made by", "%d versions of the model or its environment: report.json tells which part was made by which", n)
	}
	s.next(r)
}

func workerTroubles(w WorkerCounts) string {
	var texts []string
	if w.Died > 0 {
		texts = append(texts, fmt.Sprintf("%d died", w.Died))
	}
	if w.Timeouts > 0 {
		texts = append(texts, fmt.Sprintf("%d did not answer in time", w.Timeouts))
	}
	return strings.Join(texts, ", ")
}

func parts(s Splits) string {
	text := counted(int64(s.Done), "part")
	if s.Done < s.Total {
		text = fmt.Sprintf("%s of %s done", number(int64(s.Done)), counted(int64(s.Total), "part"))
	}
	if s.Skipped > 0 {
		text += fmt.Sprintf(", %s from before", number(int64(s.Skipped)))
	}
	return text
}

// next says what to do now.
func (s *summary) next(r Report) {
	switch {
	case r.Error != nil && r.Error.Hint != "":
		s.row("what to do", "%s", line(r.Error.Hint))
	case r.Status == Stopped:
		s.row("to go on", "run the same command again: what is done stays")
	case r.Status == Done && r.ErrorsFiles != "" && r.Retry != "":
		s.row("to try again", "those without a prediction: %s", line(r.Retry))
	}
}

// errorsHere is ErrorsFiles as one finds them from here.
func (r *Report) errorsHere() string {
	return strings.TrimSuffix(r.Folder, "/") + strings.TrimPrefix(r.ErrorsFiles, strings.TrimSuffix(r.Output, "/"))
}
