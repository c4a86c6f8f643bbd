package sinks_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// schedule is one order of what several processes do at a run. Between two operations of
// the store all of them wait, and chance says whose turn it is.
type schedule struct {
	traits
	rng   *rand.Rand
	store *memtest.Store

	mu        sync.Mutex
	waiting   []*event
	processes []*process
	late      []func() error // operations that are on their way to the store
	last      *process       // whose turn it was
	turns     int
	trace     []step
	broken    error // the first promise that was not kept
	model
}

// event is an operation that waits for its turn.
type event struct {
	by       *process
	op, name string
	answer   chan verdict
}

// step is what was done, or came of it.
type step struct {
	by       int
	op, name string
	fate     fate
}

func newSchedule(seed uint64) *schedule {
	rng := rand.New(rand.NewPCG(seed, 0))
	return &schedule{
		traits: draw(rng), rng: rng, store: memtest.New(),
		model: model{digests: map[string]string{}, records: map[int]*runs.Record{}, sealed: map[sealedBy]int64{},
			winners: map[int]int{}, owners: map[string]*process{}, reports: map[string]bool{}},
	}
}

// play lets processes come and go as they will; then one that nothing happens to has to
// bring the run to its end; then those come back that have slept meanwhile; and in the end
// nothing is left but the output.
func (s *schedule) play(ctx context.Context) {
	s.proceed(func() bool { return s.startMore(ctx) })
	s.undisturbed(ctx)
	s.check(s.checkFinished)
	s.wake()
	s.proceed(func() bool { return false })
	s.undisturbed(ctx)
	s.check(s.checkFinished)
	s.check(s.checkLeftovers)
	s.end()
}

// startMore starts a process where it is time for one.
func (s *schedule) startMore(ctx context.Context) bool {
	s.mu.Lock()
	awake := 0
	for _, p := range s.processes {
		if p.isAwake() {
			awake++
		}
	}
	s.mu.Unlock()
	if len(s.processes) == s.starts || awake == s.atOnce || awake > 0 && s.rng.IntN(20) > 0 {
		return false
	}
	s.start(ctx, &process{model: pick(s.rng, s.models...), wait: s.wait})
	return true
}

// undisturbed has one process work that nothing happens to, while nobody else does.
func (s *schedule) undisturbed(ctx context.Context) {
	if s.isBroken() {
		return
	}
	p := &process{model: s.models[0], immune: true}
	state, err := runs.Look(ctx, s.store, folderOfSchedules)
	if err == nil && state.Plan != nil {
		p.model = state.Plan.Digest.Parts[0].Text
		err = state.Plan.Splits.Close()
	}
	s.check(func() error { return err })
	s.start(ctx, p)
	s.proceed(func() bool { return false })
}

// start starts a process.
func (s *schedule) start(ctx context.Context, p *process) {
	life, end := context.WithCancelCause(ctx)
	work, interrupt := context.WithCancelCause(life)
	s.mu.Lock()
	p.s, p.number, p.end, p.interrupt = s, len(s.processes)+1, end, interrupt
	p.rng = rand.New(rand.NewPCG(s.rng.Uint64(), 0))
	s.processes = append(s.processes, p)
	s.mu.Unlock()
	s.note(p, "starts with model "+p.model)
	go func() {
		defer end(nil)
		err := p.guarded(life, work)
		s.note(p, fmt.Sprintf("ends: %v", err))
		s.mu.Lock()
		defer s.mu.Unlock()
		p.ended = true
	}()
}

// patience is how long nothing may happen, and how many turns a schedule may take.
const (
	patience = 30 * time.Minute
	maxTurns = 20_000
)

// proceed gives turns until no process is awake any more.
func (s *schedule) proceed(more func() bool) {
	const moment = 600 * time.Millisecond
	var idle time.Duration
	for !s.isBroken() {
		synctest.Wait()
		s.arrive()
		if more() {
			continue
		}
		e, waiting := s.next()
		if e == nil && !waiting {
			return
		}
		if s.turns > maxTurns || idle > patience {
			s.check(func() error { return errors.New("it has no end") })
		}
		// Time passes where all wait for that, and sometimes while they could go on.
		if e != nil && (e.by.immune || s.rng.IntN(200) > 0) {
			idle = 0
			s.answer(e)
			continue
		}
		idle += moment
		<-time.After(moment)
		s.store.Advance(moment)
	}
	synctest.Wait()
}

// postpone keeps an operation for which nobody waits any more.
func (s *schedule) postpone(act func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = append(s.late, act)
}

// arrive has such an operation done, now and then.
func (s *schedule) arrive() {
	s.mu.Lock()
	late := len(s.late)
	s.mu.Unlock()
	if late == 0 || s.rng.IntN(30) > 0 {
		return
	}
	act := s.late[0]
	s.late = s.late[1:]
	err := act()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, step{op: fmt.Sprintf("a late operation arrives: %v", err)})
}

