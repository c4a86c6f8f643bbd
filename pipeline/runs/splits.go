package runs

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// Splits are the planned splits of a run, in order. They are in a temporary file, since a
// plan may be far larger than memory; 16 bytes a split are held. Safe for concurrent use.
type Splits struct {
	file  *os.File // it has no name any more, and goes with the program
	ends  []int64  // where each split's line ends
	bytes []int64  // how much each split reads
	files string   // a hash of the names of the files that they read
	count int      // of these files
	crc   uint32   // of all lines
}

// Spool keeps splits, which come in order; their IDs are given when all are there. The
// first error ends it.
func Spool(ctx context.Context, splits iter.Seq2[pipeline.PlannedSplit, error]) (*Splits, error) {
	return spool(func(add func(line []byte, s *pipeline.PlannedSplit) error) error {
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		for s, err := range splits {
			if err == nil {
				err = context.Cause(ctx)
			}
			line.Reset()
			if err == nil {
				err = encodeSplit(encoder, &s)
			}
			if err == nil {
				err = add(line.Bytes(), &s)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// SplitsOf keeps splits that are at hand.
func SplitsOf(ctx context.Context, splits ...pipeline.PlannedSplit) (*Splits, error) {
	return Spool(ctx, func(yield func(pipeline.PlannedSplit, error) bool) {
		for _, s := range splits {
			if !yield(s, nil) {
				return
			}
		}
	})
}

// spool makes Splits of what fill adds.
func spool(fill func(add func(line []byte, s *pipeline.PlannedSplit) error) error) (*Splits, error) {
	file, err := nameless()
	if err != nil {
		return nil, asideError(err)
	}
	s := &Splits{file: file}
	names, castagnoli := sha256.New(), crc32.MakeTable(crc32.Castagnoli)
	w := bufio.NewWriterSize(file, 1<<16)
	var end int64
	last := ""
	err = fill(func(line []byte, split *pipeline.PlannedSplit) error {
		var size int64
		for _, p := range split.Pieces {
			size += p.End - p.Start
			if p.URI != last {
				field(names, p.URI)
				last = p.URI
				s.count++
			}
		}
		end += int64(len(line))
		s.ends, s.bytes = append(s.ends, end), append(s.bytes, size)
		s.crc = crc32.Update(s.crc, castagnoli, line)
		_, err := w.Write(line)
		return asideError(err)
	})
	if err == nil {
		err = asideError(w.Flush())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s.files = hex.EncodeToString(names.Sum(nil))
	return s, nil
}

// asideError is an error of the temporary file.
func asideError(err error) error {
	if err == nil {
		return nil
	}
	return &pipeline.Error{
		Remedy:  pipeline.TryAgain,
		Phase:   pipeline.PhasePlan,
		Message: "keep the plan in a temporary file",
		Hint:    "Make room for temporary files, or name a folder that has some in TMPDIR; then run the same command again.",
		Err:     err,
	}
}

// nameless makes a temporary file that nobody else sees and that ends with the program.
func nameless() (*os.File, error) {
	file, err := os.CreateTemp("", "cpr-batch-plan-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Len is how many splits there are.
func (s *Splits) Len() int { return len(s.ends) }

// ID names split number i.
func (s *Splits) ID(i int) pipeline.SplitID { return pipeline.NewSplitID(i, len(s.ends)) }

// Number is the number of a split of this name, or false.
func (s *Splits) Number(id pipeline.SplitID) (int, bool) {
	number, _, _ := strings.Cut(string(id), "-of-")
	i, err := strconv.Atoi(number)
	return i, err == nil && i >= 0 && i < len(s.ends) && s.ID(i) == id
}

// Bytes is how many bytes of its files split number i reads.
func (s *Splits) Bytes(i int) int64 { return s.bytes[i] }

// Files is how many files the splits read.
func (s *Splits) Files() int { return s.count }

// At returns split number i.
func (s *Splits) At(i int) (pipeline.PlannedSplit, error) {
	begin := int64(0)
	if i > 0 {
		begin = s.ends[i-1]
	}
	line := make([]byte, s.ends[i]-begin)
	if _, err := s.file.ReadAt(line, begin); err != nil {
		return pipeline.PlannedSplit{}, asideError(fmt.Errorf("split %d: %w", i, err))
	}
	split, err := decodeSplit(line)
	if err != nil {
		return pipeline.PlannedSplit{}, fmt.Errorf("read split %d of the plan: %w", i, err)
	}
	split.ID = s.ID(i)
	return split, nil
}

// All yields the splits in order.
func (s *Splits) All() iter.Seq2[pipeline.PlannedSplit, error] {
	return func(yield func(pipeline.PlannedSplit, error) bool) {
		for i := range s.ends {
			split, err := s.At(i)
			if !yield(split, err) || err != nil {
				return
			}
		}
	}
}

// lines gives the splits as the plan's file has them.
func (s *Splits) lines() io.Reader {
	end := int64(0)
	if n := len(s.ends); n > 0 {
		end = s.ends[n-1]
	}
	return io.NewSectionReader(s.file, 0, end)
}

// Close gives the temporary file back. Nothing can be read afterwards. It may be called
// twice.
func (s *Splits) Close() error {
	if err := s.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
