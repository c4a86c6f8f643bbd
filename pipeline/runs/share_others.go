package runs

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// errBusy says that there is no split to take now, but that others work at some.
var errBusy = errors.New("others are at work")

// patience is for how long the run's folder may be unreadable to one who looks for work.
const patience = 5 * time.Minute

// nextOther is the next split of all that are left, once the own share is taken.
func (s *Share) nextOther(ctx context.Context) (int, error) {
	s.claims.help()
	var failing time.Time // since when there have been nothing but errors
	for {
		select {
		case <-s.wake: // what comes from now on is not seen by this search
		default:
		}
		i, err := s.search(ctx)
		switch {
		case err == nil, err == io.EOF: // as it is: a reply that was cut short wraps one
			return i, err
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case errors.Is(err, errBusy) && s.config.NoWait:
			return 0, io.EOF
		case errors.Is(err, errBusy):
			failing = time.Time{}
			s.tellWaiting()
		case isFinal(err):
			return 0, err
		case failing.IsZero():
			failing = time.Now()
			s.log.Warn("the run's folder can not be looked at: tried again", "error", err)
		case time.Since(failing) > patience:
			return 0, unreadableError(s.run.folder, err)
		}
		if err := s.wait(ctx); err != nil {
			return 0, err
		}
	}
}

// search looks once for a split to take: io.EOF, there is none any more; errBusy, others
// have all of them.
func (s *Share) search(ctx context.Context) (int, error) {
	if s.left() == 0 {
		return 0, io.EOF
	}
	if err := s.claims.look(ctx, 0); err != nil {
		return 0, err
	}
	s.tellLost()
	if err := s.refresh(ctx, s.pause(), refreshShare); err != nil {
		return 0, err
	}
	committed := 0
	for {
		i, ok := s.pick(s.claims.holders())
		if !ok {
			break
		}
		open, err := s.check(ctx, i)
		if err != nil {
			return 0, err
		}
		if !open {
			if committed++; committed%manyCommitted == 0 {
				err = s.refresh(ctx, 0, 1)
			}
			if err != nil {
				return 0, err
			}
			continue
		}
		mine, err := s.claim(ctx, i, "")
		if err != nil || mine {
			return i, err
		}
	}
	if s.left() == 0 {
		return 0, io.EOF
	}
	return s.searchStraggler(ctx)
}

// manyCommitted is how many splits in a row that look open and are committed make all
// commits be listed.
const manyCommitted = 8

// check says whether a split that is to be taken is still not committed.
func (s *Share) check(ctx context.Context, i int) (bool, error) {
	record, err := s.run.Record(ctx, s.run.Plan().Splits.ID(i))
	if errors.Is(err, objects.ErrNotExist) {
		return true, nil
	}
	if err == nil {
		s.run.ledger.add(i, &record)
	}
	return false, err
}

// searchStraggler takes a split beside a living task that has worked at it for too long.
func (s *Share) searchStraggler(ctx context.Context) (int, error) {
	if s.config.Straggling <= 0 || s.claims.besides() {
		return 0, errBusy
	}
	i, by, ok := s.claims.straggler(s.isOpen)
	if !ok {
		return 0, errBusy
	}
	mine, err := s.claimOpen(ctx, i, by)
	if err == nil && !mine {
		err = errBusy
	}
	if err == nil {
		s.log.Info("a split that another task has worked at for long is worked at here too", "split", s.run.Plan().Splits.ID(i), "attempt", by)
	}
	return i, err
}

// pause is about how long to wait before looking again: longer where many are at work, for
// each reads what all the others tell.
func (s *Share) pause() time.Duration {
	return s.config.Beat / 4 * time.Duration(1+s.claims.living()/50)
}

// wait waits until something may have changed.
func (s *Share) wait(ctx context.Context) error {
	pause := s.pause()
	timer := time.NewTimer(pause/2 + rand.N(pause))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

func (s *Share) tellWaiting() {
	s.mu.Lock()
	told, left := s.waiting, s.open.count
	s.waiting = true
	s.mu.Unlock()
	if !told {
		s.log.Info("other tasks work at all that is left: waiting for them", "tasks", s.claims.living(), "splits", left)
	}
}

// isFinal says whether an error will be the same the next time.
func isFinal(err error) bool {
	var e *pipeline.Error
	return errors.As(err, &e) && e.Remedy != pipeline.TryAgain && !objects.IsSetup(err)
}

func unreadableError(folder string, err error) error {
	return &pipeline.Error{
		Remedy:  pipeline.TryAgain,
		Phase:   pipeline.PhaseRead,
		Message: "look for work that other tasks of the run in " + folder + " have left, for " + patience.String(),
		Hint:    "Run the same command again: what is committed stays.",
		Err:     errors.New(err.Error()), // it may wrap io.EOF, which says something else here
	}
}
