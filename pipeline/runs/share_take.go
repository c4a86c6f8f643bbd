package runs

import (
	"context"
	"math/rand/v2"
)

// take takes a split, and tells of it soon.
func (s *Share) take(i int) {
	s.claims.hold(i, "")
	s.close(i)
	s.claims.kick()
}

// claimOpen is claim for a split that may have been committed meanwhile.
func (s *Share) claimOpen(ctx context.Context, i int, beside string) (bool, error) {
	if open, err := s.check(ctx, i); err != nil || !open {
		return false, err
	}
	return s.claim(ctx, i, beside)
}

// claim takes a split if nobody else has claimed it before, but for the one called beside.
func (s *Share) claim(ctx context.Context, i int, beside string) (bool, error) {
	s.claims.hold(i, beside)
	err := s.claims.beat(ctx, everybody)
	if err == nil && !s.claims.contested(i, beside) && s.close(i) {
		return true, nil
	}
	s.claims.release(i)
	s.claims.kick()
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return false, err
}

// pick is an open split that none of the living works at. Those who look at the same time
// are to find different ones.
func (s *Share) pick(claimed map[int][]holder) (int, bool) {
	numbers := make([]int, 0, len(claimed))
	for i := range claimed {
		numbers = append(numbers, i)
	}
	found := -1
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open.without(numbers, func() {
		count := s.open.count
		switch {
		case count == 0:
		case s.config.Count > 1:
			found = s.open.nth(int(int64(count) * int64(s.config.Index) / int64(s.config.Count)))
		default:
			found = s.open.nth(rand.IntN(count))
		}
	})
	return found, found >= 0
}
