package runs

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// process tells whether the process that made an attempt still lives.
type process struct {
	// Space is where PID counts: this start of this machine, this container. Empty where
	// that is not known: then nothing can be said about other processes.
	Space string `json:"space"`
	PID   int    `json:"pid"`
}

const processName = "process.json"

// enter leaves the name of this process in the attempt's folder.
func (r *Run) enter(ctx context.Context) error {
	data, err := json.Marshal(self())
	if err != nil {
		return err
	}
	if err := write(ctx, r.store, r.Work(processName), data); err != nil {
		return err
	}
	r.entered = true
	return nil
}

// abandoned says that the run in the folder has no committed part, and that no process is
// known to be at it or may be.
func (r *Run) abandoned(ctx context.Context) bool {
	if r.state.Condition == Finished || len(r.state.Committed) > 0 {
		return false
	}
	dead := make(map[string]bool)
	for _, name := range r.deserted(ctx) {
		dead[name] = true
	}
	for o, err := range r.store.List(ctx, join(r.folder, workDir)) {
		if err != nil || strings.HasSuffix(o.Name, "/"+processName) && !dead[o.Name] {
			return false
		}
	}
	return true
}

// deserted lists what attempts have left whose process is known to be gone. An attempt of
// another machine may be alive, and is not among them.
func (r *Run) deserted(ctx context.Context) []string {
	attempts := make(map[string][]string)
	dir := join(r.folder, workDir)
	for o, err := range r.store.List(ctx, dir) {
		if err != nil {
			return nil // what can not be listed is left: it only takes room
		}
		attempt, _, ok := strings.Cut(within(dir, o.Name), "/")
		if ok && attempt != r.attempt {
			attempts[attempt] = append(attempts[attempt], o.Name)
		}
	}
	me := self()
	var names []string
	for attempt, left := range attempts {
		data, err := read(ctx, r.store, workName(r.folder, attempt, processName))
		var p process
		if err != nil || json.Unmarshal(data, &p) != nil {
			continue
		}
		if me.Space != "" && p.Space == me.Space && p.PID != me.PID && gone(p.PID) {
			names = append(names, left...)
		}
	}
	return names
}

// sweep removes what nobody needs any more. What can not be removed only takes room.
func sweep(ctx context.Context, store objects.Store, names []string) {
	for _, name := range names {
		if store.Remove(ctx, name) != nil {
			return
		}
	}
}
