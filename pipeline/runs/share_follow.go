package runs

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// commitsView is when this task last looked at what others have committed.
type commitsView struct {
	turn chan struct{} // held by who looks
	seen time.Time
	took time.Duration
}

const (
	// refreshBeats is how many heartbeats lie between two looks at the commits of others.
	refreshBeats = 3
	// refreshShare is how many times as long as a look takes it is not repeated: of a plan
	// of a million splits it takes minutes.
	refreshShare = 5
	// fewSplits are asked for one by one, which is less than a page of a listing costs.
	fewSplits = 16
	// pageSplits is how many names a page of a listing holds.
	pageSplits = 1000
)

// refresh takes down what others have committed, unless that was done as lately as this,
// or share times as long ago as it takes.
func (s *Share) refresh(ctx context.Context, lately time.Duration, share int) error {
	v := &s.commits
	select {
	case v.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-v.turn }()
	if !v.seen.IsZero() && time.Since(v.seen) < max(lately, time.Duration(share)*v.took) {
		return nil
	}
	begun := time.Now()
	if err := s.fold(ctx); err != nil {
		return err
	}
	v.seen, v.took = time.Now(), time.Since(begun)
	return nil
}

// fold reads the commit records that are new: of the few splits that are left, or of all
// that a listing shows.
func (s *Share) fold(ctx context.Context) error {
	splits := s.run.Plan().Splits.Len()
	if s.left() > max(fewSplits, splits/pageSplits) {
		return s.run.Refresh(ctx)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for _, i := range s.numbers() {
		group.Go(func() error {
			_, err := s.check(ctx, i)
			return err
		})
	}
	return group.Wait()
}

// follow takes down what others commit, until ctx ends: for the error budget, which is
// that of the whole run.
func (s *Share) follow(ctx context.Context) {
	ticker := time.NewTicker(refreshBeats * s.config.Beat)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if s.config.Count == 1 && s.claims.living() == 0 {
			continue
		}
		err := s.refresh(ctx, s.config.Beat, refreshShare)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			s.log.Warn("what other tasks have committed can not be read: tried again", "error", err)
		}
		failing = err != nil
	}
}

// beating returns what is to be called after each heartbeat: it tells of the first of
// several that fail, and of those tasks that are lost.
func (s *Share) beating() func(error) {
	failing, living := false, 0
	return func(err error) {
		if err != nil && !failing {
			s.log.Warn("the heartbeat of this task can not be written: tried again; others may take it for lost", "error", err)
		}
		failing = err != nil
		s.tellLost()
		now := s.claims.living()
		if now < living {
			s.nudge()
		}
		living = now
	}
}

// tellLost tells of tasks that have been lost since it was called last.
func (s *Share) tellLost() {
	for attempt, splits := range s.claims.lost() {
		if splits > 0 {
			s.log.Info("a task is lost: what it worked at may be taken by others", "attempt", attempt, "splits", splits)
		}
	}
}
