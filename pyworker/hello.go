package pyworker

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

// hello is what a worker is told before it loads.
type hello struct {
	Protocol    int         `json:"protocol"`
	Class       string      `json:"class"`
	ModelDir    string      `json:"model_dir"`
	Paths       []string    `json:"paths"`
	RetryOn     []string    `json:"retry_on"`
	DecodeB64   bool        `json:"decode_b64"`
	NonFinite   string      `json:"non_finite"`
	Encodings   []string    `json:"encodings"`
	LoadLimit   float64     `json:"load_limit"` // seconds
	ResultLimit int64       `json:"result_limit"`
	Strip       [][2]string `json:"strip"`
}

// greeting is what a worker says of itself.
type greeting struct {
	Protocol       int    `json:"protocol"`
	Python         string `json:"python"` // 3.11.7
	Implementation string `json:"implementation"`
	Encoding       string `json:"encoding"`
	Thread         uint64 `json:"thread"` // of the main thread, as faulthandler names it
}

// told is why a call, a load or one instance failed, in a worker's words.
type told struct {
	Kind      string `json:"kind"` // of a call: raised, retry, memory
	Phase     string `json:"phase"`
	Type      string `json:"type"`
	Message   string `json:"message"`
	Traceback string `json:"traceback"`
	Hint      string `json:"hint"`
}

// newHello returns the frames that make a worker load, in one piece.
func newHello(cfg *PoolConfig, strip stripper) ([]byte, error) {
	nonFinite := map[values.NonFinite]string{0: "error", values.AsNull: "null", values.AsString: "string"}
	text, err := json.Marshal(hello{
		Protocol: protocol, Class: cfg.Class, ModelDir: cfg.ModelDir,
		Paths: orEmpty(cfg.Paths), RetryOn: orEmpty(cfg.RetryOn),
		DecodeB64: cfg.DecodeB64, NonFinite: nonFinite[cfg.NonFinite], Encodings: []string{"json"},
		LoadLimit: seconds(cfg.LoadTimeout), ResultLimit: cfg.ResultLimit, Strip: strip,
	})
	if err != nil {
		return nil, fmt.Errorf("write hello for worker: %w", err)
	}
	b := make([]byte, headerSize, 2*headerSize+len(text))
	putHeader(b, header{kind: kindHello, length: uint32(len(text))})
	b = append(b, text...)
	n := len(b)
	b = b[:n+headerSize]
	putHeader(b[n:], header{kind: kindLoad})
	return b, nil
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// seconds is d for faulthandler, which takes neither 0 nor more than some years.
func seconds(d time.Duration) float64 {
	return min(max(d.Seconds(), 0.001), 1e6)
}

// stripper is the folders of this run and what stands for each of them in messages and
// tracebacks, so that these are the same every time.
type stripper [][2]string

// newStripper returns the stripper of a pool: the packages' files by their names inside
// the package, the model's below model/.
func newStripper(cfg *PoolConfig) stripper {
	var s stripper
	add := func(folder, slash, bare string) {
		if folder == "" || filepath.Clean(folder) == "/" {
			return
		}
		folder = filepath.Clean(folder)
		for _, name := range slices.Compact([]string{folder, resolved(folder)}) {
			s = append(s, [2]string{name + "/", slash}, [2]string{name, bare})
		}
	}
	for _, path := range cfg.Paths {
		add(path, "", "packages")
	}
	add(cfg.ModelDir, "model/", "model")
	add(cfg.Dir, "", "temporary folder")
	// The longest first: a package may lie inside of another one's folder.
	slices.SortStableFunc(s, func(a, b [2]string) int { return len(b[0]) - len(a[0]) })
	return s
}

// resolved is name without symbolic links, or name itself where that can not be told.
func resolved(name string) string {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		return real
	}
	return name
}

func (s stripper) clean(text string) string {
	for _, pair := range s {
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	return text
}
