package report

import (
	"strings"
	"testing"
	"time"
)

func TestALineFitsItsTerminal(t *testing.T) {
	t.Parallel()
	r := reading{started: true, predicted: 1234567, failed: 3, percent: 41, fraction: 0.41, rate: 1560.4, left: 130 * time.Second, ready: 3, total: 4}
	const text = "41 %, 1,234,567 predicted, 3 failed, 1,560/s, 2m10s left, workers 3/4"
	for width, want := range map[int]string{
		0: "", 1: "4", 30: text[:30], len(text): text, len(text) + 12: text,
		len(text) + 13: "[====      ] " + text,
		200:            "[" + strings.Repeat("=", 16) + strings.Repeat(" ", 24) + "] " + text,
	} {
		if got := draw(r, width); got != want {
			t.Errorf("%d columns: %q", width, got)
		}
	}
	r.percent = -1
	if got := draw(r, 200); strings.ContainsAny(got, "[%") {
		t.Errorf("no total: %q", got)
	}
}
