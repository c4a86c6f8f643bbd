package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// claims are what the tasks of a run tell each other by their heartbeats: that they are
// alive, and at which splits they work.
type claims struct {
	run     *Run
	config  TaskConfig
	log     *slog.Logger
	process process
	host    string
	started time.Time

	busy   chan struct{} // held by who beats or looks
	kicked chan struct{} // the next heartbeat is wanted soon

	mu      sync.Mutex
	beats   int // that were tried
	last    time.Time
	clock   storeClock
	listed  time.Time // when the peers were last listed
	read    time.Time // when what they tell was last read
	peers   map[string]*peer
	helping bool // the own share is done
	held    map[int]held
	done    int           // splits committed by this attempt
	spent   time.Duration // on those
}

// held is a split that is under way here.
type held struct {
	begun  time.Time
	since  time.Time // by the store's clock; zero until the first heartbeat that names it is seen
	beside string    // the peer that works at it too, for too long
}

func newClaims(r *Run, c TaskConfig) *claims {
	host, err := os.Hostname()
	if err != nil {
		host = "" // it is shown to people only
	}
	return &claims{
		run: r, config: c, log: c.Log, process: self(), host: host, started: time.Now().UTC(),
		busy: make(chan struct{}, 1), kicked: make(chan struct{}, 1),
		peers: make(map[string]*peer), held: make(map[int]held),
	}
}

// hold notes that a split is under way here, beside the peer named if there is one.
func (c *claims) hold(i int, beside string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[i] = held{begun: time.Now(), beside: beside}
}

// help notes that the own share is done.
func (c *claims) help() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.helping = true
}

// release notes that a split is not under way here any more.
func (c *claims) release(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, i)
}

// committed notes that this attempt has committed a split.
func (c *claims) committed(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, ok := c.held[i]; ok {
		c.done++
		c.spent += time.Since(h.begun)
	}
}

// besides says whether a split is under way here that a straggling peer works at too.
func (c *claims) besides() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.held {
		if h.beside != "" {
			return true
		}
	}
	return false
}

// acquire waits for the turn to beat or to look.
func (c *claims) acquire(ctx context.Context) error {
	select {
	case c.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tell composes the next heartbeat.
func (c *claims) tell() (number int, told claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beats++
	c.last = time.Now()
	told = claim{
		Format: formatVersion, Index: c.config.Index, Count: c.config.Count,
		Process: c.process, Host: c.host, Started: c.started,
		Helping: c.helping, Splits: make([]claimedSplit, 0, len(c.held)), Done: c.done, Seconds: c.spent.Seconds(),
	}
	for i, h := range c.held {
		told.Splits = append(told.Splits, claimedSplit{i, h.since})
	}
	slices.SortFunc(told.Splits, func(a, b claimedSplit) int { return a.Number - b.Number })
	return c.beats, told
}

// beat writes the next heartbeat, looks who else is there, and reads what those peers tell
// that are wanted.
func (c *claims) beat(ctx context.Context, wanted func(*peer) bool) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer func() { <-c.busy }()
	if err := c.announce(ctx); err != nil {
		return err
	}
	if err := c.load(ctx, wanted); err != nil {
		return err
	}
	sweep(ctx, c.run.store, c.left())
	return nil
}

// announce writes the next heartbeat and removes the former. The turn is held.
func (c *claims) announce(ctx context.Context) error {
	ctx, cancel := c.brief(ctx)
	defer cancel()
	number, told := c.tell()
	name := beatName(c.run.folder, c.run.attempt, number)
	data, err := json.Marshal(told)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	// The name is of nobody else: what exists already is ours, and only the reply was lost.
	if err := write(ctx, c.run.store, name, data); err != nil && !errors.Is(err, objects.ErrExist) {
		return Fault(pipeline.PhasePlan, "write", name, err)
	}
	here := time.Now()
	listed, err := c.list(ctx)
	if err != nil {
		return err
	}
	if own := listed[c.run.attempt]; own.last.Name == name {
		c.confirm(&told, storeClock{own.last.Updated, here})
		sweep(ctx, c.run.store, own.former)
	}
	return nil
}

// brief bounds what must not keep the next heartbeat waiting.
func (c *claims) brief(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.config.Stale/3, errSlow)
}

