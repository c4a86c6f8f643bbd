package pyworker

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The batches hold nothing that makes the worker read instances one by one from the start.
func TestBrokenInstancesThatWouldParseTogetherStandAlone(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "echo"))
	for _, texts := range [][]string{
		{"[1,", "2]"},
		{"0", "[1,", "2]"},
		{"[1,", "2]", "3"},
		{"[", "]"},
		{`{"a":`, "1}", "2"},
		{"0", "[", "1", "]", "2"},
		{"[1,", "2]", "[3,", "4]"},
		{"0", "1 2", "[", "]"},
		{"0", "", "1"},
	} {
		var want, got []string
		for _, text := range texts {
			if strings.ContainsAny(text, "[]{} ") || text == "" {
				text = "! read InvalidJSON"
			}
			want = append(want, text)
		}
		for _, outcome := range predict(t, p, newTestCall(texts...)) {
			kind, _, _ := strings.Cut(outcome, ":")
			got = append(got, kind)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", texts, diff)
		}
	}
}
