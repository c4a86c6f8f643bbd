package runs

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// process tells whether the process that made an attempt still lives.
type process struct {
	// Space is where PID counts: this start of this machine, this container. Empty where
	// that is not known: then nothing can be said about other processes.
	Space string `json:"space"`
	PID   int    `json:"pid"`
	Start string `json:"start,omitempty"` // when it was started, by the kernel's count; "": not known
}

const processName = "process.json"

// enter leaves the name of this process in the attempt's folder.
func (r *Run) enter(ctx context.Context) error {
	data, err := json.Marshal(self())
	if err != nil {
		return err
	}
	r.entered = true // perhaps, where only the store's reply is lost
	name := r.Work(processName)
	if err := write(ctx, r.store, name, data); err != nil && !errors.Is(err, objects.ErrExist) {
		return Fault(pipeline.PhasePlan, "write", name, err)
	}
	return nil
}

// abandoned says that nothing of the run in the folder is committed or sealed, and that no
// other process is at it, or may be.
func (r *Run) abandoned(ctx context.Context) (bool, error) {
	for _, dir := range []string{commitsDir, segmentsDir} {
		if empty, err := isEmpty(ctx, r.store, join(r.folder, dir)); err != nil || !empty {
			return false, err
		}
	}
	names, err := r.deserted(ctx)
	if err != nil {
		return false, err
	}
	dead := make(map[string]bool, len(names))
	for _, name := range names {
		dead[name] = true
	}
	dir := join(r.folder, workDir)
	for o, err := range r.store.List(ctx, dir) {
		if err != nil {
			return false, Fault(pipeline.PhasePlan, "list", dir, err)
		}
		if strings.HasSuffix(o.Name, "/"+processName) && !dead[o.Name] && o.Name != r.Work(processName) {
			return false, nil
		}
	}
	return true, nil
}

func isEmpty(ctx context.Context, store objects.Store, dir string) (bool, error) {
	for _, err := range store.List(ctx, dir) {
		return false, Fault(pipeline.PhasePlan, "list", dir, err)
	}
	return true, nil
}

// deserted lists what attempts have left whose process is known to be gone. An attempt of
// another machine may be alive, and is not among them.
func (r *Run) deserted(ctx context.Context) ([]string, error) {
	attempts := make(map[string][]string)
	dir := join(r.folder, workDir)
	for o, err := range r.store.List(ctx, dir) {
		if err != nil {
			return nil, Fault(pipeline.PhasePlan, "list", dir, err)
		}
		attempt, _, ok := strings.Cut(within(dir, o.Name), "/")
		if ok && attempt != r.attempt {
			attempts[attempt] = append(attempts[attempt], o.Name)
		}
	}
	me := self()
	var names []string
	for _, attempt := range slices.Sorted(maps.Keys(attempts)) {
		data, err := read(ctx, r.store, workName(r.folder, attempt, processName))
		if err == nil && me.knowsGone(data) {
			names = append(names, attempts[attempt]...)
		}
	}
	return names, nil
}

// needless are those files of deserted attempts that no commit record needs, now or later:
// a request that one of their processes has made for its record may still be on its way to
// the store. So a whole part stays until some record of its split is known, and with it
// what tells that its process is gone.
func (r *Run) needless(left []string) []string {
	dir := join(r.folder, workDir)
	needed := make(map[string]bool) // by the attempt
	stays := func(name string) bool {
		_, file, _ := strings.Cut(within(dir, name), "/")
		i, ok := partNumber(file, r.state.Plan.Splits)
		return ok && !r.ledger.isDone(i)
	}
	attemptOf := func(name string) string {
		attempt, _, _ := strings.Cut(within(dir, name), "/")
		return attempt
	}
	for _, name := range left {
		if stays(name) {
			needed[attemptOf(name)] = true
		}
	}
	return slices.DeleteFunc(left, func(name string) bool {
		return stays(name) || needed[attemptOf(name)] && strings.HasSuffix(name, "/"+processName)
	})
}

// knowsGone says whether the process that has left data is known not to live any more.
func (p process) knowsGone(data []byte) bool {
	var other process
	return json.Unmarshal(data, &other) == nil && other.isGone(p)
}

// isGone says whether p is known, where process me counts, not to live any more.
func (p process) isGone(me process) bool {
	return me.Space != "" && p.Space == me.Space && gone(p)
}

// sweep removes what nobody needs any more. What can not be removed only takes room.
func sweep(ctx context.Context, store objects.Store, names []string) {
	_ = removeAll(ctx, store, names)
}