// next is whose turn it is; nil: that of nobody, until time has passed, or for good.
func (s *schedule) next() (e *event, waiting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.waiting, func(a, b *event) int {
		return cmp.Or(cmp.Compare(a.by.number, b.by.number), strings.Compare(a.op, b.op), strings.Compare(a.name, b.name))
	})
	for _, e := range s.waiting {
		if e.by.dead {
			return e, true
		}
	}
	for {
		ready := s.ready()
		if len(ready) == 0 {
			return nil, slices.ContainsFunc(s.processes, (*process).isAwake)
		}
		e := s.choose(ready)
		if e.by.immune || e.by.rested || s.rng.Float64() >= s.sleeps {
			return e, true
		}
		e.by.until, e.by.rested = s.turns+10+s.rng.IntN(300), true
		e.by.asleep = s.rng.IntN(4) == 0
	}
}

// ready are the events that may be next: not those of processes that sleep, unless these
// would sleep for nothing.
func (s *schedule) ready() []*event {
	var ready, resting []*event
	for _, e := range s.waiting {
		switch {
		case e.by.asleep:
		case e.by.until > s.turns:
			resting = append(resting, e)
		default:
			ready = append(ready, e)
		}
	}
	if len(ready) == 0 {
		return resting
	}
	return ready
}

// choose takes one of the events: of those that processes wait for each other with, all
// others first.
func (s *schedule) choose(ready []*event) *event {
	var meeting, others []*event
	met := map[*process]bool{}
	for _, e := range ready {
		if s.meeting.is(e) {
			meeting = append(meeting, e)
			met[e.by] = true
		} else {
			others = append(others, e)
		}
	}
	switch {
	case len(met) > 1 || len(others) == 0:
		ready = meeting
	case len(others) > 0:
		ready = others
	}
	if i := slices.IndexFunc(ready, func(e *event) bool { return e.by == s.last }); i >= 0 && s.rng.Float64() < s.constancy {
		ready = slices.DeleteFunc(slices.Clone(ready), func(e *event) bool { return e.by != s.last })
	} else {
		by := ready[s.rng.IntN(len(ready))].by
		ready = slices.DeleteFunc(slices.Clone(ready), func(e *event) bool { return e.by != by })
	}
	return ready[s.rng.IntN(len(ready))]
}

// ask waits for an operation's turn.
func (s *schedule) ask(p *process, op, name string) (verdict, error) {
	e := &event{by: p, op: op, name: name, answer: make(chan verdict, 1)}
	s.mu.Lock()
	if p.dead {
		s.mu.Unlock()
		return verdict{}, errKilled
	}
	s.waiting = append(s.waiting, e)
	s.mu.Unlock()
	return <-e.answer, nil
}

// answer gives an event its turn.
func (s *schedule) answer(e *event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(other *event) bool { return other == e })
	v := verdict{fate: killedBefore}
	if !e.by.dead {
		v = s.judge(e)
		s.turns++
		s.last, e.by.rested = e.by, false
		s.trace = append(s.trace, step{e.by.number, e.op, e.name, v.fate})
	}
	if v.fate != done || v.stream > 0 {
		e.by.faults++
	}
	e.answer <- v
}

// wake has all processes go on that sleep.
func (s *schedule) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.processes {
		p.asleep = false
	}
}

// kill ends a process: nothing that it does has an effect any more.
func (s *schedule) kill(p *process) {
	p.end(errKilled)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.dead {
		return
	}
	p.dead = true
	if s.known {
		s.bury(p)
	}
}

// end kills whoever is left of a schedule that is over.
func (s *schedule) end() {
	s.wake()
	for _, p := range s.processes {
		s.kill(p)
	}
	for {
		synctest.Wait()
		e, waiting := s.next()
		switch {
		case e != nil:
			s.answer(e)
		case !waiting:
			return
		default:
			<-time.After(time.Minute)
		}
	}
}

func (s *schedule) isBroken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken != nil
}

// check keeps the first promise that is not kept.
func (s *schedule) check(promise func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = promise()
	}
}

// note puts something into the trace that is not an operation.
func (s *schedule) note(p *process, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil && !p.dead { // else several are at it at the same time
		s.trace = append(s.trace, step{by: p.number, op: text})
	}
}

// uuidPattern matches the names of attempts.
var uuidPattern = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// steps tell what was done, with names that are the same each time.
func (s *schedule) steps() []string {
	names := []string{folderOfSchedules + "/", "", "_cpr-batch/", ""}
	for _, p := range s.processes {
		if p.attempt != "" {
			names = append(names, p.attempt, fmt.Sprintf("<%d>", p.number))
		}
	}
	known := strings.NewReplacer(names...)
	told := make([]string, len(s.trace))
	for i, e := range s.trace {
		told[i] = known.Replace(strings.TrimSpace(fmt.Sprintf("process %d: %s %s %s", e.by, e.op, e.name, e.fate)))
		told[i] = uuidPattern.ReplaceAllString(told[i], "<none>")
	}
	return told
}

// told is all that is to be known about a schedule.
func (s *schedule) told() string {
	return fmt.Sprintf("%+v\n%s", s.traits, strings.Join(s.steps(), "\n"))
}
