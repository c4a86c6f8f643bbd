package sources_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/sources"
)

// shape writes a plan down: a line a split.
func shape(plan []pipeline.PlannedSplit) []string {
	var lines []string
	for _, split := range plan {
		var pieces []string
		for _, p := range split.Pieces {
			pieces = append(pieces, fmt.Sprintf("%s[%d:%d]/%d", p.URI, p.Start, p.End, p.Size))
		}
		line := string(split.ID) + " " + strings.Join(pieces, " ")
		if split.Limit > 0 {
			line += fmt.Sprintf(" limit %d", split.Limit)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestPlan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "small/a.jsonl", "1\n2\n\n")
	write(t, dir, "small/b.jsonl", "3\n4\n")
	write(t, dir, "small/c.jsonl", "5\n6\n7\n")
	write(t, dir, "small/_hidden.jsonl", "8\n")
	write(t, dir, "empty.jsonl", "")
	write(t, dir, "blank.jsonl", "\n \n")
	write(t, dir, "large.jsonl", strings.Repeat("1\n", 12)+"x")
	write(t, dir, "packed.gz", gzipped(t, "1\n2\n3\n"))
	packed := len(gzipped(t, "1\n2\n3\n"))
	for _, tc := range []struct {
		name       string
		uris       []string
		size       pipeline.Bytes
		limit      int64
		allowEmpty bool
		want       []string
	}{
		{"small files share a split", []string{"small"}, 100, 0, false, []string{
			"00000-of-00001 small/a.jsonl[0:5]/5 small/b.jsonl[0:4]/4 small/c.jsonl[0:6]/6"}},
		{"as far as its size allows", []string{"small"}, 10, 0, false, []string{
			"00000-of-00002 small/a.jsonl[0:5]/5 small/b.jsonl[0:4]/4", "00001-of-00002 small/c.jsonl[0:6]/6"}},
		{"a large file is cut into equal parts", []string{"large.jsonl"}, 10, 0, false, []string{
			"00000-of-00003 large.jsonl[0:8]/25", "00001-of-00003 large.jsonl[8:16]/25", "00002-of-00003 large.jsonl[16:25]/25"}},
		{"a file of exactly the size is not cut", []string{"large.jsonl"}, 25, 0, false, []string{"00000-of-00001 large.jsonl[0:25]/25"}},
		{"the order is that of names over all", []string{"small/c.jsonl", "large.jsonl", "small/a.jsonl"}, 20, 0, false, []string{
			"00000-of-00003 large.jsonl[0:12]/25", "00001-of-00003 large.jsonl[12:25]/25", "00002-of-00003 small/a.jsonl[0:5]/5 small/c.jsonl[0:6]/6"}},
		{"a file matched twice is read once", []string{"small/a.jsonl", "./small/a.jsonl", "small/[ab]*", dir + "/small/b.jsonl"}, 100, 0, false, []string{
			"00000-of-00001 small/a.jsonl[0:5]/5 small/b.jsonl[0:4]/4"}},
		{"a compressed file is not cut", []string{"packed.gz", "small/a.jsonl"}, 5, 0, false, []string{
			fmt.Sprintf("00000-of-00002 packed.gz[0:%d]/%d", packed, packed), "00001-of-00002 small/a.jsonl[0:5]/5"}},
		{"an empty file belongs to a split", []string{"empty.jsonl"}, 5, 0, false, []string{"00000-of-00001 empty.jsonl[0:0]/0"}},
		{"no file is no split where that is allowed", []string{"absent/*"}, 5, 0, true, nil},
		{"a limit ends the plan", []string{"small"}, 5, 3, false, []string{
			"00000-of-00002 small/a.jsonl[0:5]/5", "00001-of-00002 small/b.jsonl[0:4]/4 limit 1"}},
		{"a limit at a split's end too", []string{"small"}, 5, 2, false, []string{"00000-of-00001 small/a.jsonl[0:5]/5 limit 2"}},
		{"a limit within a shared split leaves the rest out", []string{"small"}, 100, 3, false, []string{
			"00000-of-00001 small/a.jsonl[0:5]/5 small/b.jsonl[0:4]/4 limit 3"}},
		{"a limit over all leaves the plan", []string{"small"}, 100, 8, false, []string{
			"00000-of-00001 small/a.jsonl[0:5]/5 small/b.jsonl[0:4]/4 small/c.jsonl[0:6]/6"}},
		{"a limit counts no blank lines", []string{"blank.jsonl", "large.jsonl"}, 20, 1, false, []string{
			"00000-of-00002 blank.jsonl[0:3]/3", "00001-of-00002 large.jsonl[0:12]/25 limit 1"}},
		{"a limit counts in compressed files", []string{"packed.gz"}, 20, 2, false, []string{
			fmt.Sprintf("00000-of-00001 packed.gz[0:%d]/%d limit 2", packed, packed)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg := config(tc.uris...)
			cfg.SplitSize, cfg.AllowEmpty = tc.size, tc.allowEmpty
			plan, err := collect(sources.PlanJSONL(t.Context(), objects.NewLocal(), dir, cfg, tc.limit))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, shape(plan)); diff != "" {
				t.Error(diff)
			}
			var sum int64
			for _, split := range plan {
				sum += split.Limit
			}
			rows, err := readAll(t.Context(), sources.NewJSONL(objects.NewLocal(), cfg, sources.Rows{}, sources.InOrder(plan...)), limits)
			if err != nil {
				t.Fatal(err)
			}
			if sum > 0 && int64(len(rows)) != tc.limit {
				t.Errorf("%d instances; want %d", len(rows), tc.limit)
			}
		})
	}
}

func TestPlanErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "in/a.jsonl", "1\n")
	if err := os.Symlink("nowhere", dir+"/in/link.jsonl"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		uris   []string
		remedy pipeline.Remedy
		parts  []string // of the message and the hint
	}{
		{"nothing matches", []string{"in/a.jsonl", "*.json"}, pipeline.TryAgain, []string{"source.jsonl.uris: *.json matches no file", dir, "allow_empty"}},
		{"a broken pattern", []string{"in/[a"}, pipeline.FixConfig, []string{"in/[a: is not a valid pattern"}},
		{"a link leads nowhere", []string{"in"}, pipeline.FixInput, []string{"in can not be read", "in/link.jsonl: no such file"}},
		{"all at once", []string{"in", "absent", "{b", "none"}, pipeline.FixConfig, []string{"in/link.jsonl", "\n  absent matches", "\n  none matches", "{b: is not"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := collect(sources.PlanJSONL(t.Context(), objects.NewLocal(), dir, config(tc.uris...), 0))
			var e *pipeline.Error
			if !errors.As(err, &e) || e.Remedy != tc.remedy || e.Phase != pipeline.PhasePlan || e.Hint == "" {
				t.Fatalf("%#v", err)
			}
			for _, part := range tc.parts {
				if !strings.Contains(e.Message+e.Hint, part) {
					t.Errorf("%q is not in %s %s", part, e.Message, e.Hint)
				}
			}
		})
	}
}
