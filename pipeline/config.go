package pipeline

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// BatchConfig is the job file's `batch`.
type BatchConfig struct {
	Size       Count         `yaml:"size"`        // instances of one call
	MaxBytes   Bytes         `yaml:"max_bytes"`   // of instance text
	MaxLatency time.Duration `yaml:"max_latency"` // streams only
}

// ErrorsConfig is the job file's `errors`.
type ErrorsConfig struct {
	MaxFailures     int64    `yaml:"max_failures"`      // -1: no such limit
	MaxFailureRatio float64  `yaml:"max_failure_ratio"` // 1: no such limit
	MinInstances    int64    `yaml:"min_instances"`     // from which on the ratio is judged
	RetryOn         []string `yaml:"retry_on"`          // Python's exceptions worth repeating
	Retries         int      `yaml:"retries"`
}

// Count is a positive number, or 0 for `auto`.
type Count int

// UnmarshalText reads a Count as the job file has it.
func (c *Count) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*c = 0
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 {
		return fmt.Errorf("%q is neither auto nor a number of 1 or more", text)
	}
	*c = Count(n)
	return nil
}

// MarshalText writes a Count as the job file has it.
func (c Count) MarshalText() ([]byte, error) {
	if c == 0 {
		return []byte("auto"), nil
	}
	return strconv.AppendInt(nil, int64(c), 10), nil
}

// Bytes is a size in bytes, written with a unit: 64MiB, 10GB, 512 (bytes).
type Bytes int64

var units = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// UnmarshalText reads a size as the job file has it.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || n < 0 || n*u.factor > math.MaxInt64/2 || math.IsNaN(n) {
			break
		}
		*b = Bytes(n * u.factor)
		return nil
	}
	return fmt.Errorf("%q is no size: write a number with a unit, 64MiB or 10GB", text)
}

// String writes a size with the largest binary unit that leaves it whole, as the job file has it.
func (b Bytes) String() string {
	for _, u := range []struct {
		suffix string
		factor Bytes
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if b >= u.factor && b%u.factor == 0 {
			return strconv.FormatInt(int64(b/u.factor), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// MarshalText writes a size as the job file has it.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Echo is the job file's `output.instance`: what of a row is shown beside its prediction.
// The zero value is all of it.
type Echo struct {
	None   bool
	Fields []string // an object of these fields
}
