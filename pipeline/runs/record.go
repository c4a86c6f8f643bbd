package runs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Record is the commit of one part: once it is there, the part is done, and the files it
// names hold it. Whoever commits fills in Split, Tally, Failed and Files.
type Record struct {
	Format    int              `json:"format"`
	RunID     string           `json:"run_id"`
	Split     pipeline.SplitID `json:"split"`
	Attempt   string           `json:"attempt"`
	Committed time.Time        `json:"committed"`
	Versions  Versions         `json:"versions"`
	Digest    string           `json:"digest"` // of what made it, in hexadecimal
	Tally     pipeline.Tally   `json:"tally"`
	Failed    Ordinals         `json:"failed"`
	Files     []PartFile       `json:"files"`
}

// Versions are those of what made a part.
type Versions struct {
	CPRBatch string `json:"cpr_batch"`
	Go       string `json:"go"`
	Python   string `json:"python"`
}

// PartFile is one file of a part, by its final name.
type PartFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	CRC32C uint32 `json:"crc32c"`
}

// maxRanges bounds the ranges of one Ordinals.
const maxRanges = 10_000

// Ordinals are numbers of instances in a split, counted from 0, as ranges.
type Ordinals struct {
	Ranges [][2]int64 `json:"ranges"`        // first and last
	Cut    bool       `json:"cut,omitempty"` // there were more than are kept
}

// Add adds an ordinal, larger than all before.
func (o *Ordinals) Add(n int64) {
	last := len(o.Ranges) - 1
	switch {
	case o.Cut:
	case last >= 0 && o.Ranges[last][1] == n-1:
		o.Ranges[last][1] = n
	case len(o.Ranges) < maxRanges:
		o.Ranges = append(o.Ranges, [2]int64{n, n})
	default:
		o.Cut = true
	}
}

// loadRecord reads the commit record of one split; objects.ErrNotExist where it is gone.
func loadRecord(ctx context.Context, store objects.Store, o objects.Object, runID string, id pipeline.SplitID) (Record, error) {
	data, err := readObject(ctx, store, o)
	if errors.Is(err, objects.ErrNotExist) {
		return Record{}, err
	}
	if err != nil {
		return Record{}, Fault(pipeline.PhasePlan, "read", o.Name, err)
	}
	return parseRecord(data, o.Name, runID, id)
}

func parseRecord(data []byte, name, runID string, id pipeline.SplitID) (Record, error) {
	// The format is looked at first: another version's record may look otherwise.
	var version struct {
		Format int `json:"format"`
	}
	var r Record
	err := json.Unmarshal(data, &version)
	if err == nil && version.Format != formatVersion && version.Format != 0 {
		return Record{}, otherVersion("the commit record", name, version.Format)
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err == nil {
		err = r.check(runID, id)
	}
	if err != nil {
		return Record{}, broken("the commit record", name, err)
	}
	return r, nil
}

// check holds what was read against what it should be, so that a damaged record can not
// make files be copied or removed elsewhere.
func (r *Record) check(runID string, id pipeline.SplitID) error {
	switch {
	case r.Format != formatVersion:
		return errors.New("it names no format")
	case r.RunID != runID:
		return fmt.Errorf("it belongs to run %q, not to %q", r.RunID, runID)
	case r.Split != id:
		return fmt.Errorf("it is of split %q", r.Split)
	case r.Attempt == "" || strings.ContainsAny(r.Attempt, `/\.`):
		return fmt.Errorf("its attempt is %q", r.Attempt)
	case len(r.Files) == 0:
		return errors.New("it names no file")
	}
	for _, f := range r.Files {
		if !finalPattern.MatchString(f.Name) || !strings.Contains(f.Name, "-"+string(id)+".") || f.Size < 0 {
			return fmt.Errorf("it names the file %q", f.Name)
		}
	}
	return nil
}

func (r *Record) marshal() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	err := encoder.Encode(r)
	return b.Bytes(), err
}
