//go:build !linux

package main

import (
	"os/exec"
	"strings"
)

// processesOf describes the living processes that have a scenario's work folder in their
// environment: all that the scenario started.
func processesOf(work string) []string {
	out, err := exec.Command("ps", "-axEww", "-o", "pid=,stat=,command=").Output()
	if err != nil {
		return nil
	}
	var left []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) > 1 && !strings.HasPrefix(fields[1], "Z") && strings.Contains(line, " WORK="+work+" ") {
			left = append(left, strings.TrimSpace(line))
		}
	}
	return left
}
