package pyworker

import (
	"context"
	"time"
)

// EnvironmentInfo describes one environment that is kept.
type EnvironmentInfo struct {
	Kept
	Python       string // the interpreter it was made for
	Requirements []string
}

// List describes all environments, by path.
func (s Environments) List(ctx context.Context) ([]EnvironmentInfo, error) {
	c := s.cache()
	folders, err := c.list(ctx)
	if err != nil {
		return nil, err
	}
	var all []EnvironmentInfo
	for _, folder := range folders {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		record, err := readRecord[envRecord](c, folder)
		info := EnvironmentInfo{Kept: c.describe(folder, err == nil)}
		if err == nil {
			info.Python, info.Requirements = record.Python, record.Requirements
		}
		all = append(all, info)
	}
	return all, nil
}

// Prune removes the environments that were last used before the given time, and returns
// them. One that a run uses, or makes, stays.
func (s Environments) Prune(ctx context.Context, before time.Time) ([]EnvironmentInfo, error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	return pruned(ctx, s.cache(), all, before)
}
