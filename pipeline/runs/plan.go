package runs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// formatVersion is the version of the plan and of the commit records.
const formatVersion = 1

// Plan is what a run will do, fixed when it starts: its splits in order, and the digest
// of what decides its output.
type Plan struct {
	RunID   string
	Name    string
	Started time.Time
	Digest  Digest
	Splits  []pipeline.PlannedSplit
}

// NewPlan plans a new run, with an ID of its own.
func NewPlan(name string, started time.Time, digest Digest, splits []pipeline.PlannedSplit) (Plan, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Plan{}, fmt.Errorf("make a run ID: %w", err)
	}
	return Plan{RunID: id.String(), Name: name, Started: started.UTC(), Digest: digest, Splits: splits}, nil
}

// header is the first line of the plan's file.
type header struct {
	Format    int       `json:"format"`
	RunID     string    `json:"run_id"`
	Name      string    `json:"name"`
	Started   time.Time `json:"started"`
	Splits    int       `json:"splits"`
	DigestSum string    `json:"digest_sum"`
	Digest    Digest    `json:"digest"`
}

// Write writes the plan as its file has it: a header, then a line a split.
func (p *Plan) Write(w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 1<<16)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(header{
		Format: formatVersion, RunID: p.RunID, Name: p.Name, Started: p.Started,
		Splits: len(p.Splits), DigestSum: p.Digest.Sum(), Digest: p.Digest,
	})
	for i := range p.Splits {
		if err != nil {
			return err
		}
		err = encodeSplit(encoder, &p.Splits[i])
	}
	return errors.Join(err, buffered.Flush())
}

// versionError says that a file is of another format.
type versionError int

func (v versionError) Error() string { return fmt.Sprintf("format %d", int(v)) }

// ReadPlan reads what Write has written, and nothing less.
func ReadPlan(r io.Reader) (*Plan, error) {
	decoder := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	h, err := readHeader(decoder)
	if err != nil {
		return nil, err
	}
	if h.RunID == "" || h.Digest.Sum() != h.DigestSum {
		return nil, errors.New("line 1: the digest is not that of its parts")
	}
	p := &Plan{RunID: h.RunID, Name: h.Name, Started: h.Started, Digest: h.Digest}
	for i := range h.Splits {
		s, err := decodeSplit(decoder)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, torn(err))
		}
		if s.ID != pipeline.NewSplitID(i, h.Splits) {
			return nil, fmt.Errorf("line %d: split %q stands in the place of %q", i+2, s.ID, pipeline.NewSplitID(i, h.Splits))
		}
		p.Splits = append(p.Splits, s)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: more splits than the header says", h.Splits+2)
	}
	return p, nil
}

// readHeader looks at the format first: another version's header may look otherwise.
func readHeader(decoder *json.Decoder) (header, error) {
	var raw json.RawMessage
	if err := decoder.Decode(&raw); err != nil {
		return header{}, fmt.Errorf("line 1: %w", torn(err))
	}
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return header{}, fmt.Errorf("line 1: %w", err)
	}
	if version.Format != formatVersion {
		return header{}, versionError(version.Format)
	}
	var h header
	if err := json.Unmarshal(raw, &h); err != nil {
		return header{}, fmt.Errorf("line 1: %w", err)
	}
	return h, nil
}

// torn names the end of a file that ends too early.
func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends too early")
	}
	return err
}

// loadPlan reads a folder's plan; objects.ErrNotExist where it has none.
func loadPlan(ctx context.Context, store objects.Store, folder string) (*Plan, error) {
	name := join(folder, planName)
	o, err := store.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	r, err := store.Open(ctx, o, 0, -1)
	if err != nil {
		return nil, Fault(pipeline.PhasePlan, "read", name, err)
	}
	source := &faultyReader{Reader: r}
	p, err := ReadPlan(source)
	if closeErr := r.Close(); source.err == nil {
		source.err = closeErr
	}
	if source.err != nil {
		return nil, Fault(pipeline.PhasePlan, "read", name, source.err)
	}
	var version versionError
	switch {
	case errors.As(err, &version):
		return nil, otherVersion("the plan", name, int(version))
	case err != nil:
		return nil, broken("the plan", name, err)
	}
	return p, nil
}

// faultyReader tells an error of the store from one of what it holds.
type faultyReader struct {
	io.Reader
	err error
}

func (r *faultyReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// storePlan writes a plan where there is none; objects.ErrExist.
func storePlan(ctx context.Context, store objects.Store, folder string, p *Plan) error {
	w, err := store.Create(ctx, join(folder, planName))
	if err != nil {
		return err
	}
	if err := p.Write(w); err != nil {
		return errors.Join(err, w.Abort())
	}
	if err := w.Commit(ctx); err != nil {
		return errors.Join(err, w.Abort())
	}
	return nil
}
