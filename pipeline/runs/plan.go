package runs

import (
	"bufio"
	"bytes"
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

// formatVersion is the version of the plan, the commit records and the seals.
const formatVersion = 2

// Plan is what a run will do, fixed when it starts: its splits in order, and the digest
// of what decides its output.
type Plan struct {
	RunID   string
	Name    string
	Started time.Time
	Digest  Digest
	Splits  *Splits

	generation string // of the file that it was read from; "" for one that was made here
}

// NewPlan plans a new run, with an ID of its own. The files that the splits read become
// part of the digest.
func NewPlan(name string, started time.Time, digest Digest, splits *Splits) (Plan, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Plan{}, fmt.Errorf("make a run ID: %w", err)
	}
	return Plan{RunID: id.String(), Name: name, Started: started.UTC(), Digest: digest.reading(splits.files), Splits: splits}, nil
}

// header is the first line of the plan's file.
type header struct {
	Format    int       `json:"format"`
	RunID     string    `json:"run_id"`
	Name      string    `json:"name"`
	Started   time.Time `json:"started"`
	Splits    int       `json:"splits"`
	Files     int       `json:"files"`
	CRC32C    uint32    `json:"crc32c"` // of the lines of the splits
	DigestSum string    `json:"digest_sum"`
	Digest    Digest    `json:"digest"`
}

// Write writes the plan as its file has it: a header, then a line a split.
func (p *Plan) Write(w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 1<<18)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(header{
		Format: formatVersion, RunID: p.RunID, Name: p.Name, Started: p.Started,
		Splits: p.Splits.Len(), Files: p.Splits.Files(), CRC32C: p.Splits.crc, DigestSum: p.Digest.Sum(), Digest: p.Digest,
	})
	if err == nil {
		_, err = io.Copy(buffered, p.Splits.lines())
	}
	return errors.Join(err, buffered.Flush())
}

// versionError says that a file is of another format.
type versionError int

func (v versionError) Error() string { return fmt.Sprintf("format %d", int(v)) }

// ReadPlan reads what Write has written, and nothing less. Its Splits are to be closed.
func ReadPlan(r io.Reader) (*Plan, error) {
	buffered := bufio.NewReaderSize(r, 1<<18)
	first, readErr := buffered.ReadBytes('\n')
	h, err := parseHeader(first)
	var version versionError
	if readErr != nil && !errors.As(err, &version) {
		err = torn(readErr)
	}
	if err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	if h.RunID == "" || h.Digest.Sum() != h.DigestSum {
		return nil, errors.New("line 1: the digest is not that of its parts")
	}
	splits, err := spool(func(add func([]byte, *pipeline.PlannedSplit) error) error {
		for n := range h.Splits {
			line, err := buffered.ReadBytes('\n')
			if err != nil {
				return fmt.Errorf("line %d: %w", n+2, torn(err))
			}
			split, err := decodeSplit(line)
			if err != nil {
				return fmt.Errorf("line %d: %w", n+2, err)
			}
			if err := add(line, &split); err != nil {
				return err
			}
		}
		if rest, _ := buffered.Peek(1); len(bytes.TrimSpace(rest)) > 0 {
			return fmt.Errorf("line %d: more splits than the header says", h.Splits+2)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if splits.crc != h.CRC32C || splits.Files() != h.Files {
		return nil, errors.Join(errors.New("the splits are not those that were planned"), splits.Close())
	}
	return &Plan{RunID: h.RunID, Name: h.Name, Started: h.Started, Digest: h.Digest, Splits: splits}, nil
}

// parseHeader looks at the format first: another version's header may look otherwise.
func parseHeader(line []byte) (header, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(line, &version); err != nil {
		return header{}, torn(err)
	}
	if version.Format == 0 {
		return header{}, errors.New("it names no format")
	}
	if version.Format != formatVersion {
		return header{}, versionError(version.Format)
	}
	var h header
	err := json.Unmarshal(line, &h)
	return h, err
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
	if closing := r.Close(); source.err == nil {
		source.err = closing
	}
	if source.err != nil && p != nil {
		source.err = errors.Join(source.err, p.Splits.Close())
	}
	var version versionError
	var known *pipeline.Error
	switch {
	case source.err != nil:
		return nil, Fault(pipeline.PhasePlan, "read", name, source.err)
	case errors.As(err, &known):
		return nil, err
	case errors.As(err, &version):
		return nil, otherVersion("the plan", name, int(version))
	case err != nil:
		return nil, broken("the plan", name, err)
	}
	p.generation = o.Generation
	return p, nil
}

// stands says whether the plan is still the one of the folder it was read from.
func (p *Plan) stands(ctx context.Context, store objects.Store, folder string) (bool, error) {
	name := join(folder, planName)
	o, err := store.Stat(ctx, name)
	if errors.Is(err, objects.ErrNotExist) {
		return false, nil
	}
	return err == nil && o.Generation == p.generation, Fault(pipeline.PhasePlan, "look for", name, err)
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
