package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// removalLimit bounds how long a process removes a run, and then how long the others wait
// for one of which they do not know whether it lives.
const (
	removalLimit = 15 * time.Minute
	lostRemoval  = 20 * time.Minute
)

// removalsDir holds a file <number>.json for each removal of a run that was begun while
// others might begin one too, and <number>.done behind its end. Numbers are never used
// again, so that two processes can not both have the last one.
const removalsDir = home + "/removals"

// removal is the right to remove the run in a folder. One process at a time has it.
type removal struct {
	store objects.Store
	name  string
}

// remover is what a removal's file tells.
type remover struct {
	process
	ID string `json:"id"`
}

// beginRemoval returns the right to remove the run in a folder, as soon as nobody has it.
func beginRemoval(ctx context.Context, w *removalWatch) (*removal, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("name a removal: %w", err)
	}
	data, err := json.Marshal(remover{process: self(), ID: id.String()})
	if err != nil {
		return nil, err
	}
	for {
		if _, err := w.outwait(ctx); err != nil {
			return nil, err
		}
		begun, _, err := w.removals(ctx)
		if err != nil {
			return nil, err
		}
		name := join(w.folder, fmt.Sprintf("%s/%d.json", removalsDir, begun))
		writeErr := write(ctx, w.store, name, data)
		if writeErr == nil {
			return &removal{w.store, name}, nil
		}
		// It is ours where only the store's reply was lost.
		stands, err := read(ctx, w.store, name)
		switch {
		case err == nil && string(stands) == string(data):
			return &removal{w.store, name}, nil
		case !errors.Is(writeErr, objects.ErrExist):
			return nil, Fault(pipeline.PhasePlan, "write", name, writeErr)
		}
	}
}

// end gives the right back, whether or not all was removed.
func (r *removal) end(ctx context.Context) error {
	name := strings.TrimSuffix(r.name, ".json") + ".done"
	err := write(ctx, r.store, name, nil)
	if errors.Is(err, objects.ErrExist) {
		return nil
	}
	return Fault(pipeline.PhasePlan, "write", name, err)
}

// removalWatch looks at the removals of runs in one folder.
type removalWatch struct {
	store  objects.Store
	folder string
	log    *slog.Logger
	seen   map[string]time.Time // when each that may be under way was seen first
}

func watchRemovals(store objects.Store, folder string, log *slog.Logger) *removalWatch {
	return &removalWatch{store: store, folder: folder, log: log, seen: make(map[string]time.Time)}
}

// outwait waits while another process that may live removes the run in the folder, and
// says whether it had to. Nobody begins or joins a run without having asked it: what the
// other process removes may have the names of what is made.
func (w *removalWatch) outwait(ctx context.Context) (waited bool, err error) {
	for {
		_, open, err := w.removals(ctx)
		if err != nil {
			return waited, err
		}
		busy := w.notLost(open)
		if busy == "" {
			return waited, nil
		}
		if !waited {
			w.log.Info("another process removes the run that was there; this one waits for it", "file", busy)
		}
		waited = true
		if err := pause(ctx); err != nil {
			return waited, err
		}
	}
}

// notLost is a removal that may be under way and has not been for too long, or "".
func (w *removalWatch) notLost(open []string) string {
	for _, name := range open {
		first, ok := w.seen[name]
		if !ok {
			first = time.Now()
			w.seen[name] = first
		}
		if time.Since(first) < lostRemoval {
			return name
		}
	}
	return ""
}

// removals lists the removals in the folder: how many were begun, and which may be under
// way.
func (w *removalWatch) removals(ctx context.Context) (begun int, open []string, err error) {
	dir := join(w.folder, removalsDir)
	ended := make(map[string]bool)
	var all []string
	for o, err := range w.store.List(ctx, dir) {
		if err != nil {
			return 0, nil, Fault(pipeline.PhasePlan, "list", dir, err)
		}
		if number, ok := strings.CutSuffix(o.Name, ".done"); ok {
			ended[number+".json"] = true
			continue
		}
		n, err := strconv.Atoi(strings.TrimSuffix(within(dir, o.Name), ".json"))
		if err == nil {
			begun, all = max(begun, n+1), append(all, o.Name)
		}
	}
	me := self()
	for _, name := range all {
		if ended[name] {
			continue
		}
		if data, err := read(ctx, w.store, name); err != nil || !me.knowsGone(data) {
			open = append(open, name)
		}
	}
	return begun, open, nil
}
