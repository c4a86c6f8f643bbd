package report

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// peakMemory is the most memory that the program has held, in bytes. Not by getrusage: what
// that says begins with what the process held that has started this one.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		text, ok := strings.CutPrefix(string(line), "VmHWM:")
		if !ok {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
		if err != nil {
			return 0
		}
		return kilobytes << 10
	}
	return 0
}
