package runs

import (
	"strings"
	"testing"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

const fuzzedSplit = pipeline.SplitID("00000-of-00001")

// sound is a seal of two segments, by two attempts.
func sound() *Seal {
	return &Seal{
		Format: formatVersion, RunID: "r", Split: fuzzedSplit, Attempt: "b", Digest: "d", Sealed: time.Unix(0, 0).UTC(),
		Tally: pipeline.Tally{Read: 5, Predicted: 3, Failed: 2, Lines: 6, Failures: []pipeline.FailureCount{
			{Phase: pipeline.PhasePredict, Type: "ValueError", Count: 2, First: pipeline.FirstFailure{Split: fuzzedSplit, Ordinal: 1}},
		}},
		Failed: Ordinals{Ranges: [][2]int64{{1, 1}, {4, 4}}},
		Segments: []Segment{
			{Name: "a-1", Files: []PartFile{{Name: "predictions.jsonl.gz", Size: 30, CRC32C: 1}}},
			{Name: "b-7", Files: []PartFile{{Name: "predictions.jsonl.gz", Size: 3}, {Name: "errors.jsonl.gz", Size: 4}}},
		},
	}
}

func FuzzSeal(f *testing.F) {
	data, err := sound().marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(data))
	f.Add(string(data[:len(data)/2]))
	f.Add(`{"format":1}`)
	f.Add(`{}`)
	for _, change := range hostile {
		s := sound()
		change(s)
		if data, err = s.marshal(); err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, data string) {
		s, err := parseSeal([]byte(data), "b-7", "r", fuzzedSplit)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for name, file := range s.files {
			if strings.ContainsAny(name, "/\\") || strings.Contains(name, "..") || strings.HasPrefix(name, ".") {
				t.Errorf("%q leads elsewhere", name)
			}
			if seen[name] || file.Size < 0 {
				t.Errorf("%q is there twice, or of %d bytes", name, file.Size)
			}
			seen[name] = true
		}
		if s.name() != "b-7" || s.Tally.Read < 1 || s.Tally.Predicted+s.Tally.Failed != s.Tally.Read {
			t.Errorf("%s counts %+v", s.name(), s.Tally)
		}
		again, err := s.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseSeal(again, "b-7", "r", fuzzedSplit); err != nil {
			t.Errorf("it is not read back: %v", err)
		}
	})
}

// hostile are records that are refused.
var hostile = map[string]func(s *Seal){
	"another run":                        func(s *Seal) { s.RunID = "x" },
	"another split":                      func(s *Seal) { s.Split = "00001-of-00001" },
	"another attempt":                    func(s *Seal) { s.Attempt = "a" },
	"an attempt with a path":             func(s *Seal) { s.Attempt = "../b" },
	"no format":                          func(s *Seal) { s.Format = 0 },
	"no segment":                         func(s *Seal) { s.Segments = nil },
	"another last segment":               func(s *Seal) { s.Segments = s.Segments[:1] },
	"a segment twice":                    func(s *Seal) { s.Segments[0] = s.Segments[1] },
	"a segment with a path":              func(s *Seal) { s.Segments[0].Name = "../../a-1" },
	"a segment from the root":            func(s *Seal) { s.Segments[0].Name = "/etc/a-1" },
	"a segment with a newline":           func(s *Seal) { s.Segments[0].Name = "a-1\n" },
	"a segment without a number":         func(s *Seal) { s.Segments[0].Name = "a" },
	"a segment without files":            func(s *Seal) { s.Segments[0].Files = nil },
	"a file with a path":                 func(s *Seal) { s.Segments[0].Files[0].Name = "../predictions.jsonl" },
	"a file of another kind":             func(s *Seal) { s.Segments[0].Files[0].Name = "plan.jsonl" },
	"a record for a file":                func(s *Seal) { s.Segments[0].Files[0].Name = "json" },
	"a file twice":                       func(s *Seal) { s.Segments[1].Files[1].Name = s.Segments[1].Files[0].Name },
	"a negative size":                    func(s *Seal) { s.Segments[0].Files[0].Size = -1 },
	"no instance":                        func(s *Seal) { s.Tally.Read = 0 },
	"a negative count":                   func(s *Seal) { s.Tally.Read = -1 },
	"a huge count":                       func(s *Seal) { s.Tally.Read = 1 << 62 },
	"counts that overflow":               func(s *Seal) { s.Tally.Predicted, s.Tally.Failed = 1<<62, 1<<62 },
	"fewer failures than none":           func(s *Seal) { s.Tally.Predicted, s.Tally.Failed = 6, -1 },
	"negative lines":                     func(s *Seal) { s.Tally.Lines = -1 },
	"failures of another split":          func(s *Seal) { s.Tally.Failures[0].First.Split = "x" },
	"more failures of a kind than all":   func(s *Seal) { s.Tally.Failures[0].Count = 3 },
	"a first failure behind the end":     func(s *Seal) { s.Tally.Failures[0].First.Ordinal = 5 },
	"ordinals behind the end":            func(s *Seal) { s.Failed.Ranges[1] = [2]int64{5, 5} },
	"ordinals out of order":              func(s *Seal) { s.Failed.Ranges[1] = [2]int64{0, 0} },
	"a range that ends before its begin": func(s *Seal) { s.Failed.Ranges[1] = [2]int64{4, 3} },
	"a negative ordinal":                 func(s *Seal) { s.Failed.Ranges[0] = [2]int64{-1, -1} },
	"too few ordinals":                   func(s *Seal) { s.Failed.Ranges = s.Failed.Ranges[:1] },
	"too many ordinals":                  func(s *Seal) { s.Failed.Ranges[0] = [2]int64{0, 1} },
	"more ordinals than are kept": func(s *Seal) {
		s.Tally = pipeline.Tally{Read: 1 << 20, Failed: 1 << 20}
		s.Failed = Ordinals{Cut: true}
		for i := range int64(maxRanges + 1) {
			s.Failed.Ranges = append(s.Failed.Ranges, [2]int64{2 * i, 2 * i})
		}
	},
}

func TestHostileSealsAreRefused(t *testing.T) {
	t.Parallel()
	parse := func(change func(*Seal)) error {
		s := sound()
		change(s)
		data, err := s.marshal()
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseSeal(data, "b-7", "r", fuzzedSplit)
		return err
	}
	if err := parse(func(*Seal) {}); err != nil {
		t.Fatal(err)
	}
	if err := parse(func(s *Seal) { s.Failed = Ordinals{Ranges: s.Failed.Ranges[:1], Cut: true} }); err != nil {
		t.Errorf("of a seal whose ordinals are cut: %v", err)
	}
	for name, change := range hostile {
		if parse(change) == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
