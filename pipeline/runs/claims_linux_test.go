package runs_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func TestTheSplitsOfADeadProcessAreTakenAtOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		process map[string]any // what differs from this one
		dead    bool
		left    int // of its heartbeats
	}{
		"another one has its PID":      {map[string]any{"start": "1"}, true, 0},
		"nobody has its PID":           {map[string]any{"pid": 1 << 30}, true, 0},
		"its heartbeat stays":          {map[string]any{"pid": 1 << 30}, true, 1},
		"it may be on another machine": {map[string]any{"pid": 1 << 30, "space": "elsewhere"}, false, 1},
		"it is this one":               {nil, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(2)
				dead := s.start(t, runs.TaskConfig{Index: 1, Count: 2})
				dead.take(t, 1)
				told()
				dead.crash(t)
				s.rewrite(t, dead, func(fields map[string]json.RawMessage) {
					var process map[string]any
					err := json.Unmarshal(fields["process"], &process)
					for key, value := range tt.process {
						process[key] = value
					}
					var err2 error
					fields["process"], err2 = json.Marshal(process)
					if err := errors.Join(err, err2); err != nil {
						t.Fatal(err)
					}
				})
				s.on(func(op, name string) error {
					if op == "remove" && tt.left > 0 && strings.Contains(name, dead.run.Attempt()) {
						return errors.New("not allowed")
					}
					return nil
				})
				defer s.on(nil)
				k := s.start(t, runs.TaskConfig{Index: 0, Count: 2})
				s.Advance(time.Since(s.Now())) // for Tasks, which takes this machine's clock
				tasks, err := k.run.Tasks(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				k.take(t, 1)
				passed := passing(func() { want(t, "of the dead", k.take(t, 1), []int{1}) })
				if tt.dead {
					want(t, "time until it was taken", passed, 0)
					want(t, "its heartbeats", len(s.beats(dead)), tt.left)
					for _, other := range tasks {
						want(t, "lost", other.Lost, other.Attempt == dead.run.Attempt())
					}
					return
				}
				if passed < 40*time.Second {
					t.Errorf("taken after %v", passed)
				}
			})
		})
	}
}
