package cloudtest

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what a fault does.
type Kind string

// The kinds of faults.
const (
	Pass      Kind = ""           // nothing: the request goes through, with Before and Deny
	Refuse    Kind = "refuse"     // a reply of Status, with the words of the real service
	Cut       Kind = "cut"        // the reply ends after Bytes bytes of its body, with the connection
	Stall     Kind = "stall"      // the same, but the connection stays, until the client or the server ends it; with 0 Bytes nothing comes at all, and nothing is done
	Reset     Kind = "reset"      // the connection is reset, nothing is done
	LoseReply Kind = "lose_reply" // the request is carried out, then the connection ends without a reply
	Corrupt   Kind = "corrupt"    // byte number Bytes of the reply's body is another one
)

// Fault is what shall go wrong with which requests. The client of Go's net/http repeats a
// GET by itself that ends without any reply on a connection that was used before, so that
// Reset and LoseReply may need one more of Times.
type Fault struct {
	Op     Op       `json:"op"`     // Any, in JSON also "any": all
	Name   string   `json:"name"`   // a part of gs://bucket/name; "": all
	After  int      `json:"after"`  // so many such requests go through before
	Times  int      `json:"times"`  // how many requests; 0: all from then on
	Kind   Kind     `json:"kind"`   // with a Status none is Refuse
	Status int      `json:"status"` // 401, 403, 404 (no such bucket), 412, 429, 500, 503…
	Bytes  int      `json:"bytes"`
	Deny   []string `json:"deny"` // permissions that one is told not to have

	// Before is run before the request is looked at, by the goroutine that answers it.
	// It may change objects, or wait.
	Before func(Request) `json:"-"`
}

// UnmarshalText refuses an unknown kind, which would do nothing.
func (k *Kind) UnmarshalText(text []byte) error {
	*k = Kind(text)
	if !slices.Contains([]Kind{Pass, Refuse, Cut, Stall, Reset, LoseReply, Corrupt}, *k) {
		return fmt.Errorf("unknown kind of fault %q", text)
	}
	return nil
}

// Fail adds a fault. Of several for a request the first one added is done.
func (s *Server) Fail(f Fault) {
	if f.Kind == Pass && f.Status != 0 {
		f.Kind = Refuse
	}
	if f.Times == 0 {
		f.Times = -1
	}
	s.log.Lock()
	defer s.log.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal takes back all faults.
func (s *Server) Heal() {
	s.log.Lock()
	defer s.log.Unlock()
	s.faults = nil
}

// Pending returns how many faults that were to happen a number of times still wait for that.
func (s *Server) Pending() int {
	s.log.Lock()
	defer s.log.Unlock()
	n := 0
	for _, f := range s.faults {
		if f.Times > 0 {
			n++
		}
	}
	return n
}

// arrive notes a request, and returns its number and what shall go wrong with it.
func (s *Server) arrive(r Request) (int, Fault) {
	s.log.Lock()
	defer s.log.Unlock()
	s.requests = append(s.requests, r)
	return len(s.requests) - 1, s.take(r)
}

// leave notes the status of a request's reply.
func (s *Server) leave(n, status int) {
	s.log.Lock()
	defer s.log.Unlock()
	s.requests[n].Status = status
}

func (s *Server) take(r Request) Fault {
	for i, f := range s.faults {
		if !f.concerns(r) {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		taken := *f
		if f.Times--; f.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return taken
	}
	return Fault{}
}

func (f *Fault) concerns(r Request) bool {
	return f.Op.includes(r.Op) && (strings.Contains("gs://"+r.Bucket+"/"+r.Name, f.Name) || strings.Contains(r.From, f.Name))
}
