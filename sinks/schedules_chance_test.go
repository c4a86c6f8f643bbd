package sinks_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// traits are what a whole schedule has in common.
type traits struct {
	sizes       []int    // instances of each split
	fails       []uint64 // a bit an instance that has no prediction
	compression string
	models      []string // that the processes have; those after the first by --accept-changes
	disk        bool     // the store tells no sums
	known       bool     // a process that is killed is known to be dead
	wait        time.Duration
	atOnce      int // processes at the same time
	starts      int // processes in all, before the undisturbed one

	faults, crashes, sleeps float64   // of the operations
	sealing, draining       float64   // of the batches
	constancy               float64   // how often the process goes on that did the last step
	meeting                 operation // where processes wait for each other
	trouble                 operation // which seldom goes well
}

// operation is a kind of operation on names that have something in common: "" is any
// operation, and on "" there is none.
type operation struct{ op, part string }

func (o operation) is(e *event) bool {
	return o.part != "" && (o.op == "" || o.op == e.op) && strings.Contains(e.name, o.part)
}

// recording is the operation that may be done when nobody waits for it any more.
var recording = operation{"commit", "/commits/"}

// rivalry are those operations that decide who is first, or between which a run is not as
// it was.
func rivalry() []operation {
	return []operation{
		{}, {}, {}, {"commit", "/plan.jsonl"}, {"commit", "/commits/"}, {"copy", "/predictions-"}, {"copy", "/errors-"}, {"list", "/segments/"},
		{"remove", "/segments/"}, {"remove", "/report.json"}, {"copy", "/_SUCCESS"}, {"stat", "/_SUCCESS"}, {"compose", "/work/"},
	}
}

// decisive are those operations that others depend on most.
func decisive() []operation {
	return []operation{
		{}, {}, {"", "/commits/"}, {"", "/segments/"}, {"", "/_SUCCESS"}, {"commit", "/plan.jsonl"}, {"commit", "/process.json"}, {"commit", "/commits/"}, {"commit", "/work/"}, {"commit", "/segments/"},
		{"commit", "/report.json"}, {"copy", "/predictions-"}, {"copy", "/errors-"}, {"copy", "/segments/"}, {"copy", "/_SUCCESS"},
		{"compose", "/work/"}, {"list", "/segments/"}, {"list", "/commits"}, {"stat", "/_SUCCESS"}, {"stat", "/commits/"},
		{"remove", "/segments/"}, {"remove", "/work/"}, {"remove", "/report.json"},
	}
}

func draw(rng *rand.Rand) traits {
	t := traits{
		compression: []string{"none", "none", "none", "none", "none", "none", "none", "none", "gzip", "zstd"}[rng.IntN(10)],
		models:      []string{"A"},
		disk:        rng.IntN(2) == 0,
		known:       rng.IntN(2) == 0,
		atOnce:      1 + rng.IntN(4),
		starts:      1 + rng.IntN(6),
		faults:      pick(rng, 0, 0, 0.005, 0.02, 0.06),
		crashes:     pick(rng, 0, 0.003, 0.01, 0.03),
		sleeps:      pick(rng, 0, 0.005, 0.02),
		sealing:     pick(rng, 0, 0.3, 0.7, 1),
		draining:    pick(rng, 0, 0.05, 0.3),
		constancy:   pick(rng, 0, 0.5, 0.9, 0.97),
		meeting:     pick(rng, rivalry()...),
		trouble:     pick(rng, decisive()...),
	}
	if rng.IntN(5) == 0 {
		t.models = append(t.models, "B")
	}
	if rng.IntN(4) == 0 {
		t.wait = 5 * time.Second
	}
	for range 1 + rng.IntN(3) {
		t.sizes = append(t.sizes, rng.IntN(7))
		t.fails = append(t.fails, pick(rng, 0, ^uint64(0), rng.Uint64(), rng.Uint64()))
	}
	return t
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// fate is what becomes of an operation.
type fate int

const (
	done         fate = iota
	refused           // nothing is done
	unheard           // it is done, and the reply is lost
	misheard          // it is done, and the reply is that of a second request for it
	killedBefore      // the process does nothing any more
	killedAfter       // this is the last that it does
	interrupted       // nothing is done: the process is told to end
	late              // it is given up, and done at some later time
	killedLate        // the process does nothing any more, and this is done at some later time
)

func (f fate) String() string {
	return []string{"", "refused", "reply lost", "done, told to exist", "killed before", "killed behind", "interrupted", "given up, and on its way", "killed, and this is on its way"}[f]
}

// verdict is what becomes of an operation, and of what it opens.
type verdict struct {
	fate   fate
	stream int  // which read or write of what is opened is refused, from 1; 0: none
	stop   int  // before which object a listing stops for others to go on, from 1; 0: none
	newer  bool // it goes on with what is there then
}

// judge decides about an operation.
func (s *schedule) judge(e *event) verdict {
	var v verdict
	if e.op == "list" && s.rng.IntN(4) == 0 {
		v.stop, v.newer = 1+s.rng.IntN(6), s.rng.IntN(2) == 0
	}
	if e.by.immune {
		return v
	}
	crashes, faults := s.crashes, s.faults
	if s.trouble.is(e) {
		crashes, faults = 0.1, 0.2
	}
	chance := s.rng.Float64()
	switch {
	case chance < crashes:
		v.fate = pick(s.rng, killedBefore, killedAfter)
	case chance < crashes+faults:
		v.fate = pick(s.rng, refused, refused, unheard, unheard, misheard, interrupted)
		if v.fate == misheard && !slices.Contains([]string{"commit", "copy", "compose"}, e.op) {
			v.fate = unheard
		}
	case recording.is(e) && faults > 0 && chance < crashes+faults+0.1:
		v.fate = pick(s.rng, late, late, killedLate)
	case chance < crashes+2*faults && (e.op == "create" || e.op == "open"):
		v.stream = 1 + s.rng.IntN(2)
	}
	return v
}

// outcome is what becomes of an instance of a split where this model predicts it.
func (s *schedule) outcome(model string, split, ordinal int) (pipeline.Instance, pipeline.Outcome) {
	in := row(fmt.Sprintf(`"%d/%d"`, split, ordinal))
	in.Origin = pipeline.Origin{URI: "in/" + letter(split) + ".jsonl", Line: int64(ordinal) + 1, Offset: 10 * int64(ordinal)}
	if s.fails[split]>>ordinal&1 == 1 {
		return in, failed(pipeline.Failure{Phase: pipeline.PhasePredict, Type: "ValueError", Message: model})
	}
	return in, predicted(fmt.Sprintf(`{"%s":"%d/%d"}`, model, split, ordinal))
}

// lines are those of one kind of the first instances of a split.
func (s *schedule) lines(kind, model string, split, instances int) string {
	var b strings.Builder
	for ordinal := range instances {
		failing := s.fails[split]>>ordinal&1 == 1
		switch {
		case failing && kind == "errors":
			fmt.Fprintf(&b, `{"instance":"%d/%d","error":{"phase":"predict","type":"ValueError","message":"%s"},"source":{"uri":"in/%s.jsonl","line":%d,"offset":%d}}`+"\n",
				split, ordinal, model, letter(split), ordinal+1, 10*ordinal)
		case !failing && kind == "predictions":
			fmt.Fprintf(&b, `{"instance":"%d/%d","prediction":{"%s":"%d/%d"}}`+"\n", split, ordinal, model, split, ordinal)
		}
	}
	return b.String()
}

func letter(split int) string { return string(rune('a' + split)) }
