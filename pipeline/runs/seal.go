package runs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Seal is the record of a sealed piece of an uncommitted part. It stands by itself: it
// counts all that is sealed up to its own segment, and names all segments that hold it,
// which several attempts may have made. Whoever seals fills in Split, Tally and Failed.
type Seal struct {
	Format   int              `json:"format"`
	RunID    string           `json:"run_id"`
	Split    pipeline.SplitID `json:"split"`
	Attempt  string           `json:"attempt"`
	Digest   string           `json:"digest"` // of what made it, in hexadecimal
	Sealed   time.Time        `json:"sealed"`
	Tally    pipeline.Tally   `json:"tally"` // of all segments
	Failed   Ordinals         `json:"failed"`
	Segments []Segment        `json:"segments"` // in the order of their lines; the last one is the seal's own
}

// Segment is a sealed piece of a part.
type Segment struct {
	Name string `json:"name"` // <attempt>-<number>
	// Files are named by what they are pieces of, without the split: predictions.jsonl.gz.
	// There is one for each file of the part that got lines.
	Files []PartFile `json:"files"`
}

// segmentPattern matches the names of segments, and that of its maker in them;
// segmentFilePattern those of their files.
var (
	segmentPattern     = regexp.MustCompile(`^([0-9A-Za-z][0-9A-Za-z-]*)-([0-9]{1,18})$`)
	segmentFilePattern = regexp.MustCompile(`^(predictions|errors)\.[a-z]+(\.gz|\.zst)?$`)
)

// sealNumber is the attempt and the number in the name of a segment.
func sealNumber(segment string) (attempt string, number int64, ok bool) {
	m := segmentPattern.FindStringSubmatch(segment)
	if m == nil {
		return "", 0, false
	}
	number, err := strconv.ParseInt(m[2], 10, 64)
	return m[1], number, err == nil
}

func sealsFolder(folder string, id pipeline.SplitID) string {
	return join(folder, segmentsDir+"/"+string(id))
}

// segmentFile names the pieces of a part's file in segments.
func segmentFile(final string, id pipeline.SplitID) string {
	return strings.Replace(final, "-"+string(id)+".", ".", 1)
}

// Holds says whether some segment has a piece of the file of this final name.
func (s *Seal) Holds(final string) bool {
	name := segmentFile(final, s.Split)
	return slices.ContainsFunc(s.Segments, func(g Segment) bool {
		return slices.ContainsFunc(g.Files, func(f PartFile) bool { return f.Name == name })
	})
}

// Consists says whether the segments have pieces of the files of these final names and of
// no others.
func (s *Seal) Consists(finals ...string) bool {
	for _, g := range s.Segments {
		for _, f := range g.Files {
			if !slices.ContainsFunc(finals, func(final string) bool { return segmentFile(final, s.Split) == f.Name }) {
				return false
			}
		}
	}
	return true
}

// files yields the files of all segments, as seen from the seals' folder.
func (s *Seal) files(yield func(name string, f PartFile) bool) {
	for _, g := range s.Segments {
		for _, f := range g.Files {
			if !yield(g.Name+"."+f.Name, f) {
				return
			}
		}
	}
}

// standsOn says whether the segments' files are all in a listing of the seals' folder.
func (s *Seal) standsOn(listing map[string]objects.Object) bool {
	for name, f := range s.files {
		if o, ok := listing[name]; !ok || !f.is(o) {
			return false
		}
	}
	return true
}

// is says whether an object may be this file: its sum is known in some stores only.
func (f *PartFile) is(o objects.Object) bool {
	return o.Size == f.Size && (o.Sum == "" || o.Sum == fmt.Sprintf("%08x", f.CRC32C))
}

// parseSeal reads a seal of segment name. A versionError is of another format.
func parseSeal(data []byte, name, runID string, id pipeline.SplitID) (*Seal, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, err
	}
	if version.Format != formatVersion && version.Format != 0 {
		return nil, versionError(version.Format)
	}
	var s Seal
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	return &s, s.check(name, runID, id)
}

// check holds what was read against what it should be, so that a damaged record can not
// make files be read or removed elsewhere, nor lines be there twice or not at all.
func (s *Seal) check(name, runID string, id pipeline.SplitID) error {
	attempt, _, ok := sealNumber(name)
	switch {
	case s.Format != formatVersion:
		return fmt.Errorf("it has format %d", s.Format)
	case s.RunID != runID:
		return fmt.Errorf("it belongs to run %q, not to %q", s.RunID, runID)
	case s.Split != id:
		return fmt.Errorf("it is of split %q", s.Split)
	case !ok || s.Attempt != attempt:
		return fmt.Errorf("its attempt is %q", s.Attempt)
	case len(s.Segments) == 0 || s.Segments[len(s.Segments)-1].Name != name:
		return errors.New("it is not of its last segment")
	}
	seen := make(map[string]bool, len(s.Segments))
	for i := range s.Segments {
		g := &s.Segments[i]
		if seen[g.Name] {
			return fmt.Errorf("it names the segment %q twice", g.Name)
		}
		seen[g.Name] = true
		if err := g.check(); err != nil {
			return err
		}
	}
	return s.checkCounts()
}

func (g *Segment) check() error {
	if !segmentPattern.MatchString(g.Name) || len(g.Files) == 0 {
		return fmt.Errorf("it names the segment %q of %d files", g.Name, len(g.Files))
	}
	for i, f := range g.Files {
		twice := slices.ContainsFunc(g.Files[:i], func(other PartFile) bool { return other.Name == f.Name })
		if !segmentFilePattern.MatchString(f.Name) || f.Size < 0 || twice {
			return fmt.Errorf("segment %s names the file %q of %d bytes", g.Name, f.Name, f.Size)
		}
	}
	return nil
}

// checkCounts holds what was counted against itself.
func (s *Seal) checkCounts() error {
	t := &s.Tally
	least := min(t.Batches, t.FurtherCalls, t.Lines, t.BytesRead, t.BytesWritten, t.Predicted, t.Failed)
	if t.Read < 1 || least < 0 || t.Predicted > t.Read || t.Failed != t.Read-t.Predicted {
		return fmt.Errorf("it counts %d predictions and %d failures of %d instances", t.Predicted, t.Failed, t.Read)
	}
	for _, f := range t.Failures {
		if f.Count < 1 || f.Count > t.Failed || f.First.Split != s.Split || f.First.Ordinal < 0 || f.First.Ordinal >= t.Read {
			return fmt.Errorf("it counts %d failures from number %d of split %s", f.Count, f.First.Ordinal, f.First.Split)
		}
	}
	count, ok := s.Failed.count(t.Read)
	if !ok || count > t.Failed || count < t.Failed && !s.Failed.Cut {
		return fmt.Errorf("its ordinals are not those of %d failures of %d instances", t.Failed, t.Read)
	}
	return nil
}

// count is how many ordinals are kept, or false when they are not in order or not all
// below limit.
func (o *Ordinals) count(limit int64) (count int64, ok bool) {
	next := int64(0)
	for _, r := range o.Ranges {
		if r[0] < next || r[1] < r[0] || r[1] >= limit {
			return 0, false
		}
		next = r[1] + 1
		count += next - r[0]
	}
	return count, len(o.Ranges) <= maxRanges
}

func (s *Seal) marshal() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(s)
	return b.Bytes(), err
}
