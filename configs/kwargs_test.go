package configs_test

import (
	"encoding/json"
	"testing"
)

func TestKwargsKeepEveryDigit(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"{a: 1, b: -2, c: +3}":                 `{"a":1,"b":-2,"c":3}`,
		"{a: 123456789012345678901234567890}":  `{"a":123456789012345678901234567890}`,
		"{a: 0.1000, b: 1E+5, c: 1e400}":       `{"a":0.1000,"b":1E+5,"c":1e400}`,
		"{a: .5, b: 1., c: -.5e3, d: 01.5}":    `{"a":0.5,"b":1.0,"c":-0.5e3,"d":1.5}`,
		"{a: 0x1F, b: 0o17, c: 010, d: -0}":    `{"a":31,"b":15,"c":10,"d":-0}`,
		"{a: 1_000, b: 0b1, c: 12:30}":         `{"a":"1_000","b":"0b1","c":"12:30"}`,
		"{a: yes, b: off, c: True, d: false}":  `{"a":"yes","b":"off","c":true,"d":false}`,
		"{a: 2026-11-22, b: 2026-11-22 10:00}": `{"a":"2026-11-22","b":"2026-11-22 10:00"}`,
		"{a: , b: null, c: ~}":                 `{"a":null,"b":null,"c":null}`,
		`{a: "1", b: '', c: "<&>"}`:            `{"a":"1","b":"","c":"<&>"}`,
		"{b: {y: [1, {z: x}], x: []}, a: {}}":  `{"b":{"y":[1,{"z":"x"}],"x":[]},"a":{}}`,
		"{a: !!str 1, b: !!float 2, c: ! 3}":   `{"a":"1","b":2,"c":"3"}`,
		"{a: !!timestamp 2026-11-22}":          `{"a":"2026-11-22"}`,
		"{a: &x [1], b: *x, c: {<<: {d: 1}}}":  `{"a":[1],"b":[1],"c":{"d":1}}`,
		"{}":                                   "",
		"":                                     "",
	} {
		t.Run(yaml, func(t *testing.T) {
			t.Parallel()
			job := mustLoad(t, options("model:\n  prediction_class: p.P\n  kwargs: "+yaml+"\n"+rest))
			if got := string(job.Model.Kwargs); got != want {
				t.Errorf("kwargs = %s, want %s", got, want)
			}
			if len(job.Model.Kwargs) > 0 && !json.Valid(job.Model.Kwargs) {
				t.Errorf("%s is no JSON", job.Model.Kwargs)
			}
		})
	}
}

func TestReplacedKwargs(t *testing.T) {
	t.Parallel()
	o := options("model:\n  prediction_class: p.P\n  kwargs:\n" +
		"    number: ${N}\n    quoted: \"${N}\"\n    zeros: ${Z}\n    flag: ${T}\n    none: ${E}\n    word: ${NULL}\n    ${N}: key\n    yaml: ${Y}\n" + rest)
	o.LookupEnv = environment(map[string]string{"N": "0.50", "Z": "007", "T": "true", "E": "", "NULL": "null", "Y": "[1, {a: b}]\nc: d"})
	job := mustLoad(t, o)
	want := `{"number":0.50,"quoted":"0.50","zeros":"007","flag":true,"none":"","word":"null","${N}":"key","yaml":"[1, {a: b}]\nc: d"}`
	if got := string(job.Model.Kwargs); got != want {
		t.Errorf("kwargs = %s\nwant     %s", got, want)
	}
}
