package sinks_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// model is what is known of a run from what was seen of it.
type model struct {
	digests  map[string]string // models by their digests
	records  map[int]*runs.Record
	sealed   map[sealedBy]int64  // instances that a Seal has said to hold
	winners  map[int]int         // processes that were told that they committed a split
	owners   map[string]*process // by their attempts
	finished bool
	reports  map[string]bool // that a finished run may have
}

type sealedBy struct {
	split int
	model string
}

// begun takes down what a process is at the run.
func (s *schedule) begun(p *process, run *runs.Run) {
	s.check(func() error {
		s.digests[run.Digest()] = p.model
		if p.attempt != "" && p.attempt != run.Attempt() {
			return fmt.Errorf("process %d is attempt %s and %s", p.number, p.attempt, run.Attempt())
		}
		p.attempt = run.Attempt()
		return nil
	})
}

// bury makes it known that a process is dead: no process has so high a number. s.mu is held.
func (s *schedule) bury(p *process) {
	name := folderOfSchedules + "/_cpr-batch/work/" + p.attempt + "/process.json"
	data, ok := s.store.Content(name)
	var who map[string]any
	if !ok || json.Unmarshal(data, &who) != nil {
		return
	}
	who["pid"] = 1 << 30
	if data, err := json.Marshal(who); err == nil {
		s.store.Put(name, data)
	}
}

func (s *schedule) isFinished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finished
}

// held is how many instances of a split are sealed for sure.
func (s *schedule) held(split int, model string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sealed[sealedBy{split, model}]
}

// hold takes down that instances are sealed.
func (s *schedule) hold(p *process, split int, instances int64) {
	s.note(p, fmt.Sprintf("has sealed %d of split %d", instances, split))
	s.mu.Lock()
	defer s.mu.Unlock()
	by := sealedBy{split, p.model}
	s.sealed[by] = max(s.sealed[by], instances)
}

// place is where in the run's folder a name is.
type place struct {
	kind    string // of part file; record, seal, work, success or other
	split   int
	attempt string // of work
	base    string
}

func (s *schedule) place(name string) place {
	rel := strings.TrimPrefix(name, folderOfSchedules+"/")
	at := place{kind: "other", split: -1, base: path.Base(rel)}
	inner, own := strings.CutPrefix(rel, "_cpr-batch/")
	dir, rest, _ := strings.Cut(inner, "/")
	switch {
	case rel == "_SUCCESS":
		at.kind = "success"
	case rel == "report.json" || rel == "_FAILED":
	case !own:
		at.kind, _, _ = strings.Cut(rel, "-")
		at.split = splitIn(rel)
	case dir == "commits":
		at.kind, at.split = "record", splitIn(inner)
	case dir == "segments":
		at.kind, at.split = "seal", splitIn(inner)
	case dir == "work":
		at.kind, at.split = "work", splitIn(inner)
		at.attempt, _, _ = strings.Cut(rest, "/")
	}
	return at
}

// splitIn is the number of the split in a name, or -1.
func splitIn(name string) int {
	i := strings.Index(name, "-of-")
	if i < 5 {
		return -1
	}
	var n int
	if _, err := fmt.Sscanf(name[i-5:i], "%d", &n); err != nil {
		return -1
	}
	return n
}

// made holds what was made against what has to be there already. s.mu is held.
func (s *schedule) made(p *process, name string) error {
	at := s.place(name)
	switch {
	case at.kind == "success":
		s.finished = true
		return s.outputIsWhole()
	case at.kind == "predictions" || at.kind == "errors":
		record := s.records[at.split]
		if record == nil {
			return fmt.Errorf("%s is there before its part is committed", name)
		}
		i := slices.IndexFunc(record.Files, func(f runs.PartFile) bool { return f.Name == at.base })
		if i < 0 {
			return fmt.Errorf("%s is not of the committed part", name)
		}
		return s.isWhole(name, at.kind, record, record.Files[i])
	case at.kind == "record":
		return s.committed(p, name, at.split)
	case at.kind == "seal" && strings.HasSuffix(name, ".json"):
		return s.sealedWhole(name, at.split)
	case at.kind == "work":
		s.owners[at.attempt] = p
		if at.base == "process.json" {
			p.attempt = at.attempt
		}
	}
	return nil
}

