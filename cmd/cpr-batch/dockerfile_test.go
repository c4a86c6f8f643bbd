package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The image can not be built in a test, which has no net: its promises are read from the
// file.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]string{} // instruction to its value, of the last stage
	for line := range strings.Lines(string(text)) {
		instruction, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if instruction == "FROM" {
			clear(last)
		}
		last[instruction] = value
	}
	if user := last["USER"]; user == "" || strings.HasPrefix(user, "0") || strings.HasPrefix(user, "root") {
		t.Errorf("the program runs as %q", user)
	}
	var entry []string
	if err := json.Unmarshal([]byte(last["ENTRYPOINT"]), &entry); err != nil || len(entry) != 1 || !strings.HasSuffix(entry[0], "/cpr-batch") {
		t.Errorf("ENTRYPOINT %s: the program is not process 1 itself (%v)", last["ENTRYPOINT"], err)
	}
	if !strings.Contains(string(text), "CGO_ENABLED=0 go build") {
		t.Error("the program is not built as a static file")
	}
	if from := last["COPY"]; !strings.HasPrefix(from, "--from=build /out/cpr-batch ") {
		t.Errorf("COPY %s: the program is not that of the build", from)
	}
}
