package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// standing is what a run has at one moment that may not be predicted again.
type standing struct {
	committed map[string]bool  // by split
	sealed    map[string]int64 // instances from the split's begin on
}

// standingOf looks at an output.
func standingOf(t *testing.T, o chaosOutput) standing {
	t.Helper()
	s := standing{committed: map[string]bool{}, sealed: map[string]int64{}}
	for _, name := range o.names(t) {
		name, isRecord := strings.CutSuffix(name, ".json")
		if split, ok := strings.CutPrefix(name, "_cpr-batch/commits/"); ok {
			s.committed[split] = true
		}
		rest, ok := strings.CutPrefix(name, "_cpr-batch/segments/")
		if !ok || !isRecord {
			continue
		}
		var seal struct {
			Tally struct{ Read int64 }
		}
		content := o.read(t, name+".json")
		if content == nil {
			continue // its part is committed since
		}
		if err := json.Unmarshal(content, &seal); err != nil {
			t.Errorf("%s.json: %v", name, err)
		}
		split, _, _ := strings.Cut(rest, "/")
		s.sealed[split] = max(s.sealed[split], seal.Tally.Read)
	}
	return s
}

// seat is where an instance has its place.
type seat struct {
	split   string
	ordinal int64
}

// seats gives the places of all instances that have a prediction, by their IDs, from a
// finished run.
func seats(t *testing.T, o chaosOutput) map[int]seat {
	t.Helper()
	id := regexp.MustCompile(`"prediction":\{"id":([0-9]+),`)
	places := make(map[int]seat)
	for _, name := range o.names(t) {
		split, ok := strings.CutPrefix(name, "predictions-")
		if !ok {
			continue
		}
		split, _, _ = strings.Cut(split, ".")
		var record struct {
			Failed struct{ Ranges [][2]int64 }
		}
		if err := json.Unmarshal(o.read(t, "_cpr-batch/commits/"+split+".json"), &record); err != nil {
			t.Fatal(err)
		}
		_, text, err := decompressed(name, o.read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		ordinal := int64(0)
		for line := range bytes.Lines(text) {
			for _, failed := range record.Failed.Ranges {
				if failed[0] == ordinal {
					ordinal = failed[1] + 1
				}
			}
			m := id.FindSubmatch(line)
			if m == nil {
				t.Fatalf("%s: %s", name, line)
			}
			n, err := strconv.Atoi(string(m[1]))
			if err != nil {
				t.Fatal(err)
			}
			places[n] = seat{split, ordinal}
			ordinal++
		}
	}
	return places
}

// call is one call of the Predictor that had its predictions.
type call struct {
	start int // number of the program that made it
	ids   []int
}

// calls are those in the log that the Predictors have kept, in its order.
func calls(t *testing.T, dir string) []call {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []call
	for r := bufio.NewReader(file); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return all
		}
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "call" {
			continue
		}
		numbers := make([]int, len(fields)-1)
		for i, field := range fields[1:] {
			if numbers[i], err = strconv.Atoi(field); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		all = append(all, call{numbers[0], numbers[1:]})
	}
}

// wantNothingTwice demands of all calls that none predicts what was committed, or sealed,
// when its program started. A worker that is put to the test has one instance that is known
// to be good: calls of a single one are left out.
func wantNothingTwice(t *testing.T, all []call, places map[int]seat, stood []standing) {
	t.Helper()
	again, first := 0, ""
	for _, c := range all {
		if len(c.ids) == 1 {
			continue
		}
		before := stood[c.start]
		for _, id := range c.ids {
			place, ok := places[id]
			if !ok {
				t.Fatalf("instance %d is predicted and has no prediction", id)
			}
			if !before.committed[place.split] && place.ordinal >= before.sealed[place.split] {
				continue
			}
			if again++; again == 1 {
				first = "program " + strconv.Itoa(c.start) + ": instance " + strconv.Itoa(id) + ", number " +
					strconv.FormatInt(place.ordinal, 10) + " of " + place.split
			}
		}
	}
	if again > 0 {
		t.Errorf("%d instances were committed or sealed when a program started that predicted them again: %s", again, first)
	}
}

// doubled counts by program how many of its predictions somebody made again later.
func doubled(all []call, starts int) []int {
	lost := make([]int, starts)
	by := make(map[int]int)
	for _, c := range all {
		if len(c.ids) == 1 {
			continue
		}
		for _, id := range c.ids {
			if start, ok := by[id]; ok {
				lost[start]++
			}
			by[id] = c.start
		}
	}
	return lost
}

// predictedBy counts the predictions of one program.
func predictedBy(all []call, start int) int {
	n := 0
	for _, c := range all {
		if c.start == start {
			n += len(c.ids)
		}
	}
	return n
}

// wantAll demands that each place was predicted by somebody.
func wantAll(t *testing.T, all []call, places map[int]seat) {
	t.Helper()
	var ids []int
	for _, c := range all {
		ids = append(ids, c.ids...)
	}
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) != len(places) {
		t.Errorf("%d instances were predicted, want %d", len(ids), len(places))
	}
}
