package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// processesOf describes the living processes that have a scenario's work folder in their
// environment: all that the scenario started. Zombies have ended.
func processesOf(work string) []string {
	found, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil
	}
	var left []string
	for _, name := range found {
		environ, err := os.ReadFile(name)
		if err != nil || !slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(entry []byte) bool {
			return string(entry) == "WORK="+work
		}) {
			continue
		}
		folder := filepath.Dir(name)
		status, err := os.ReadFile(filepath.Join(folder, "stat"))
		_, state, _ := strings.Cut(string(status), ") ")
		if err != nil || strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X") {
			continue
		}
		command, err := os.ReadFile(filepath.Join(folder, "cmdline"))
		if err != nil {
			continue
		}
		left = append(left, fmt.Sprintf("%s (%s)", filepath.Base(folder), bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
	}
	return left
}
