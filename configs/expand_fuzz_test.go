package configs_test

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cpr-batch/cpr-batch/configs"
)

var (
	anyVariable = regexp.MustCompile(`(?s)\$\$\{|\$\{[^}]*(\}|$)`)
	dateForm    = regexp.MustCompile(`^date(?:([+-]\d{1,5})d)?(?::(.+))?$`)
)

// FuzzExpand replaces variables and dates in a value as a second, plainer reading of the
// rules does, or fails where that fails.
func FuzzExpand(f *testing.F) {
	for _, value := range []string{
		"a${N}b${N}", "$${N} $$${N} $$$${N}", "${", "${}", "${date}", "${date-1d}/${date+31d:%Y/%m/%d}", "${date:%j %H%M%S%%%y}", "${date:%Q}", "${date:}",
		"${date-123456d}", "${date:%}", "${datum}", "${n}", "${N:-x}", "${a${N}}", "}${N", "${E}", "${date-0d:é}", "$", "$$", "{$N}",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !utf8.ValidString(value) || strings.ContainsRune(value, 0xFEFF) || len(value) > 1000 {
			return
		}
		o := options(smallest)
		o.Stdin = strings.NewReader(strings.Replace(smallest, "{origin:", "{kwargs: {v: "+strconv.QuoteToASCII(value)+"}, origin:", 1))
		o.Vars = map[string]string{"N": "7 ${N} $$", "E": ""}
		o.Date = "2026-03-01"
		job, err := configs.Load(t.Context(), o)
		want, ok := expanded(value)
		if (err == nil) != ok {
			t.Fatalf("%q: %v, want %q %v", value, err, want, ok)
		}
		if err != nil {
			return
		}
		var got struct{ V string }
		if err := json.Unmarshal(job.Model.Kwargs, &got); err != nil || got.V != want {
			t.Fatalf("%q became %q (%s), %v; want %q", value, got.V, job.Model.Kwargs, err, want)
		}
	})
}

func expanded(value string) (string, bool) {
	ok := true
	text := anyVariable.ReplaceAllStringFunc(value, func(found string) string {
		name, closed := strings.CutSuffix(strings.TrimPrefix(found, "${"), "}")
		switch {
		case found == "$${":
			return "${"
		case !closed:
			ok = false
			return ""
		case name == "N":
			return "7 ${N} $$"
		case name == "E":
			return ""
		}
		m := dateForm.FindStringSubmatch(name)
		if m == nil {
			ok = false
			return ""
		}
		days, _ := strconv.Atoi(m[1])
		day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(days) * 24 * time.Hour)
		if m[2] == "" {
			return day.Format("2006-01-02")
		}
		var b strings.Builder
		for rest := m[2]; rest != ""; {
			before, after, found := strings.Cut(rest, "%")
			b.WriteString(before)
			if !found {
				break
			}
			layout, known := map[string]string{"Y": "2006", "y": "06", "m": "01", "d": "02", "j": "002", "H": "15", "M": "04", "S": "05", "%": "%"}[after[:min(1, len(after))]]
			if !known {
				ok = false
				return ""
			}
			b.WriteString(day.Format(layout))
			rest = after[1:]
		}
		return b.String()
	})
	return text, ok
}
