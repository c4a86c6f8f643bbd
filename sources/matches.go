package sources

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// listers is how many listings are begun at a time.
const listers = 16

// matches are the files that the URIs of a job file stand for. They are listed as they are
// wanted, and not held.
type matches struct {
	store      objects.Store
	dir        string // from which the URIs are seen
	uris       []string
	allowEmpty bool
	faults     *faults // what is wrong with them is added here
}

// all yields the files in the order of the bytes of their names, each once: under the first
// of the URIs that it matches. It ends early with ctx, which the caller looks at.
func (m *matches) all(ctx context.Context) iter.Seq[objects.Found] {
	return func(yield func(objects.Found) bool) {
		var open []*listing // by their next names
		defer func() {
			for _, l := range open {
				l.stop()
			}
		}()
		for i, uri := range m.uris {
			l := &listing{matches: m, uri: uri, place: i}
			l.pull, l.stop = iter.Pull2(objects.MatchEach(ctx, m.store, m.dir, uri))
			open = append(open, l)
		}
		first := errgroup.Group{}
		first.SetLimit(listers)
		for _, l := range open {
			first.Go(func() error { l.begin(); return nil })
		}
		_ = first.Wait()
		for _, l := range open {
			l.advance(ctx)
		}
		slices.SortFunc(open, (*listing).compare)
		last := ""
		for context.Cause(ctx) == nil && len(open) > 0 && !open[0].ended {
			if found := open[0].head; found.Object.Name != last {
				last = found.Object.Name
				if !yield(found) {
					return
				}
			}
			open[0].advance(ctx)
			reorder(open)
		}
	}
}

// reorder moves the first listing to its place among the others, which are in order.
func reorder(open []*listing) {
	first := open[0]
	n, _ := slices.BinarySearchFunc(open[1:], first, (*listing).compare)
	copy(open, open[1:n+1])
	open[n] = first
}

// listing is what one URI stands for, file by file.
type listing struct {
	*matches
	uri    string
	place  int // among the URIs
	pull   func() (objects.Found, error, bool)
	stop   func()
	head   objects.Found // the next file
	err    error         // with head, from begin to the first advance
	begun  bool          // head is what begin has pulled
	some   bool          // there was something
	ended  bool
	passed string // the last name
}

// begin pulls the first file, which takes the longest. It may be called from anywhere.
func (l *listing) begin() {
	var more bool
	l.head, l.err, more = l.pull()
	l.begun, l.ended = more, !more
}

// compare orders listings by their next files: those that have ended are last.
func (l *listing) compare(other *listing) int {
	switch {
	case l.ended != other.ended && l.ended:
		return 1
	case l.ended != other.ended:
		return -1
	case l.ended:
		return l.place - other.place
	}
	if c := strings.Compare(l.head.Object.Name, other.head.Object.Name); c != 0 {
		return c
	}
	return l.place - other.place
}

// advance goes to the next file, and notes what is wrong on the way.
func (l *listing) advance(ctx context.Context) {
	for {
		found, err := l.head, l.err
		if l.begun {
			l.begun, l.err = false, nil
		} else if !l.ended {
			var more bool
			found, err, more = l.pull()
			l.ended = !more
		}
		switch {
		case context.Cause(ctx) != nil:
			l.ended = true
			return
		case l.ended:
			l.missing()
			return
		}
		l.some = true
		switch {
		case err != nil:
			l.fault(err)
		case found.Object.Name < l.passed:
			l.faults.add(pipeline.TryAgain, fmt.Sprintf("%s: the listing has %s behind %s", l.uri, found.Object.Name, l.passed),
				"Files are read in the order of their names, in which they have to be listed: look at what serves them.")
		default:
			l.head, l.passed = found, found.Object.Name
			return
		}
	}
}

func (l *listing) fault(err error) {
	if errors.Is(err, objects.ErrPattern) {
		l.faults.add(pipeline.FixConfig, err.Error(), "Correct the pattern: [ and { want their ] and }; a \\ before a character takes its meaning away.")
		return
	}
	l.faults.unreadable(l.uri, err)
}

// missing is noted where nothing matched.
func (l *listing) missing() {
	if l.some || l.allowEmpty {
		return
	}
	l.faults.add(pipeline.TryAgain, l.uri+" matches no file"+seenFrom(l.dir, l.uri),
		"Correct the path, or run again when the input is there; with source.jsonl.allow_empty: true it may be missing. A folder stands for all files below it but _* and .*; a * matches names within one folder, ** crosses folders.")
}

func seenFrom(dir, uri string) string {
	if dir == "" || dir == "." || objects.IsCloud(uri) {
		return ""
	}
	return " (seen from " + dir + ")"
}
