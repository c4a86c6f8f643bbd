package configs

import (
	"math"
	"slices"
	"testing"
)

func TestMemoryOfTheMachineIsKnown(t *testing.T) {
	t.Parallel()
	if m := machineMemory(); m < 32<<20 || m > 1<<50 {
		t.Errorf("memory = %d", m)
	}
}

func TestMemoryIsReadFromTheKernel(t *testing.T) {
	t.Parallel()
	if got := memTotal([]byte("MemFree: 1 kB\nMemTotal:       16384 kB\n")); got != 16<<20 {
		t.Errorf("memTotal = %d", got)
	}
	if got := memTotal([]byte("MemTotal:\n")); got != math.MaxInt64 {
		t.Errorf("memTotal without a number = %d", got)
	}
	for text, want := range map[string]int64{"max\n": math.MaxInt64, "536870912\n": 512 << 20, "": math.MaxInt64, "-1": math.MaxInt64} {
		if got := groupLimit([]byte(text)); got != want {
			t.Errorf("groupLimit(%q) = %d, want %d", text, got, want)
		}
	}
	got := limitFiles([]byte("7:memory:/a\n3:cpu:/b\n0::/c/d\nbroken\n"))
	want := []string{
		"/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
		"/sys/fs/cgroup/c/d/memory.max", "/sys/fs/cgroup/c/memory.max", "/sys/fs/cgroup/memory.max",
	}
	if !slices.Equal(got, want) {
		t.Errorf("limitFiles = %q", got)
	}
}
