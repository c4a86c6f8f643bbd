package sinks_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// The flags of TestSchedules.
var (
	schedules = flag.Int("schedules", 2000, "how many schedules TestSchedules tries")
	replayed  = flag.Uint64("schedule", 0, "the seed of the only schedule that TestSchedules tries, whose operations it prints; 0: none")
)

// TestSchedules lets several processes work at one run in an order that chance decides from
// one operation of the store to the next, where operations fail, lose their replies and are
// the last that a process does; and holds every step against what a run promises.
func TestSchedules(t *testing.T) {
	t.Parallel()
	if *replayed != 0 {
		s := try(t, *replayed)
		t.Logf("%s", s.told())
		if s.broken != nil {
			t.Error(s.broken)
		}
		return
	}
	from := rand.Uint64() >> 20
	t.Logf("schedules %d to %d", from, from+uint64(*schedules)-1)
	var tried atomic.Int64
	for worker := range runtime.GOMAXPROCS(0) {
		t.Run(fmt.Sprintf("tried side by side, %d", worker), func(t *testing.T) {
			t.Parallel()
			for n := tried.Add(1); n <= int64(*schedules); n = tried.Add(1) {
				seed := from + uint64(n) - 1
				if s := try(t, seed); s.broken != nil {
					tried.Store(int64(*schedules))
					t.Fatalf("schedule %d, number %d:\n%s\n%v\nagain: go test ./sinks -run Schedules -schedule %d", seed, n, s.told(), s.broken, seed)
				}
			}
		})
	}
}

func TestASeedDecidesASchedule(t *testing.T) {
	t.Parallel()
	from := rand.Uint64() >> 20
	for seed := from; seed < from+40; seed++ {
		first, again := try(t, seed), try(t, seed)
		if diff := cmp.Diff(first.steps(), again.steps()); diff != "" {
			t.Fatalf("schedule %d: %s", seed, diff)
		}
		if !slices.ContainsFunc(first.trace, func(e step) bool { return e.name == folderOfSchedules+"/_SUCCESS" }) {
			t.Errorf("schedule %d: the run has no end", seed)
		}
	}
}

// try plays one schedule.
func try(t *testing.T, seed uint64) *schedule {
	t.Helper()
	var s *schedule
	synctest.Test(t, func(t *testing.T) {
		s = newSchedule(seed)
		s.play(t.Context())
	})
	return s
}
