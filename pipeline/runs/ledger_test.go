package runs

import (
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// It does not run beside others, which need memory too.
func TestALedgerOfAMillionSplitsIsSmall(t *testing.T) {
	const n = 1_000_000
	held := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := held()
	l := newLedger("me", n)
	record := Record{
		Attempt: "another", Split: pipeline.NewSplitID(0, n), Tally: pipeline.Tally{Read: 1, Lines: 1},
		Files: []PartFile{{Name: "predictions-0000000-of-1000000.jsonl"}},
	}
	for i := range n {
		record.Digest = []string{"a", "b", "c"}[i%3]
		l.add(i, &record)
	}
	if size := held() - before; size > 24*n {
		t.Errorf("%d bytes are held", size)
	}
	if s := l.sum(); s.Parts != n || s.Tally.Read != n || len(s.Makers) != 3 || s.Makers[2].Parts != n/3 {
		t.Errorf("%+v", s)
	}
}

func TestALedgerTakesARecordDownOnce(t *testing.T) {
	t.Parallel()
	when := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	record := func(split int, attempt string, versions Versions, committed time.Time) *Record {
		id := pipeline.NewSplitID(split, 4)
		return &Record{
			Split: id, Attempt: attempt, Digest: "d", Versions: versions, Committed: committed,
			Tally: pipeline.Tally{Read: 10, Predicted: 8, Failed: 2, Lines: 11},
			Files: []PartFile{{Name: "predictions-" + string(id) + ".jsonl.gz"}, {Name: "errors-" + string(id) + ".jsonl.gz"}},
		}
	}
	old, now := Versions{CPRBatch: "1"}, Versions{CPRBatch: "2"}
	l := newLedger("me", 4)
	l.add(3, record(3, "me", now, when))
	l.add(2, record(2, "other", old, when.Add(-time.Hour)))
	l.add(1, record(1, "me", now, when.Add(-time.Minute)))
	l.add(1, record(1, "me", now, when.Add(time.Hour)))
	want := Summary{
		Parts: 3, Own: 2, OwnRead: 20, Tally: pipeline.Tally{Read: 30, Predicted: 24, Failed: 6, Lines: 33},
		Errors: "jsonl.gz", Last: when,
		Makers: []Maker{{"d", now, 2, "00001-of-00004"}, {"d", old, 1, "00002-of-00004"}},
	}
	if diff := cmp.Diff(want, l.sum()); diff != "" {
		t.Error(diff)
	}
	for i := range 4 {
		lines, ok := l.linesOf(i)
		if ok != (i > 0) || l.isDone(i) != ok || ok && (lines != 11 || l.failedIn(i) != 2) {
			t.Errorf("part %d: %d lines, %v", i, lines, ok)
		}
	}
}
