package pyworker

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"
)

// ModelInfo describes one model directory, or package, that is kept.
type ModelInfo struct {
	Kept
	URI string
}

// List describes all models, by path.
func (m Models) List(ctx context.Context) ([]ModelInfo, error) {
	c := m.cache()
	folders, err := c.list(ctx)
	if err != nil {
		return nil, err
	}
	var all []ModelInfo
	for _, folder := range folders {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		record, err := readRecord[modelRecord](c, folder)
		info := ModelInfo{Kept: c.describe(folder, err == nil)}
		if err == nil {
			info.URI = record.URI
		}
		all = append(all, info)
	}
	return all, nil
}

// Prune removes the models that were last used before the given time, and returns them.
// One that a run copies, or downloads, stays.
func (m Models) Prune(ctx context.Context, before time.Time) ([]ModelInfo, error) {
	all, err := m.List(ctx)
	if err != nil {
		return nil, err
	}
	return pruned(ctx, m.cache(), all, before)
}

// shrink removes models until no more than the limit is kept.
func (m Models) shrink(ctx context.Context) {
	if m.Limit > 0 {
		m.discard(ctx, func(kept, _ int64) bool { return kept > m.Limit })
	}
}

// makeRoom removes models until n bytes are free, or none is left that can be removed; it
// tells whether there was one.
func (m Models) makeRoom(ctx context.Context, n int64) bool {
	return m.discard(ctx, func(_, freed int64) bool { return freed < n }) > 0
}

// discard removes models that nobody uses for as long as more says so: what is not whole,
// then those that were used longest ago. It returns how many bytes were freed.
func (m Models) discard(ctx context.Context, more func(kept, freed int64) bool) (freed int64) {
	all, err := m.List(ctx)
	if err != nil && ctx.Err() == nil {
		m.Log.Warn("models that are kept can not be listed", slog.Any("error", err))
	}
	var kept int64
	for _, info := range all {
		kept += info.Size
	}
	slices.SortStableFunc(all, func(a, b ModelInfo) int {
		if a.Whole != b.Whole {
			if b.Whole {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.LastUsed.UnixNano(), b.LastUsed.UnixNano())
	})
	for _, info := range all {
		if ctx.Err() != nil || !more(kept, freed) {
			break
		}
		done, err := m.cache().remove(ctx, info.Path)
		if err != nil {
			m.Log.Warn("a model can not be removed", slog.String("path", info.Path), slog.Any("error", err))
		}
		if done && info.Whole {
			m.Log.Info("removed a model that was kept", slog.String("path", info.Path), slog.String("uri", info.URI))
		}
		if done {
			kept -= info.Size
			freed += info.Size
		}
	}
	return freed
}
