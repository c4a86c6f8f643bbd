package runs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// beats are the heartbeats of a task that are there.
func (s *site) beats(k *task) []string {
	var names []string
	for _, name := range s.Names() {
		if strings.HasPrefix(name, claimsFolder+"/"+k.run.Attempt()+"/") {
			names = append(names, name)
		}
	}
	return names
}

// rewrite changes the last heartbeat of a task.
func (s *site) rewrite(t *testing.T, k *task, change func(map[string]json.RawMessage)) {
	t.Helper()
	names := s.beats(k)
	content, _ := s.Content(names[len(names)-1])
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(content, &fields); err != nil {
		t.Fatal(err)
	}
	change(fields)
	content, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	s.Put(names[len(names)-1], content)
}

func TestAClaimIsWrittenAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(9)
		k := s.start(t, runs.TaskConfig{Index: 1, Count: 3})
		k.take(t, 2)
		seen := make(map[string]bool)
		for range 6 {
			<-time.After(10 * time.Second)
			synctest.Wait()
			names := s.beats(k)
			want(t, "heartbeats at a time", len(names), 1)
			seen[names[0]] = true
		}
		want(t, "heartbeats", len(seen), 6)
		k.commit(t, s, 1)
		<-time.After(10 * time.Second)
		content, _ := s.Content(s.beats(k)[0])
		var got struct {
			Index, Count, Done int
			Seconds            float64
			Splits             []struct{ Number int }
		}
		if err := json.Unmarshal(content, &got); err != nil {
			t.Fatal(err)
		}
		want(t, "task", [2]int{got.Index, got.Count}, [2]int{1, 3})
		want(t, "done", got.Done, 1)
		want(t, "seconds", got.Seconds, 60)
		want(t, "splits", fmt.Sprint(got.Splits), "[{4}]")
	})
}

func TestAClaimEndsWithItsTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		ended := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		ended.take(t, 1)
		told()
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		k.take(t, 1)
		for range 2 {
			if err := ended.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want(t, "its heartbeats", len(s.beats(ended)), 0)
		want(t, "passing", passing(func() { want(t, "of the ended", k.take(t, 1), []int{1}) }), 0)
	})
}

func TestAGivenUpSplitIsFreeForOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		other := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		other.take(t, 1)
		told()
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		k.take(t, 1)
		after(time.Minute, func() { other.Settle(1, errors.New("unread")) })
		passed := passing(func() { want(t, "of the other", k.take(t, 1), []int{1}) })
		if passed < time.Minute || passed > time.Minute+7*time.Second {
			t.Errorf("after %v", passed)
		}
	})
}

func TestAFailingHeartbeatEndsNothing(t *testing.T) {
	t.Parallel()
	lost := errors.New("lost")
	for name, tt := range map[string]struct {
		fail func(s *site, k *task, during time.Duration) // and no more afterwards
		told int
	}{
		"it can not be written": {func(s *site, k *task, during time.Duration) {
			s.on(func(op, name string) error {
				if op == "create" && strings.HasPrefix(name, claimsFolder+"/"+k.run.Attempt()) {
					return lost
				}
				return nil
			})
			after(during, func() { s.on(nil) })
		}, 1},
		"it takes too long": {func(s *site, k *task, during time.Duration) {
			s.on(func(op, name string) error {
				if op == "commit" && strings.HasPrefix(name, claimsFolder+"/"+k.run.Attempt()) {
					<-time.After(16 * time.Second)
				}
				return nil
			})
			after(during, func() { s.on(nil) })
		}, 1},
		"its reply is lost": {func(s *site, k *task, during time.Duration) {
			s.After(func(op, name string) error {
				if op == "commit" && strings.HasPrefix(name, claimsFolder+"/"+k.run.Attempt()) {
					return lost
				}
				return nil
			})
			after(during, func() { s.After(nil) })
		}, 1},
		"the others can not be listed": {func(s *site, k *task, during time.Duration) {
			s.on(func(op, name string) error {
				if op == "list" && name == claimsFolder {
					return lost
				}
				return nil
			})
			after(during, func() { s.on(nil) })
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(4)
				k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
				want(t, "taken", k.take(t, 1), []int{0})
				<-time.After(11 * time.Second)
				tt.fail(s, k, 2*time.Minute)
				<-time.After(5 * time.Minute)
				synctest.Wait()
				want(t, "told", k.log.count("can not be written"), tt.told)
				want(t, "heartbeats", len(s.beats(k)), 1)
				k.commit(t, s, 0)
				other := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
				want(t, "taken by the other", other.take(t, 1), []int{1})
				want(t, "taken", k.take(t, 1), []int{2})
			})
		})
	}
}

