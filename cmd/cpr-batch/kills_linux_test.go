package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestWorkersAreKilledAllAlong: promise 1. Kills by chance never convict an instance: each
// death of its worker makes the batch smaller, and an instance alone has another try.
func TestWorkersAreKilledAllAlong(t *testing.T) {
	t.Parallel()
	k := killer{chance: rand.New(rand.NewPCG(1, 2)), loading: make(map[string]bool)}
	o := ordeal{class: "Slow", instances: 6000, batch: 16, workers: 3, meanwhile: k.rage}
	v := o.undergo(t)
	o.checkOutcomes(t, v, "")
	t.Logf("%d workers killed, %d of them loading; %d died, %d started, %d further calls", k.killed, k.early,
		v.report.Workers.Died, v.report.Workers.Started, v.report.Batches.FurtherCalls)
	if v.status != 0 || k.killed < 10 || v.report.Workers.Died < k.killed-3 {
		t.Errorf("status %d, %d workers killed, %d died\n%s", v.status, k.killed, v.report.Workers.Died, v.stderr)
	}
}

// killer kills workers of one run.
type killer struct {
	chance        *rand.Rand
	loading       map[string]bool // by a worker's number: the last one was killed before it had loaded
	killed, early int
}

// rage kills a worker every 50 to 150 ms until the run ends.
func (k *killer) rage(ctx context.Context, dir string) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(50*time.Millisecond + rand.N(100*time.Millisecond)):
		}
		if err := k.kill(dir); err != nil {
			return err
		}
	}
}

// kill kills one worker, loaded or not. One place in the pool never loses two in a row
// before they are loaded: three would end it.
func (k *killer) kill(dir string) error {
	loaded, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		return err
	}
	workers := workersOf(dir)
	for _, i := range k.chance.Perm(len(workers)) {
		w := workers[i]
		early := !bytes.Contains(loaded, fmt.Appendf(nil, "load %d\n", w.pid))
		if early && k.loading[w.number] {
			continue
		}
		if err := syscall.Kill(w.pid, syscall.SIGKILL); err != nil {
			if errors.Is(err, syscall.ESRCH) {
				continue
			}
			return err
		}
		k.loading[w.number] = early
		k.killed++
		if early {
			k.early++
		}
		return nil
	}
	return nil
}

// livingWorker is a process that holds a Predictor, or will.
type livingWorker struct {
	pid    int
	number string // in its pool
}

// workersOf finds the workers of the run in dir by their environment.
func workersOf(dir string) []livingWorker {
	found, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil
	}
	var workers []livingWorker
	for _, name := range found {
		environ, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		entries := bytes.Split(environ, []byte{0})
		i := slices.IndexFunc(entries, func(entry []byte) bool { return bytes.HasPrefix(entry, []byte("CPR_BATCH_WORKER=")) })
		if i < 0 || !slices.ContainsFunc(entries, func(entry []byte) bool { return string(entry) == "WORK="+dir }) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			_, number, _ := bytes.Cut(entries[i], []byte("="))
			workers = append(workers, livingWorker{pid: pid, number: string(number)})
		}
	}
	return workers
}
