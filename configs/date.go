package configs

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// runDate is the run's date, as ${date} writes it.
type runDate struct {
	// time is what the clock shows in the job's time zone, as if it were UTC: there every
	// day has its midnight, and days can be counted.
	time time.Time
	// refused says why the date may not be used, where it is implied and must not be.
	refused error
}

var datePattern = regexp.MustCompile(`^date(?:([+-][0-9]{1,5})d)?(?::(.*))?$`)

// dateVariable is the variable that gives the run's date.
const dateVariable = "CPR_BATCH_DATE"

// isDate says whether the name in ${name} asks for the run's date, well written or not.
func isDate(name string) bool {
	rest, ok := strings.CutPrefix(name, "date")
	return ok && (rest == "" || strings.ContainsAny(rest[:1], "+-:"))
}

// taskIndexes are the variables by which platforms tell a task its number.
func taskIndexes() []string {
	return []string{"CLOUD_RUN_TASK_INDEX", "JOB_COMPLETION_INDEX", "BATCH_TASK_INDEX", "SLURM_ARRAY_TASK_ID"}
}

// newRunDate finds the run's date: --date, CPR_BATCH_DATE, else today in zone.
func newRunDate(o *Options, zone *time.Location, p *problems) *runDate {
	given, from := o.Date, "--date"
	if given == "" {
		given, _ = o.LookupEnv(dateVariable)
		from = dateVariable
	}
	if given != "" {
		t, err := parseDate(given, zone)
		if err != nil {
			problem := Problem{File: from, Message: err.Error()}
			if from == "--date" {
				problem.Value = quote(given)
			}
			p.add(problem)
		}
		return &runDate{time: t}
	}
	d := &runDate{time: clock(o.Now, zone)}
	index := ""
	if o.TaskIndexSet {
		index = "--task-index"
	}
	for _, name := range taskIndexes() {
		if v, ok := o.LookupEnv(name); ok && v != "" && index == "" {
			index = name
		}
	}
	if index != "" {
		d.refused = fmt.Errorf("where several tasks share a run (%s is set) its date must be given, by --date or CPR_BATCH_DATE: two tasks on either side of midnight would be two runs", index)
	}
	return d
}

// parseDate reads a date, or a time as RFC 3339 has it.
func parseDate(s string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return clock(t, zone), nil
	}
	return time.Time{}, errors.New("write a date, 2026-11-22, or a time as RFC 3339 has it, 2026-11-22T05:00:00Z")
}

// clock is what the clock shows in zone at t, as if it were UTC.
func clock(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// format writes what ${name} asks for: date, date-1d, date:%Y/%m/%d, date+2d:%Y.
func (d *runDate) format(name string) (string, error) {
	m := datePattern.FindStringSubmatch(name)
	if m == nil {
		return "", fmt.Errorf("${%s} is no form of the date: write ${date}, ${date-1d}, ${date:%%Y/%%m/%%d} or ${date-1d:%%Y/%%m/%%d}", shorten(name))
	}
	if d.refused != nil {
		return "", d.refused
	}
	t := d.time
	if m[1] != "" {
		days, err := strconv.Atoi(m[1])
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", name, err)
		}
		t = t.AddDate(0, 0, days)
	}
	if !strings.Contains(name, ":") {
		return t.Format(time.DateOnly), nil
	}
	return strftime(t, m[2])
}

// strftime writes t by the conversions of C's strftime that dates need.
func strftime(t time.Time, layout string) (string, error) {
	if layout == "" {
		return "", errors.New("${date:} has no format: write ${date:%Y/%m/%d}")
	}
	var b strings.Builder
	for i := 0; i < len(layout); i++ {
		if layout[i] != '%' {
			b.WriteByte(layout[i])
			continue
		}
		i++
		conversion := layout[min(i, len(layout)):min(i+1, len(layout))]
		switch conversion {
		case "Y":
			b.WriteString(t.Format("2006"))
		case "y":
			b.WriteString(t.Format("06"))
		case "m":
			b.WriteString(t.Format("01"))
		case "d":
			b.WriteString(t.Format("02"))
		case "j":
			b.WriteString(t.Format("002"))
		case "H":
			b.WriteString(t.Format("15"))
		case "M":
			b.WriteString(t.Format("04"))
		case "S":
			b.WriteString(t.Format("05"))
		case "%":
			b.WriteByte('%')
		default:
			return "", fmt.Errorf("%%%s in ${date:…} is not known: there are %%Y %%y %%m %%d %%j %%H %%M %%S %%%%", conversion)
		}
	}
	return b.String(), nil
}