// errSlow is why a heartbeat is given up: the next one is more use.
var errSlow = errors.New("it takes too long")

// confirm takes down when the store has taken a heartbeat, and so since when the splits
// that are new in it are claimed.
func (c *claims) confirm(told *claim, clock storeClock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock = clock
	for _, s := range told.Splits {
		if h, ok := c.held[s.Number]; ok && h.since.IsZero() {
			h.since = clock.then
			c.held[s.Number] = h
		}
	}
}

// left names the heartbeats of processes that are known to have ended.
func (c *claims) left() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, p := range c.peers {
		if p.gone {
			names = append(append(names, p.former...), p.last.Name)
		}
	}
	return names
}

// list finds out who is there. The turn is held.
func (c *claims) list(ctx context.Context) (map[string]heartbeats, error) {
	listed, err := listClaims(ctx, c.run.store, c.run.folder)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listed = time.Now()
	c.meet(listed, c.listed)
	return listed, nil
}

// relistings bounds how often what is there is listed because some of it has gone before
// it was read.
const relistings = 3

// load reads what those peers tell that are wanted, as far as it has not been read. The
// turn is held.
func (c *claims) load(ctx context.Context, wanted func(*peer) bool) error {
	for range relistings {
		c.mu.Lock()
		from := c.unread(wanted)
		c.mu.Unlock()
		read, err := readClaims(ctx, c.run.store, c.run.Plan().Splits.Len(), from)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.learn(read, from)
		c.mu.Unlock()
		if len(read) == len(from) {
			return nil
		}
		if _, err := c.list(ctx); err != nil {
			return err
		}
	}
	return nil // what it told before stands
}

// everybody is whose claims are read before a split is taken that others may take.
func everybody(*peer) bool { return true }

// strangers are those of whom nothing is known yet, not even the process.
func strangers(p *peer) bool { return p.known == "" }

// look reads what the others tell, unless it was read as lately as that.
func (c *claims) look(ctx context.Context, lately time.Duration) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer func() { <-c.busy }()
	c.mu.Lock()
	listed, read := c.listed, c.read
	c.mu.Unlock()
	if !read.IsZero() && time.Since(read) < lately {
		return nil
	}
	if listed.IsZero() || time.Since(listed) >= lately {
		if _, err := c.list(ctx); err != nil {
			return err
		}
	}
	if err := c.load(ctx, everybody); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = time.Now()
	return nil
}

// kick asks for a heartbeat soon: what is told has changed.
func (c *claims) kick() {
	select {
	case c.kicked <- struct{}{}:
	default:
	}
}

// keep beats until ctx ends. After each try, seen is called.
func (c *claims) keep(ctx context.Context, seen func(error)) {
	timer := time.NewTimer(c.config.Beat)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.kicked:
			timer.Reset(c.soon())
			continue
		case <-timer.C:
		}
		err := c.pulse(ctx)
		if ctx.Err() != nil {
			return
		}
		seen(err)
		timer.Reset(c.config.Beat)
	}
}

func (c *claims) pulse(ctx context.Context) error {
	ctx, cancel := c.brief(ctx)
	defer cancel()
	return c.beat(ctx, strangers)
}

// soon is how long to wait for a heartbeat that is asked for: they are not to follow each
// other as fast as small splits do.
func (c *claims) soon() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(0, time.Until(c.last.Add(c.config.Beat/5)))
}

// remove takes this attempt's heartbeats away.
func (c *claims) remove(ctx context.Context) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer func() { <-c.busy }()
	dir := join(c.run.folder, claimsDir+"/"+c.run.attempt)
	for o, err := range c.run.store.List(ctx, dir) {
		if err == nil {
			err = c.run.store.Remove(ctx, o.Name)
		}
		if err != nil {
			return Fault(pipeline.PhaseFinish, "remove", dir, err)
		}
	}
	return nil
}