// committed holds a new commit record against the part.
func (s *schedule) committed(p *process, name string, split int) error {
	data, _ := s.store.Content(name)
	var record runs.Record
	if err := json.Unmarshal(data, &record); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if s.records[split] != nil || record.Attempt != p.attempt {
		return fmt.Errorf("%s is another one now, or not of process %d: %s", name, p.number, data)
	}
	s.records[split] = &record
	if err := s.checkTally(split, &record.Tally, s.sizes[split], record.Failed); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	kinds, bytes := map[string]bool{"predictions": true, "errors": record.Tally.Failed > 0}, int64(0)
	for _, f := range record.Files {
		kind, _, _ := strings.Cut(f.Name, "-")
		if !kinds[kind] {
			return fmt.Errorf("%s names %s", name, f.Name)
		}
		delete(kinds, kind)
		bytes += f.Size
		work := folderOfSchedules + "/_cpr-batch/work/" + record.Attempt + "/" + f.Name
		if err := s.isWhole(work, kind, &record, f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if kinds["predictions"] || kinds["errors"] || bytes != record.Tally.BytesWritten {
		return fmt.Errorf("%s: files are missing, or not all counted: %s", name, data)
	}
	return nil
}

// checkTally holds counts against the first instances of a split.
func (s *schedule) checkTally(split int, t *pipeline.Tally, instances int, failed runs.Ordinals) error {
	var want pipeline.Tally
	var ordinals runs.Ordinals
	for ordinal := range instances {
		in, o := s.outcome("", split, ordinal)
		b := &pipeline.Batch{Split: pipeline.NewSplitID(split, len(s.sizes)), First: int64(ordinal), Instances: []pipeline.Instance{in}}
		count(&want, b, []pipeline.Outcome{o})
		if o.Failure != nil {
			ordinals.Add(int64(ordinal))
		}
	}
	got := *t
	got.Failures = slices.Clone(t.Failures)
	for i := range got.Failures {
		got.Failures[i].First.Message = ""
	}
	want.Batches, want.BytesWritten = got.Batches, got.BytesWritten
	return errors.Join(differ(want, got), differ(ordinals, failed))
}

// isWhole holds a file against its description and the split's lines.
func (s *schedule) isWhole(name, kind string, record *runs.Record, f runs.PartFile) error {
	data, ok := s.store.Content(name)
	if !ok || int64(len(data)) != f.Size || crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) != f.CRC32C {
		return fmt.Errorf("%s (%d bytes, there: %v) is not what its record says", name, len(data), ok)
	}
	text, err := unpack(name, data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	split := splitIn(string(record.Split))
	if diff := cmp.Diff(s.lines(kind, s.digests[record.Digest], split, s.sizes[split]), text); diff != "" {
		return fmt.Errorf("%s: %s", name, diff)
	}
	return nil
}

// sealedWhole holds a new seal against what it says to hold.
func (s *schedule) sealedWhole(name string, split int) error {
	data, _ := s.store.Content(name)
	var seal runs.Seal
	if err := json.Unmarshal(data, &seal); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	whole, bytes := map[string][]byte{}, int64(0)
	for _, g := range seal.Segments {
		for _, f := range g.Files {
			content, ok := s.store.Content(strings.TrimSuffix(name, path.Base(name)) + g.Name + "." + f.Name)
			if s.records[split] == nil && (!ok || int64(len(content)) != f.Size) {
				return fmt.Errorf("%s stands on %s.%s, which is not there as it was (there: %v, %d bytes, want %d)", name, g.Name, f.Name, ok, len(content), f.Size)
			}
			whole[f.Name] = append(whole[f.Name], content...)
			bytes += f.Size
		}
	}
	if s.records[split] != nil {
		return nil // whoever seals finds out afterwards
	}
	if bytes != seal.Tally.BytesWritten {
		return fmt.Errorf("%s counts %d bytes, not %d", name, seal.Tally.BytesWritten, bytes)
	}
	for file, content := range whole {
		text, err := unpack(file, content)
		kind, _, _ := strings.Cut(file, ".")
		if err != nil {
			return fmt.Errorf("%s: %s: %w", name, file, err)
		}
		if diff := cmp.Diff(s.lines(kind, s.digests[seal.Digest], split, int(seal.Tally.Read)), text); diff != "" {
			return fmt.Errorf("%s: %s: %s", name, file, diff)
		}
	}
	return s.checkTally(split, &seal.Tally, int(seal.Tally.Read), seal.Failed)
}

// removed holds what was removed against who may still need it. s.mu is held.
func (s *schedule) removed(p *process, name string) error {
	at := s.place(name)
	switch at.kind {
	case "success", "predictions", "errors", "record":
		return fmt.Errorf("process %d has removed %s", p.number, name)
	case "seal":
		if s.records[at.split] == nil {
			return fmt.Errorf("process %d has removed %s, and the part is not committed", p.number, name)
		}
	case "work":
		return s.workRemoved(p, at)
	case "other":
		if strings.HasSuffix(name, "/plan.jsonl") {
			return fmt.Errorf("process %d has removed %s", p.number, name)
		}
	}
	return nil
}

// workRemoved holds what was removed of work against who may still need it.
func (s *schedule) workRemoved(p *process, at place) error {
	record := s.records[at.split]
	if record != nil && record.Attempt == at.attempt && slices.ContainsFunc(record.Files, func(f runs.PartFile) bool { return f.Name == at.base }) {
		// It may go when it is under its final name.
		if _, ok := s.store.Content(folderOfSchedules + "/" + at.base); !ok {
			return fmt.Errorf("process %d has removed %s of a committed part, which has no final name", p.number, at.base)
		}
		return nil
	}
	if owner := s.owners[at.attempt]; s.finished || owner == p || s.known && owner.dead {
		return nil
	}
	return fmt.Errorf("process %d has removed %s of attempt %s, which may live", p.number, at.base, at.attempt)
}
