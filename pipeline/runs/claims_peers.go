package runs

import (
	"cmp"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// peer is another attempt, as its heartbeats show it.
type peer struct {
	heartbeats
	// When its last heartbeat was first and last seen in a listing, by this process's
	// monotonic clock.
	first, seen time.Time
	claim       claim
	known       string // the heartbeat that the claim was read from; "" before the first
	gone        bool   // its process is known to have ended
	told        bool   // that it is lost
}

// storeClock tells the time of the store's clock: by the last own heartbeat, and by the
// monotonic clock since. What the clock on the wall says is of no matter.
type storeClock struct {
	then time.Time // by the store's clock
	here time.Time // the same moment, by ours
}

// now is false where no heartbeat has shown the store's time yet.
func (c storeClock) now() (time.Time, bool) {
	return c.then.Add(time.Since(c.here)), !c.then.IsZero()
}

// age is how long ago a peer's last heartbeat was: by the store's clock, and at least as
// long as it has been seen.
func (c *claims) age(p *peer) time.Duration {
	age := p.seen.Sub(p.first)
	if now, ok := c.clock.now(); ok {
		age = max(age, now.Sub(p.last.Updated))
	}
	return age
}

func (c *claims) isAlive(p *peer) bool { return !p.gone && c.age(p) <= c.config.Stale }

// meet takes down which heartbeats of others a listing has shown. c.mu is held.
func (c *claims) meet(listed map[string]heartbeats, now time.Time) {
	for attempt := range c.peers {
		if _, ok := listed[attempt]; !ok {
			delete(c.peers, attempt) // it has ended
		}
	}
	for attempt, h := range listed {
		if attempt == c.run.attempt {
			continue
		}
		p := c.peers[attempt]
		if p == nil {
			p = new(peer)
			c.peers[attempt] = p
		}
		if p.last.Name != h.last.Name {
			p.first = now
		}
		p.heartbeats, p.seen = h, now
	}
}

// unread are the last heartbeats of peers that have not been read. c.mu is held.
func (c *claims) unread(wanted func(*peer) bool) map[string]objects.Object {
	found := make(map[string]objects.Object)
	for attempt, p := range c.peers {
		if p.known != p.last.Name && wanted(p) {
			found[attempt] = p.last
		}
	}
	return found
}

// learn takes down what heartbeats tell. c.mu is held.
func (c *claims) learn(read map[string]claim, from map[string]objects.Object) {
	for attempt, told := range read {
		if p := c.peers[attempt]; p != nil {
			p.claim, p.known = told, from[attempt].Name
		}
	}
	for _, p := range c.peers {
		p.gone = p.known != "" && p.claim.Process.isGone(c.process)
	}
}

// living is how many others are alive, as far as is known.
func (c *claims) living() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.livingLocked()
}

func (c *claims) livingLocked() int {
	n := 0
	for _, p := range c.peers {
		if c.isAlive(p) {
			n++
		}
	}
	return n
}

// contends says whether one of the living may take what is of this task's share.
func (c *claims) contends() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.peers {
		if (p.claim.Helping || p.claim.Count != c.config.Count || c.config.Count == 1) && c.isAlive(p) {
			return true
		}
	}
	return false
}

// holder is a living peer that works at a split.
type holder struct {
	attempt string
	since   time.Time // by the store's clock
	owner   bool      // the split is of its own share, and not of ours
}

// holders are the living peers that work at splits, by split.
func (c *claims) holders() map[int][]holder {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holdersLocked()
}

func (c *claims) holdersLocked() map[int][]holder {
	found := make(map[int][]holder)
	for attempt, p := range c.peers {
		if !c.isAlive(p) {
			continue
		}
		for _, s := range p.claim.Splits {
			found[s.Number] = append(found[s.Number], holder{attempt, s.since(p.last.Updated), c.owns(&p.claim, s.Number)})
		}
	}
	return found
}

// owns says whether a split is of the share of the task whose claim is given, and not of
// this one's.
func (c *claims) owns(other *claim, number int) bool {
	count := c.config.Count
	return count > 1 && other.Count == count && number%count == other.Index && number%count != c.config.Index
}

// contested says whether one of the living, but for the one called beside, has a better
// claim to a split than this attempt: it is of its share, or it was there first.
func (c *claims) contested(i int, beside string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.held[i].since
	for _, h := range c.holdersLocked()[i] {
		switch {
		case h.attempt == beside:
		case h.owner, own.IsZero():
			return true
		case cmp.Or(h.since.Compare(own), cmp.Compare(h.attempt, c.run.attempt)) < 0:
			return true
		}
	}
	return false
}

// mean is how long a split takes, by all that were committed by those who are at work;
// 0: none was.
func (c *claims) mean() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	done, seconds := c.done, c.spent.Seconds()
	for _, p := range c.peers {
		done, seconds = done+p.claim.Done, seconds+p.claim.Seconds
	}
	if done == 0 {
		return 0
	}
	return time.Duration(seconds / float64(done) * float64(time.Second))
}

// straggler is the split that one living peer alone has held, for longer than any other and
// for too long, and this peer; false: there is none.
func (c *claims) straggler(wanted func(i int) bool) (split int, by string, ok bool) {
	limit := max(c.config.Straggling, 3*c.mean())
	c.mu.Lock()
	defer c.mu.Unlock()
	now, known := c.clock.now()
	if !known {
		return 0, "", false
	}
	oldest := now.Add(-limit)
	for i, holders := range c.holdersLocked() {
		if len(holders) == 1 && holders[0].since.Before(oldest) && wanted(i) {
			split, by, ok = i, holders[0].attempt, true
			oldest = holders[0].since
		}
	}
	return split, by, ok
}

// lost are the peers that have been lost since the last call, and how many splits they held.
func (c *claims) lost() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := make(map[string]int)
	for attempt, p := range c.peers {
		alive := c.isAlive(p)
		if !alive && !p.told && p.known != "" {
			found[attempt] = len(p.claim.Splits)
		}
		p.told = !alive
	}
	return found
}
