package configs_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
)

// withOrigin is a job file whose model.origin is text.
func withOrigin(text string) string {
	return "model:\n  prediction_class: p.P\n  origin: " + text + "\n" + rest
}

func TestValuesAreReplaced(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a/${NAME}/b":                  "a/from env/b",
		"${BOTH}":                      "from var",
		"${NAME}${BOTH}":               "from envfrom var",
		"'$${NAME} and $$${NAME}'":     "${NAME} and $${NAME}",
		"$NAME $ {NAME} {NAME}":        "$NAME $ {NAME} {NAME}",
		"${LOOP}":                      "${NAME}",
		"${EMPTY}":                     "",
		"${NUMBER}":                    "12",
		"x${date}":                     "x2026-11-22",
		"${date-1d}":                   "2026-11-21",
		"${date+9d}":                   "2026-12-01",
		"${date:%Y/%m/%d}":             "2026/11/22",
		"${date-22d:%d.%m.%y %j %%}":   "31.10.26 304 %",
		"'${date:%H:%M:%S}'":           "12:00:00",
		"|-\n    ${NAME}\n    ${BOTH}": "from env\nfrom var",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			o := options(withOrigin(text))
			o.Vars = map[string]string{"BOTH": "from var", "LOOP": "${NAME}"}
			o.LookupEnv = environment(map[string]string{"NAME": "from env", "BOTH": "from env", "EMPTY": "", "NUMBER": "12"})
			if got := mustLoad(t, o).Model.Origin; got != want {
				t.Errorf("origin = %q, want %q", got, want)
			}
		})
	}
}

func TestNumbersAndSwitchesAreReplacedToo(t *testing.T) {
	t.Parallel()
	o := options("model: {prediction_class: p.P, decode_b64: \"${T}\", max_size: \"${S}\"}\n" + rest +
		"batch: {size: \"${N}\"}\nworkers: {load_timeout: \"${D}\", max_requests: \"${N}\"}\nerrors: {max_failure_ratio: \"${R}\"}\ncheckpoint: \"${E}\"\n")
	o.Vars = map[string]string{"T": "true", "S": "5MiB", "N": "12", "D": "9s", "R": "0.5", "E": ""}
	job := mustLoad(t, o)
	got := []any{job.Model.DecodeB64, int(job.Model.MaxSize), int(job.Batch.Size), job.Workers.LoadTimeout, job.Workers.MaxRequests, job.Errors.MaxFailureRatio, job.Checkpoint}
	if diff := cmp.Diff([]any{true, 5 << 20, 12, 9 * time.Second, 12, 0.5, 2 * time.Minute}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheRunsDate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC)
	tests := map[string]struct {
		date, env, zone string
		want            string
	}{
		"today":                             {want: "2026-11-22T23:30"},
		"today in the time zone":            {zone: "Europe/Berlin", want: "2026-11-23T00:30"},
		"given":                             {date: "2025-01-31", want: "2025-01-31T00:00"},
		"given before the variable":         {date: "2025-01-31", env: "2024-02-29", want: "2025-01-31T00:00"},
		"by the variable":                   {env: "2024-02-29", want: "2024-02-29T00:00"},
		"a time":                            {date: "2026-03-01T23:00:00Z", want: "2026-03-01T23:00"},
		"a time, in the time zone":          {date: "2026-03-01T23:00:00Z", zone: "Asia/Tokyo", want: "2026-03-02T08:00"},
		"a time with an offset":             {date: "2026-03-01T01:00:00+02:00", want: "2026-02-28T23:00"},
		"a date, not moved by the zone":     {date: "2026-03-01", zone: "America/New_York", want: "2026-03-01T00:00"},
		"a date without a midnight there":   {date: "2018-11-04", zone: "America/Sao_Paulo", want: "2018-11-04T00:00"},
		"a time zone from a variable, date": {env: "2026-03-01T23:00:00Z", zone: "${ZONE}", want: "2026-03-02T08:00"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options("timezone: " + test.zone + "\n" + withOrigin("${date:%Y-%m-%dT%H:%M}"))
			o.Now, o.Date = now, test.date
			env := map[string]string{"ZONE": "Asia/Tokyo"}
			if test.env != "" {
				env["CPR_BATCH_DATE"] = test.env
			}
			o.LookupEnv = environment(env)
			job := mustLoad(t, o)
			if job.Model.Origin != test.want || job.Date.Format("2006-01-02T15:04") != test.want {
				t.Errorf("origin = %q, date = %v, want %q", job.Model.Origin, job.Date, test.want)
			}
		})
	}
}

