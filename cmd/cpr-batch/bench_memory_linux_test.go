package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// maxMegabytes is what the Go process may take, whatever the input's size.
const maxMegabytes = 256

// bytesALine is the mean length of the lines that data.py writes.
const bytesALine = 189

// BenchmarkMemory runs jobs over inputs of several sizes (-megabytes=20,2000) and reports the peak
// resident memory of the Go process, without its workers; over 256 MiB it fails.
func BenchmarkMemory(b *testing.B) {
	binary := buildProgram(b)
	_, megabytes := sizes()
	for size := range strings.SplitSeq(megabytes, ",") {
		megabytes, err := strconv.Atoi(size)
		if err != nil {
			b.Fatalf("-megabytes: %v", err)
		}
		b.Run(fmt.Sprintf("input=%dMB", megabytes), func(b *testing.B) {
			dir := b.TempDir()
			input := filepath.Join(dir, "instances.jsonl")
			makeData(b, "arrays", megabytes*1_000_000/bytesALine, input)
			var peaks []float64
			for round := 0; b.Loop(); round++ {
				output := filepath.Join(dir, fmt.Sprintf("out-%d", round))
				peak := peakMegabytes(b, runJob(binary, writeJob(b, "Arrays", input, output)))
				if peak > maxMegabytes {
					b.Errorf("the program took %.0f MiB, more than %d", peak, maxMegabytes)
				}
				peaks = append(peaks, peak)
				if err := os.RemoveAll(output); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(median(peaks), "MiB_program")
		})
	}
}

// peakMegabytes runs a command and returns the high-water mark of its own resident
// memory. (What wait4 reports includes the children's.)
func peakMegabytes(b *testing.B, cmd *exec.Cmd) float64 {
	b.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var peak float64
	for {
		select {
		case err := <-ended:
			if err != nil {
				b.Fatalf("%s: %v\n%s", cmd, err, out.Bytes())
			}
			if peak == 0 {
				b.Fatal("the program ended before its memory could be read")
			}
			return peak
		case <-tick.C:
			peak = max(peak, highWaterMark(cmd.Process.Pid))
		}
	}
}

// highWaterMark is VmHWM of a process in MiB; 0 once it has ended.
func highWaterMark(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}
