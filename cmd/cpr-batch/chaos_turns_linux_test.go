package main

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// turn is one start of the program, or two, and its end by force.
type turn struct {
	*stage
	t     *testing.T
	begin func() *started // starts the program once more
	share int64           // bytes of the log of calls that a turn makes on average

	program, other *started
	kills          int  // by SIGKILL, of whatever
	workers        int  // of these workers
	drained        bool // the program has ended by itself, and sealed what it had begun
}

// ways in which a turn ends, by name, and how many of all there are of each.
func endings() map[string]ending {
	return map[string]ending{
		"the program":                           {7, (*turn).killProgram},
		"the process group":                     {3, (*turn).killGroup},
		"all at once":                           {3, (*turn).killAtOnce},
		"the reaper, then all":                  {2, (*turn).killReaperFirst},
		"workers, then the program":             {4, (*turn).killWorkers},
		"reapers, then the program":             {3, (*turn).killReapers},
		"told to stop":                          {3, (*turn).drain},
		"told to stop, killed":                  {2, (*turn).drainKilled},
		"told to stop twice":                    {2, (*turn).stopTwice},
		"two programs, killed one by one":       {1, (*turn).killPair},
		"two programs, one is told to stop":     {2, (*turn).drainOfPair},
		"the program as soon as it is started":  {2, (*turn).killEarly},
		"the program when a part was committed": {2, (*turn).killAtCommit},
	}
}

type ending struct {
	times int
	run   func(*turn)
}

// killed are the statuses of a program that was killed, unless it ended before.
func killed() []int { return []int{-int(syscall.SIGKILL), 0} }

// moment waits for a part of the turn's share by chance, or for a time when that is longer
// than anything takes.
func (u *turn) moment(p *started, share float64) bool {
	return p.logged(int64(u.chance.Float64() * share * 2 * float64(u.share)))
}

func (u *turn) short() time.Duration {
	return time.Duration(u.chance.Int64N(int64(200 * time.Millisecond)))
}

// kill sends SIGKILL to the program alone.
func (u *turn) kill(p *started) {
	p.reapers() // so that they are known
	p.signal(syscall.SIGKILL)
	u.kills++
	p.wait(u.t, killed()...)
}

func (u *turn) killProgram() {
	u.moment(u.program, 1)
	u.kill(u.program)
}

func (u *turn) killEarly() {
	u.program.after(3 * u.short())
	u.kill(u.program)
}

// killAtCommit kills within milliseconds of a commit.
func (u *turn) killAtCommit() {
	count := len(standingOf(u.t, u.output).committed)
	u.program.until(func() bool { return len(standingOf(u.t, u.output).committed) > count })
	u.program.after(u.short() / 20)
	u.kill(u.program)
}

func (u *turn) killGroup() {
	u.moment(u.program, 1)
	u.program.reapers()
	_ = syscall.Kill(-u.program.Process.Pid, syscall.SIGKILL)
	u.kills++
	u.program.wait(u.t, killed()...)
}

func (u *turn) killAtOnce() {
	u.moment(u.program, 1)
	u.program.killAll(false)
	u.kills += 4
	u.program.wait(u.t, killed()...)
}

func (u *turn) killReaperFirst() {
	u.moment(u.program, 1)
	u.program.killAll(true)
	u.kills += 4
	u.program.wait(u.t, killed()...)
}

// killWorkers kills workers of a program that has to outlive that.
func (u *turn) killWorkers() {
	k := killer{chance: u.chance, loading: map[string]bool{}}
	for range 1 + u.chance.IntN(3) {
		if !u.moment(u.program, 0.3) {
			break
		}
		if err := k.kill(u.dir); err != nil {
			u.t.Error(err)
		}
	}
	u.workers = k.killed
	u.kills += k.killed
	u.moment(u.program, 0.3)
	if u.program.hasEnded() {
		u.program.wait(u.t, 0)
	}
	u.kill(u.program)
}

// killReapers kills the reaper, and when there is another one, perhaps that too.
func (u *turn) killReapers() {
	for range 1 + u.chance.IntN(2) {
		u.moment(u.program, 0.4)
		for _, pid := range u.program.reapers() {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				u.kills++
			}
		}
	}
	u.program.after(u.short())
	u.kill(u.program)
}

// stopped are the statuses of a program that is told to stop: before it has looked after
// signals it just ends by them.
func stopped() []int { return []int{143, 0, -int(syscall.SIGTERM)} }

func (u *turn) drain() {
	u.moment(u.program, 1)
	u.program.reapers()
	u.program.signal(syscall.SIGTERM)
	u.program.wait(u.t, stopped()...)
	u.drained = true
}

func (u *turn) drainKilled() {
	u.moment(u.program, 1)
	u.program.signal(syscall.SIGTERM)
	u.program.after(u.short() / 4)
	u.program.reapers()
	u.program.signal(syscall.SIGKILL)
	u.kills++
	u.program.wait(u.t, append(stopped(), killed()...)...)
}

func (u *turn) stopTwice() {
	u.moment(u.program, 1)
	u.program.reapers()
	u.program.signal(syscall.SIGTERM)
	u.program.after(u.short() / 4)
	u.program.signal(syscall.SIGTERM)
	u.program.wait(u.t, stopped()...)
}

// startOther starts a second program beside the first, at some time of it.
func (u *turn) startOther() {
	u.program.after(u.short())
	u.other = u.begin()
}

func (u *turn) killPair() {
	u.startOther()
	u.moment(u.other, 0.7)
	u.kill(u.program)
	u.moment(u.other, 0.7)
	u.kill(u.other)
}

func (u *turn) drainOfPair() {
	u.startOther()
	u.moment(u.program, 0.7)
	u.program.signal(syscall.SIGTERM)
	u.program.reapers()
	u.program.wait(u.t, stopped()...)
	u.moment(u.other, 0.7)
	u.kill(u.other)
}

// shuffled are the names of the endings, each as often as it shall be, so many times.
func (s *stage) shuffled(times int) []string {
	var names []string
	for name, e := range endings() {
		for range e.times * times {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	s.chance.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names
}
