package runs

import (
	"strings"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

func FuzzParseRecord(f *testing.F) {
	good := Record{Format: formatVersion, RunID: "r", Split: "00000-of-00001", Attempt: "a",
		Files: []PartFile{{Name: "predictions-00000-of-00001.jsonl", Size: 3}}}
	data, err := good.marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(data))
	f.Add(string(data[:len(data)/2]))
	f.Add(`{"format":1}`)
	f.Fuzz(func(t *testing.T, data string) {
		r, err := parseRecord([]byte(data), "record", "r", pipeline.SplitID("00000-of-00001"))
		if err != nil {
			return
		}
		for _, file := range r.Files {
			if strings.ContainsAny(file.Name+r.Attempt, "/\\") || strings.Contains(file.Name, "..") {
				t.Errorf("%q of %q leads elsewhere", file.Name, r.Attempt)
			}
		}
	})
}