// A store whose clock stands still says nothing about a heartbeat's age: then it counts for
// how long it has been seen.
func TestALostTaskIsFoundWithoutTheStoresClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		s.Before(nil)
		lost := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		lost.take(t, 1)
		told()
		lost.crash(t)
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		k.take(t, 1)
		passed := passing(func() { want(t, "of the lost", k.take(t, 1), []int{1}) })
		if passed < 45*time.Second || passed > 60*time.Second {
			t.Errorf("after %v", passed)
		}
		<-time.After(time.Minute)
		want(t, "told", k.log.count("is lost"), 1)
	})
}

// Between two heartbeats of one's own, time goes by the machine's monotonic clock.
func TestALostTaskIsFoundByOneWhoCanNotWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		lost := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		lost.take(t, 1)
		told()
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		k.take(t, 1)
		lost.crash(t)
		s.on(func(op, name string) error {
			if op == "create" && strings.HasPrefix(name, claimsFolder) {
				return errors.New("full")
			}
			return nil
		})
		after(46*time.Second, func() { s.on(nil) })
		passed := passing(func() { want(t, "of the lost", k.take(t, 1), []int{1}) })
		if passed < 43*time.Second || passed > 52*time.Second {
			t.Errorf("after %v", passed)
		}
	})
}

func TestWhatIsNoClaimClaimsNothing(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"cut short":                `{"format":2,"splits":[{"number":`,
		"of another format":        `{"format":9,"splits":[{"number":1}]}`,
		"of splits there are not":  `{"format":2,"splits":[{"number":1},{"number":-1}]}`,
		"of splits beyond the end": `{"format":2,"splits":[{"number":1},{"number":2}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(2)
				s.Put(claimsFolder+"/0190/0000000001.json", []byte(content))
				s.Put(claimsFolder+"/stray", nil)
				k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
				want(t, "passing", passing(func() { want(t, "taken", k.take(t, 2), []int{0, 1}) }), 0)
				k.ends(t)
			})
		})
	}
}

// A heartbeat may have made room for the next between the listing and the reading.
func TestAClaimThatMovesIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		other := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		other.take(t, 1)
		told()
		const moves = 4
		moved := 0
		s.on(func(op, name string) error {
			if op == "open" && moved < moves && strings.HasPrefix(name, claimsFolder+"/"+other.run.Attempt()) {
				moved++
				content, _ := s.Content(name)
				s.Delete(name)
				s.Put(strings.TrimSuffix(name, ".json")+"0.json", content)
			}
			return nil
		})
		k := s.start(t, runs.TaskConfig{Index: 0, Count: 2, NoWait: true})
		want(t, "taken", k.take(t, 1), []int{0})
		k.ends(t)
		want(t, "moved", moved, moves)
	})
}

func TestTasksTellsWhoIsAtWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(6)
		empty := inspect(t, s, "elsewhere")
		if tasks, err := empty.Tasks(t.Context()); err != nil || len(tasks) != 0 {
			t.Errorf("without a run: %v, %v", tasks, err)
		}
		second := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
		second.take(t, 2)
		first := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
		s.Advance(time.Since(s.Now())) // its clock is right, as far as people can tell
		first.take(t, 1)
		first.commit(t, s, 0)
		<-time.After(25 * time.Second)
		second.crash(t)
		for _, tt := range []struct {
			after time.Duration
			lost  bool
		}{{0, false}, {time.Minute, true}} {
			<-time.After(tt.after)
			tasks, err := inspect(t, s, "out").Tasks(t.Context())
			if err != nil || len(tasks) != 2 {
				t.Fatalf("%v, %v", tasks, err)
			}
			want(t, "index", [2]int{tasks[0].Index, tasks[1].Index}, [2]int{0, 1})
			want(t, "attempts", [2]string{tasks[0].Attempt, tasks[1].Attempt}, [2]string{first.run.Attempt(), second.run.Attempt()})
			want(t, "done", [2]int{tasks[0].Done, tasks[1].Done}, [2]int{1, 0})
			want(t, "lost", [2]bool{tasks[0].Lost, tasks[1].Lost}, [2]bool{false, tt.lost})
			want(t, "of the first", len(tasks[0].Splits), 0)
			want(t, "of the second", [2]int{tasks[1].Splits[0].Number, tasks[1].Splits[1].Number}, [2]int{1, 3})
			if age := tasks[1].Age - tt.after; age < 0 || age > 10*time.Second {
				t.Errorf("heartbeat of the second: %v ago", tasks[1].Age)
			}
			if d := tasks[1].Splits[0].Since.Sub(tasks[1].Beat); d > -15*time.Second || d < -30*time.Second {
				t.Errorf("taken %v before the heartbeat", -d)
			}
		}
	})
}
