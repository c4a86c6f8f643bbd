package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// number writes n with commas between thousands.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String()
}

// rate writes a number of things a second.
func rate(perSecond float64) string {
	if perSecond >= 10 || perSecond == 0 {
		return number(int64(math.Round(perSecond)))
	}
	return strconv.FormatFloat(perSecond, 'g', 2, 64)
}

// megabytes writes a size.
func megabytes(bytes int64) string { return number((bytes+999_999)/1_000_000) + " MB" }

// duration writes a time as a person says it: 0.4s, 12s, 3m12s, 2h05m, 1d03h.
func duration(d time.Duration) string {
	switch s := int64(d.Round(time.Second) / time.Second); {
	case d < 10*time.Second:
		return strconv.FormatFloat(math.Max(0, d.Seconds()), 'f', 1, 64) + "s"
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	default:
		return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
	}
}

// share writes part of whole in percent. What is not nothing is never shown as nothing,
// and what is not all never as all.
func share(part, whole int64) string {
	if whole == 0 {
		return "0 %"
	}
	p := 100 * float64(part) / float64(whole)
	switch {
	case part > 0 && p < 0.01:
		return "below 0.01 %"
	case part < whole && p > 99.99:
		return "over 99.99 %"
	case p > 0 && p < 1:
		return strconv.FormatFloat(p, 'g', 2, 64) + " %"
	}
	return strconv.FormatFloat(math.Floor(10*p)/10, 'f', -1, 64) + " %"
}

// counted writes a number with the thing counted: 1 part, 17 parts.
func counted(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return number(n) + " " + thing + "s"
}

// line makes one line of a text from outside: a terminal shows what it is and does not
// obey it.
func line(s string) string { return strings.Join(strings.Fields(visible(s)), " ") }

// visible replaces what is not printed, but for line breaks and tabs.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return utf8.RuneError
		}
		return r
	}, s)
}

// indent puts a margin before each line of a text from outside.
func indent(s, margin string) string {
	s = strings.TrimRight(visible(strings.ReplaceAll(s, "\r\n", "\n")), "\n ")
	return margin + strings.ReplaceAll(s, "\n", "\n"+margin)
}
