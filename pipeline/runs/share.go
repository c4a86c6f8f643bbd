package runs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// TaskConfig says which task of a run this process is, and how tasks get on together.
type TaskConfig struct {
	Index, Count int           // Count 1: the only one that is known of
	NoWait       bool          // end when nothing is left to take, though others still work
	Beat         time.Duration // between heartbeats; 0: 10 s
	Stale        time.Duration // from when on a task without a heartbeat is taken for lost; 0: 45 s
	// Straggling is from when on a split that a living task works at may be taken too, if
	// that is also three times as long as splits take on average; 0: never.
	Straggling time.Duration
	// Elsewhere gets the counts of what others commit while this process is at work; may be
	// nil. What is in the run's Summary before Share is called is not counted.
	Elsewhere *pipeline.Elsewhere
	Log       *slog.Logger // may be nil
}

const (
	defaultBeat  = 10 * time.Second
	defaultStale = 45 * time.Second
)

// withDefaults is c with what it leaves out.
func (c TaskConfig) withDefaults() (TaskConfig, error) {
	if c.Count < 1 || c.Index < 0 || c.Index >= c.Count {
		return c, fmt.Errorf("share a run: there is no task %d of %d", c.Index, c.Count)
	}
	if c.Beat <= 0 {
		c.Beat = defaultBeat
	}
	if c.Stale <= 0 {
		c.Stale = defaultStale
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Share hands the splits of a run out to this process: first those of its own share, then
// those that nobody works at, and those that a lost or a straggling task works at. Each is
// handed out once. That no two tasks are given the same split is likely, not sure: the
// commit record decides. Safe for concurrent use.
type Share struct {
	run    *Run
	config TaskConfig
	log    *slog.Logger
	claims *claims

	stop    context.CancelFunc // of the goroutines
	running sync.WaitGroup
	turn    chan struct{} // held by the one call of Next that looks for a split
	wake    chan struct{} // something has changed that Next may wait for
	commits commitsView

	mu      sync.Mutex
	open    *openSplits // neither taken here nor known to be committed
	cursor  int         // of the own share: the next number to look at
	step    int
	waiting bool // that this task waits for others has been told
}

// Share begins to hand out splits, and to tell other tasks by a heartbeat that this one is
// alive, until Close. A run has one Share.
func (r *Run) Share(ctx context.Context, c TaskConfig) (*Share, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Share{
		run: r, config: c, log: c.Log, claims: newClaims(r, c),
		turn: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		commits: commitsView{turn: make(chan struct{}, 1)},
		open:    newOpenSplits(r.Plan().Splits.Len()), cursor: c.Index, step: c.Count,
	}
	for i, done := range r.ledger.watch(s.committed) {
		if done {
			s.close(i)
		}
	}
	report := s.beating()
	report(s.claims.beat(ctx, everybody))
	if err := context.Cause(ctx); err != nil {
		r.ledger.watch(nil)
		return nil, errors.Join(err, s.claims.remove(context.WithoutCancel(ctx)))
	}
	if c.Count == 1 && s.claims.living() > 0 {
		s.cursor, s.step = r.Plan().Splits.Len()-1, -1
	}
	// Work that is under way when ctx ends is still finished, and to be told of.
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(func() { s.claims.keep(ctx, report) })
	s.running.Go(func() { s.follow(ctx) })
	return s, nil
}

// committed takes a commit record down, whoever wrote it.
func (s *Share) committed(i int, r *Record) {
	if r.Attempt == s.run.attempt {
		s.claims.committed(i)
	} else if e := s.config.Elsewhere; e != nil {
		e.Predicted.Add(r.Tally.Predicted)
		e.Failed.Add(r.Tally.Failed)
	}
	s.close(i)
	s.nudge()
}

// nudge lets Next look again, if it waits.
func (s *Share) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// close takes a split out of what may be handed out, and says whether it was in.
func (s *Share) close(i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open.close(i)
}

// numbers are the open splits.
func (s *Share) numbers() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open.numbers()
}

func (s *Share) isOpen(i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open.has(i)
}

// left is how many splits are open.
func (s *Share) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open.count
}

// Next returns the number of the split to work at next, and waits while only others have
// one. It returns io.EOF when there is none any more, ever: all others are committed, or
// have been handed out here. An error is the cause of the end of ctx, or says that the
// run's folder has not been readable for minutes.
func (s *Share) Next(ctx context.Context) (int, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if i, ok, err := s.nextOwn(ctx); ok || err != nil {
		return i, err
	}
	return s.nextOther(ctx)
}

// Settle says what became of a split that Next has handed out: nil, it is committed.
func (s *Share) Settle(i int, err error) {
	s.claims.release(i)
	if err != nil && s.claims.living() > 0 {
		s.claims.kick()
	}
}

// Close tells the other tasks that this one has ended. It may be called twice.
func (s *Share) Close(ctx context.Context) error {
	s.stop()
	s.running.Wait()
	s.run.ledger.watch(nil)
	return s.claims.remove(ctx)
}

// nextOwn is the next split of the own share.
func (s *Share) nextOwn(ctx context.Context) (int, bool, error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return 0, false, err
		}
		i, ok := s.advance()
		if !ok {
			return 0, false, nil
		}
		living := s.claims.living()
		if living == 0 {
			s.take(i)
			return i, true, nil
		}
		mine, err := s.takeAmong(ctx, i, living)
		if err != nil || mine {
			return i, mine, err
		}
	}
}

// advance moves the cursor of the own share behind its next open split.
func (s *Share) advance() (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.cursor; i >= 0 && i < s.run.Plan().Splits.Len(); i += s.step {
		if s.open.has(i) {
			s.cursor = i + s.step
			return i, true
		}
		s.cursor = i + s.step
	}
	return 0, false
}

// takeAmong takes a split of the own share unless one of those who are alive has it.
func (s *Share) takeAmong(ctx context.Context, i, living int) (bool, error) {
	contended := s.claims.contends()
	lately := time.Duration(0)
	if !contended {
		// Where many are at work, each reads less often what all the others tell.
		lately = s.config.Beat * time.Duration(1+living/100)
	}
	err := s.claims.look(ctx, lately)
	if err == nil && len(s.claims.holders()[i]) > 0 {
		return false, nil
	}
	if err == nil && contended {
		var mine bool
		if mine, err = s.claimOpen(ctx, i, ""); err == nil {
			return mine, nil
		}
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	// Also where the others can not be asked: claims are hints, and it is the own share.
	s.take(i)
	return true, nil
}