func TestDaysAreCountedOverAMissingMidnight(t *testing.T) {
	t.Parallel()
	o := options("timezone: America/Havana\n" + withOrigin("${date-1d} ${date} ${date+1d}"))
	o.Date = "2018-03-12"
	if got, want := mustLoad(t, o).Model.Origin, "2018-03-11 2018-03-12 2018-03-13"; got != want {
		t.Errorf("days = %s, want %s", got, want)
	}
}

func TestTheErrorNamesWhereToCorrect(t *testing.T) {
	t.Parallel()
	inFile, onLine, inEnvironment := options(withOrigin("7")), options(withOrigin("m")), options(withOrigin("m"))
	inFile.Date, onLine.Date = "soon", "soon"
	inEnvironment.LookupEnv = environment(map[string]string{"CPR_BATCH_DATE": "soon"})
	for want, o := range map[string]configs.Options{
		"2 problems in standard input": inFile, "1 problem in the command line": onLine, "1 problem in the environment": inEnvironment,
	} {
		_, err := configs.Load(t.Context(), o)
		var e *pipeline.Error
		if !errors.As(err, &e) || e.Message != want || e.Hint == "" {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
}

func TestAnImpliedDateIsRefusedToTasks(t *testing.T) {
	t.Parallel()
	for _, index := range []string{"CLOUD_RUN_TASK_INDEX", "JOB_COMPLETION_INDEX", "BATCH_TASK_INDEX", "SLURM_ARRAY_TASK_ID", "--task-index"} {
		t.Run(index, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{}
			o := options(withOrigin("a/${date}"))
			if index == "--task-index" {
				o.TaskIndexSet = true
			} else {
				env[index] = "0"
			}
			o.LookupEnv = environment(env)
			got := problemsOf(t, o)
			if len(got) != 1 || !strings.Contains(got[0], index) || !strings.HasPrefix(got[0], `3:11: model.origin: "a/${date}": `) {
				t.Errorf("problems = %q", got)
			}

			o = options(withOrigin("a/${date}"))
			o.TaskIndexSet, o.LookupEnv, o.Date = true, environment(env), "2026-01-01"
			if job := mustLoad(t, o); job.Model.Origin != "a/2026-01-01" {
				t.Errorf("with --date: origin = %q", job.Model.Origin)
			}

			o = options(withOrigin("a"))
			o.TaskIndexSet, o.LookupEnv = true, environment(env)
			mustLoad(t, o) // no ${date}: nothing to refuse
		})
	}
}

func TestReplacedValuesAreNotQuoted(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	text := `name: "${S}X"
timezone: ${S}
model: {prediction_class: "${S}", interface: "${S}", max_size: "${S}", decode_b64: "${S}", origin: "s3://${S}", kwargs: "${S}"}
python: {requirements: "http://${S}", env: {B=: "${S}"}, service_account: "${S}", identity: "${S}"}
workers: {count: "${S}", load_timeout: "${S}", concurrency: "${S}", start: "${S}"}
source: {jsonl: {uris: "${S}"}, parquet: "${S}"}
sink: {jsonl: {uri: "ftp://${S}", compression: "${S}", window: "${S}"}}
output: {instance: "${S}", message: ["${S}"]}
errors: {retry_on: ["${S}!"], max_failure_ratio: "${S}"}
expect: {failed: "${S}"}
metrics: {listen: "${S}"}
checkpoint: "${S}"
`
	o := options(text)
	o.LookupEnv = environment(map[string]string{"S": secret})
	got := problemsOf(t, o)
	if len(got) < 24 {
		t.Errorf("only %d problems:\n%s", len(got), strings.Join(got, "\n"))
	}
	for _, p := range got {
		if strings.Contains(p, secret) {
			t.Errorf("a problem quotes the environment: %s", p)
		}
	}
	o = options(text)
	o.LookupEnv = environment(map[string]string{"S": secret})
	o.Date = ""
	o.LookupEnv = environment(map[string]string{"S": "x", "CPR_BATCH_DATE": secret})
	if all := strings.Join(problemsOf(t, o), "\n"); strings.Contains(all, secret) || !strings.Contains(all, "CPR_BATCH_DATE: write a date") {
		t.Errorf("problems:\n%s", all)
	}
}
