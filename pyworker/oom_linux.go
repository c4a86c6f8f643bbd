package pyworker

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// oomKills is how often the kernel has killed for memory: in this program's control
// group, or where that does not tell, on the machine.
func oomKills() int64 {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		groups = nil
	}
	for line := range bytes.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3) // number:controllers:path
		if len(parts) != 3 {
			continue
		}
		var root, name string
		switch {
		case parts[0] == "0" && parts[1] == "":
			root, name = "/sys/fs/cgroup", "memory.events"
		case parts[1] == "memory":
			root, name = "/sys/fs/cgroup/memory", "memory.oom_control"
		default:
			continue
		}
		// In a container the group may be the root of what is seen.
		for _, dir := range []string{filepath.Join(root, parts[2]), root} {
			if n, ok := readCount(filepath.Join(dir, name), "oom_kill"); ok {
				return n
			}
		}
	}
	n, _ := readCount("/proc/vmstat", "oom_kill")
	return n
}

// readCount reads the line "name number" of a file.
func readCount(file, name string) (int64, bool) {
	f, err := os.Open(file)
	if err != nil {
		return 0, false
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
