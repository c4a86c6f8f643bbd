package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// racing makes a run of several tasks: one worker each.
func racing(ctx context.Context, t *testing.T, instances int) (*stage, chaosOutput) {
	t.Helper()
	job := strings.Replace(chaosJob("in/", "out/", "none", "8KiB"), fmt.Sprintf("count: %d", chaosWorkers), "count: 1", 1)
	s := newStage(t, stage{job: job, pace: time.Millisecond})
	makeInput(t, chaosInput(instances), putBelow(t, filepath.Join(s.dir, "in")))
	return s, s.undisturbed(ctx, t)
}

// taskArgs are the flags of a task; none where there are no tasks.
func taskArgs(index, count int) []string {
	if count == 0 {
		return nil
	}
	return []string{"--task-index", fmt.Sprint(index), "--task-count", fmt.Sprint(count)}
}

// TestRacesOfTasks: several tasks on one run at once, some of which are killed; each of the
// others ends well, and so does who comes late.
func TestRacesOfTasks(t *testing.T) {
	t.Parallel()
	for name, race := range map[string]struct {
		tasks, plain, killed int // plain: further ones that are not told that they are tasks
		late                 int // as many start when the others are at work
		again                int // instances that may be predicted twice
	}{
		"two tasks": {tasks: 2, again: 600},
		"two programs that know nothing of others": {plain: 2, again: 600},
		"four tasks, two of them killed":           {tasks: 4, killed: 2, again: 1200},
		"eight processes, three of them killed":    {tasks: 5, plain: 3, killed: 3, late: 3, again: 4000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			s, calm := racing(ctx, t, 6000)
			var programs []*started
			for i := range race.tasks + race.plain {
				if i == race.tasks+race.plain-race.late {
					programs[0].logged(4000)
				}
				args := taskArgs(i, race.tasks)
				if i >= race.tasks {
					args = nil
				}
				programs = append(programs, s.start(ctx, t, args...))
			}
			s.chance.Shuffle(len(programs), func(i, j int) { programs[i], programs[j] = programs[j], programs[i] })
			for _, p := range programs[:race.killed] {
				p.logged(s.chance.Int64N(10_000))
				p.killAll(s.chance.IntN(2) == 0)
				p.wait(t, killed()...)
			}
			for _, p := range programs[race.killed:] {
				p.wait(t, 0)
			}
			before := results(t, s.output)
			s.start(ctx, t).wait(t, 0)
			if race.tasks > 0 {
				s.start(ctx, t, taskArgs(race.tasks-1, race.tasks)...).wait(t, 0)
			}
			wantResults(t, s.output, before)
			s.judgeRace(t, calm, 6000, race.again)
		})
	}
}

// judgeRace demands the output of one undisturbed task. Of the predictions some may have
// been made twice: who works at what is a hint, which is up to a heartbeat old.
func (s *stage) judgeRace(t *testing.T, calm chaosOutput, instances, again int) {
	t.Helper()
	wantFinished(t, s.output)
	wantResults(t, s.output, results(t, calm))
	s.wantCounts(t, s.output, instances)
	all := calls(t, s.dir)
	wantNothingTwice(t, all, seats(t, calm), s.stood)
	sum := 0
	for _, n := range doubled(all, len(s.stood)) {
		sum += n
	}
	t.Logf("%d programs; %d of %d predictions made again", len(s.stood), sum, instances)
	if sum > again {
		t.Errorf("%d of %d predictions were made twice, which are more than %d", sum, instances, again)
	}
}

// TestRacesOfTwoJobs: of two jobs towards one output one has it, and the other is told
// what differs. Nothing is mixed, also where one of them was killed there before.
func TestRacesOfTwoJobs(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, _ := racing(ctx, t, 400)
	s.pace = 100 * time.Microsecond
	won := map[string]int{}
	for round := range 6 * *chaosTimes {
		folder := outputFolder(filepath.Join(s.dir, fmt.Sprint("shared-", round)))
		s.output = folder
		jobs := []string{"one", "two"}
		s.chance.Shuffle(2, func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
		begin := func(by string) *started {
			return s.start(ctx, t, "--set", "model.kwargs.by="+by, "--set", "sink.jsonl.uri="+string(folder)+"/")
		}
		if round%2 == 1 {
			p := begin(jobs[s.chance.IntN(2)])
			p.after(time.Duration(s.chance.Int64N(int64(600 * time.Millisecond))))
			p.killAll(false)
			p.wait(t, killed()...)
		}
		programs := map[string]*started{}
		for _, by := range jobs {
			programs[by] = begin(by)
			programs[by].after(time.Duration(s.chance.Int64N(int64(10 * time.Millisecond))))
		}
		winner, loser := "one", "two"
		if programs["one"].wait(t, 0, 2) == 2 {
			winner, loser = loser, winner
		}
		programs[winner].wait(t, 0)
		programs[loser].wait(t, 2)
		if words := programs[loser].words(t); !strings.Contains(words, "kwargs") {
			t.Errorf("the loser does not name the difference:\n%s", words)
		}
		won[winner]++
		wantFinished(t, folder)
		for name, text := range results(t, folder) {
			if strings.Contains(text, `"by":"`+loser+`"`) {
				t.Errorf("round %d: %s has predictions of both jobs, or of the loser", round, name)
			}
		}
		s.wantCounts(t, folder, 400)
	}
	t.Logf("who won: %v", won)
}

// TestRacesAgainstTheClock: the times at which tasks have told each other what they do jump
// forwards and backwards by days. They are hints.
func TestRacesAgainstTheClock(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, calm := racing(ctx, t, 4000)
	var programs []*started
	for i := range 3 {
		programs = append(programs, s.start(ctx, t, taskArgs(i, 3)...))
	}
	jumps := 0
	programs[0].until(func() bool {
		for _, name := range s.output.names(t) {
			if !strings.HasPrefix(name, "_cpr-batch/claims/") || s.chance.IntN(5) > 0 {
				continue
			}
			at := time.Now().Add(time.Duration(s.chance.Int64N(int64(96*time.Hour))) - 48*time.Hour)
			if os.Chtimes(filepath.Join(s.dir, "out", filepath.FromSlash(name)), at, at) == nil {
				jumps++
			}
		}
		return false
	})
	for _, p := range programs {
		p.wait(t, 0)
	}
	wantFinished(t, s.output)
	wantResults(t, s.output, results(t, calm))
	t.Logf("%d times changed", jumps)
	if jumps < 20 {
		t.Errorf("only %d times changed", jumps)
	}
}

// TestChaosOfDrains ends tasks of a run, one after the other, by SIGTERM: each carries on
// where the last one was, and nothing is predicted twice.
func TestChaosOfDrains(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, calm := racing(ctx, t, 4000)
	for i := range 8 {
		p := s.start(ctx, t, taskArgs(i%4, 4)...)
		p.logged(s.chance.Int64N(4000))
		p.signal(syscall.SIGTERM)
		p.wait(t, stopped()...)
		wantOnlyCommitted(t, s.output)
	}
	s.start(ctx, t).wait(t, 0)
	s.judgeRace(t, calm, 4000, 0)
}
