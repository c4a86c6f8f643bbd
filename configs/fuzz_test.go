package configs_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
)

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		smallest, head + "batch: {size: \"${N}\", max_bytes: 5MiB}\n", head + "<<: {name: x}\nname: y\n",
		"a: &a [*a, *a]\nb: {<<: *a}", `{"model": {"kwargs": {"a": "\ud83d\ude00", "b": 1e5}}}`, "? [a]\n: !x b",
		"model: {kwargs: {a: .5, b: 0x1F, c: 1., d: -.5e3, e: ${N}}}\nsource: {jsonl: {uris: [\"out/**/[a\", '{a']}}\nsink: {jsonl: {uri: out}}",
		"name: ${date:%Y}\ntimezone: ${N}\nexpect: {a: 1}", "\ufeff%YAML 1.2\n---\na: |\n  b\n...\n",
	} {
		f.Add(seed, "batch.size=5")
	}
	f.Add(smallest, "model.kwargs.a={b: [1, ~]}")
	f.Fuzz(func(t *testing.T, text, set string) {
		o := options(text)
		o.Set = []string{set}
		o.LookupEnv = environment(map[string]string{"N": "secret-5"})
		job, err := configs.Load(t.Context(), o)
		if err == nil {
			if len(job.Model.Kwargs) > 0 && !json.Valid(job.Model.Kwargs) {
				t.Errorf("kwargs %q are no JSON", job.Model.Kwargs)
			}
			return
		}
		var p configs.Problems
		var e *pipeline.Error
		if !errors.As(err, &p) || !errors.As(err, &e) || len(p) == 0 || job != nil {
			t.Fatalf("error %#v", err)
		}
		// For the YAML parser there are five ends of a line.
		lines := 2
		for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			lines += strings.Count(text, end)
		}
		for _, q := range p {
			if q.Message == "" || q.Line < 0 || q.Line > lines || q.Line > 0 && q.Column < 1 {
				t.Errorf("problem %+v", q)
			}
			if s := q.String(); strings.ContainsAny(s, "\n\r") || strings.Contains(s, "secret-5") && !strings.Contains(text+set, "secret-5") {
				t.Errorf("problem %q", s)
			}
		}
	})
}
