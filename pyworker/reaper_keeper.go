package pyworker

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	reaperPause   = 100 * time.Millisecond // before a reaper that died at once is replaced
	reaperLives   = time.Second            // a reaper that lived for so long is replaced at once
	reaperEnds    = 10 * time.Second       // a reaper that does not end within it is killed
	lifelineLimit = time.Second            // a reaper that reads nothing for so long is replaced
)

// Reaper kills the process groups of the workers when this program ends without having
// done so itself. It is another process, which is replaced when it dies. Safe for
// concurrent use.
type Reaper struct {
	program ReaperProgram
	log     *slog.Logger
	done    chan struct{} // closed when keep has returned
	closing chan struct{}

	mu       sync.Mutex
	groups   []int
	process  *os.Process
	lifeline *os.File // nil while there is no reaper
	closed   bool
}

// StartReaper starts a reaper, which lives until Close.
func StartReaper(program ReaperProgram, log *slog.Logger) (*Reaper, error) {
	r := &Reaper{program: program, log: log, done: make(chan struct{}), closing: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.startLocked(); err != nil {
		return nil, err
	}
	go r.keep(r.process)
	return r, nil
}

// Add puts a process group under the reaper. It is to be called as soon as the group's
// first process has started.
func (r *Reaper) Add(pgid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups = append(r.groups, pgid)
	r.sendLocked("add " + strconv.Itoa(pgid) + "\n")
}

// Remove takes a process group from the reaper, when all of it is dead: its number may
// be given to somebody else then.
func (r *Reaper) Remove(pgid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups = slices.DeleteFunc(r.groups, func(g int) bool { return g == pgid })
	r.sendLocked("remove " + strconv.Itoa(pgid) + "\n")
}

// Close ends the reaper, which kills the groups that were not removed, and waits for it.
// It may be called twice.
func (r *Reaper) Close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.closing)
		r.dropLocked()
	}
	process := r.process
	r.mu.Unlock()
	late := time.AfterFunc(reaperEnds, func() { _ = process.Kill() })
	defer late.Stop()
	<-r.done
}

// dropLocked closes the lifeline.
func (r *Reaper) dropLocked() {
	if r.lifeline != nil {
		_ = r.lifeline.Close()
		r.lifeline = nil
	}
}

// startLocked starts a reaper and tells it all that there is.
func (r *Reaper) startLocked() error {
	process, lifeline, err := r.program.start()
	if err != nil {
		return err
	}
	r.process, r.lifeline = process, lifeline
	text := ""
	if r.program.Folder != "" {
		text = "folder " + r.program.Folder + "\n"
	}
	for _, pgid := range r.groups {
		text += "add " + strconv.Itoa(pgid) + "\n"
	}
	r.sendLocked(text)
	return nil
}

// sendLocked writes to the lifeline. Where that is not possible the reaper is dead, or as
// good as dead, and keep replaces it.
func (r *Reaper) sendLocked(text string) {
	if r.lifeline == nil || text == "" {
		return
	}
	_ = r.lifeline.SetWriteDeadline(time.Now().Add(lifelineLimit))
	if _, err := r.lifeline.WriteString(text); err != nil {
		_ = r.process.Kill()
	}
}

// keep waits for the reaper's end, and puts another in its place unless it was closed.
func (r *Reaper) keep(process *os.Process) {
	defer close(r.done)
	for process != nil {
		started := time.Now()
		state, err := process.Wait()
		end := fmt.Sprint(state)
		if err != nil {
			end = err.Error()
		}
		pause := reaperPause
		if time.Since(started) > reaperLives {
			pause = 0
		}
		process = r.replace(end, pause)
	}
}

// replace starts a reaper in the place of one that ended, until that succeeds. It returns
// nil when the reaper was closed.
func (r *Reaper) replace(end string, pause time.Duration) *os.Process {
	for tries := 0; ; tries++ {
		select {
		case <-r.closing:
			return nil
		case <-time.After(pause):
		}
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return nil
		}
		r.dropLocked()
		err := r.startLocked()
		process := r.process
		r.mu.Unlock()
		if err == nil {
			r.log.Warn("reaper replaced", slog.String("ended", end))
			return process
		}
		if tries == 0 {
			r.log.Error("reaper can not be replaced yet", slog.String("ended", end), slog.Any("error", err))
		}
		pause = reaperPause
	}
}
