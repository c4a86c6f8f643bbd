package configs

import (
	"bytes"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// machineMemory is the memory that there is for this process, in bytes: the machine's, or
// the limit of a control group around it where that is less. 0: not known.
func machineMemory() int64 {
	total := int64(math.MaxInt64)
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err == nil {
		total = min(total, memTotal(meminfo))
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err == nil {
		for _, file := range limitFiles(groups) {
			if limit, err := os.ReadFile(file); err == nil {
				total = min(total, groupLimit(limit))
			}
		}
	}
	if total == math.MaxInt64 {
		return 0
	}
	return total
}

// memTotal reads the line "MemTotal: 16384 kB".
func memTotal(meminfo []byte) int64 {
	for line := range bytes.Lines(meminfo) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 || fields[0] != "MemTotal:" {
			continue
		}
		if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil && n > 0 {
			return n << 10
		}
	}
	return math.MaxInt64
}

// limitFiles lists where the limits of a process's control groups may be, given its
// /proc/self/cgroup: "0::/a/b" (version 2), "7:memory:/a/b" (version 1).
func limitFiles(groups []byte) []string {
	var files []string
	for line := range bytes.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root, name := "/sys/fs/cgroup", "memory.max"
		if parts[1] == "memory" {
			root, name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		} else if parts[1] != "" {
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			files = append(files, path.Join(root, dir, name))
			if dir == "/" {
				break
			}
		}
	}
	return files
}

// groupLimit reads a limit: a number, or "max".
func groupLimit(text []byte) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n <= 0 {
		return math.MaxInt64
	}
	return n
}
