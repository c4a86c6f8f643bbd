package sinks_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

// checkResumed holds what a process goes on behind against what was sealed before.
func (s *schedule) checkResumed(p *process, split int, held int64, t *pipeline.Tally) error {
	if t.Read < held && s.records[split] == nil {
		return fmt.Errorf("process %d goes on with split %d behind %d instances, and %d were sealed", p.number, split, t.Read, held)
	}
	var failed runs.Ordinals
	for ordinal := range t.Read {
		if s.fails[split]>>ordinal&1 == 1 {
			failed.Add(ordinal)
		}
	}
	if err := s.checkTally(split, t, int(t.Read), failed); err != nil {
		return fmt.Errorf("process %d goes on with split %d: %w", p.number, split, err)
	}
	return nil
}

// won takes down that a process was told to have committed a split.
func (s *schedule) won(p *process, split int) error {
	if before, ok := s.winners[split]; ok {
		return fmt.Errorf("processes %d and %d have committed split %d", before, p.number, split)
	}
	s.winners[split] = p.number
	if record := s.records[split]; record == nil || record.Attempt != p.attempt {
		return fmt.Errorf("process %d has committed split %d, and the record is %+v", p.number, split, record)
	}
	return s.checkPart(split)
}

// lost takes down that a process was told that somebody else has committed a split.
func (s *schedule) lost(p *process, split int) error {
	if record := s.records[split]; record != nil && record.Attempt == p.attempt {
		return fmt.Errorf("process %d has committed split %d, and is told that it has not", p.number, split)
	}
	return s.checkPart(split)
}

// checkCommitted says whether a split is committed.
func (s *schedule) checkCommitted(split int) error {
	if s.records[split] == nil {
		return fmt.Errorf("split %d is said to be committed, and is not", split)
	}
	return nil
}

// checkPart holds the files of a split, which is committed and published, against its
// record.
func (s *schedule) checkPart(split int) error {
	if err := s.checkCommitted(split); err != nil {
		return err
	}
	record := s.records[split]
	for _, f := range record.Files {
		kind, _, _ := strings.Cut(f.Name, "-")
		if err := s.isWhole(folderOfSchedules+"/"+f.Name, kind, record, f); err != nil {
			return err
		}
	}
	return nil
}

// outputIsWhole says whether all parts are there.
func (s *schedule) outputIsWhole() error {
	for split := range s.sizes {
		if err := s.checkPart(split); err != nil {
			return fmt.Errorf("the run is finished: %w", err)
		}
	}
	return nil
}

// checkOutput is outputIsWhole for those who were told that the run is finished.
func (s *schedule) checkOutput() error {
	if !s.finished {
		return fmt.Errorf("the run is said to be finished, and is not")
	}
	return s.outputIsWhole()
}

// checkFinished looks at a finished run at which nobody works.
func (s *schedule) checkFinished() error {
	if err := s.checkOutput(); err != nil {
		return err
	}
	for _, name := range []string{"/_FAILED", "/_cpr-batch/failed.json"} {
		if _, ok := s.store.Content(folderOfSchedules + name); ok {
			return fmt.Errorf("%s is beside _SUCCESS", name)
		}
	}
	report, ok := s.store.Content(folderOfSchedules + "/report.json")
	if !ok || !s.reports[string(report)] {
		return fmt.Errorf("the report (there: %v) of the finished run is %q", ok, report)
	}
	return nil
}

// checkLeftovers looks for what nobody needs.
func (s *schedule) checkLeftovers() error {
	want := map[string]bool{"_SUCCESS": true, "report.json": true, "_cpr-batch/report.json": true, "_cpr-batch/plan.jsonl": true}
	for _, record := range s.records {
		want["_cpr-batch/commits/"+string(record.Split)+".json"] = true
		for _, f := range record.Files {
			want[f.Name] = true
		}
	}
	var left []string
	for _, name := range s.store.Names() {
		name = strings.TrimPrefix(name, folderOfSchedules+"/")
		// What is kept with the plan is there, unless its process was killed before.
		if name != "_cpr-batch/job.yaml" && !strings.HasPrefix(name, "_cpr-batch/accepted/") {
			left = append(left, name)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), left); diff != "" {
		return fmt.Errorf("what is left: %s", diff)
	}
	return nil
}
