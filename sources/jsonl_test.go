package sources_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/sources"
)

func TestLines(t *testing.T) {
	t.Parallel()
	const u = "in.jsonl"
	for _, tc := range []struct {
		name, content string
		want          []row
		lines         int64
	}{
		{"an empty file has no instance", "", nil, 0},
		{"lines are instances", "1\n[2]\n", []row{{u, 1, 0, "1", ""}, {u, 2, 2, "[2]", ""}}, 2},
		{"the last line needs no newline", "1\n2", []row{{u, 1, 0, "1", ""}, {u, 2, 2, "2", ""}}, 2},
		{"blank lines count and are no instances", "\n \t\r\n1\n\n\n2\n \n", []row{{u, 3, 5, "1", ""}, {u, 6, 9, "2", ""}}, 7},
		{"CRLF ends a line", "1\r\n2\r\n", []row{{u, 1, 0, "1", ""}, {u, 2, 3, "2", ""}}, 2},
		{"blanks around a line are no part of it", " \t1 2\t \r\n", []row{{u, 1, 0, "1 2", ""}}, 1},
		{"other white space is", "\f1\v\n", []row{{u, 1, 0, "\f1\v", ""}}, 1},
		{"a byte order mark begins a file", "\ufeff1\n\ufeff2\n", []row{{u, 1, 0, "1", ""}, {u, 2, 5, "\ufeff2", ""}}, 2},
		{"a byte order mark alone is a blank line", "\ufeff\n1", []row{{u, 2, 4, "1", ""}}, 2},
		{"what is not JSON is carried", "{oops\n\xff\x00\n", []row{{u, 1, 0, "{oops", ""}, {u, 2, 6, "\xff\x00", ""}}, 2},
		{"a line over max_line fails", "1\n" + strings.Repeat("x", 51) + "\n" + strings.Repeat("y", 50) + "\n2",
			[]row{{u, 1, 0, "1", ""}, {u, 2, 2, "", "LineTooLong"}, {u, 3, 54, strings.Repeat("y", 50), ""}, {u, 4, 105, "2", ""}}, 4},
		{"a line over max_line at the end fails", strings.Repeat("x", 51), []row{{u, 1, 0, "", "LineTooLong"}}, 1},
		{"a blank line over max_line is blank", strings.Repeat(" ", 51) + "\n1", []row{{u, 2, 52, "1", ""}}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, u, tc.content)
			cfg := config(u)
			cfg.MaxLine = 50
			source := sources.NewJSONL(objects.NewLocal(), cfg, sources.Rows{}, sources.InOrder(plan(t, dir, cfg)...))
			split, err := source.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			rows, extent, err := readSplit(t.Context(), split, limits)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, rows); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(pipeline.Extent{Lines: tc.lines, Bytes: int64(len(tc.content))}, extent); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLineTooLongShowsItsBegin(t *testing.T) {
	t.Parallel()
	cfg := config("-")
	cfg.MaxLine = 2000
	in := " " + strings.Repeat("x", 1021) + "é" + strings.Repeat("y", 3000) + "\n" + strings.Repeat("é", 1100)
	split, err := sources.NewReader(strings.NewReader(in), "-", cfg, sources.Rows{}).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := pipeline.Batch{Limits: limits}
	if err := split.Read(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	var got []pipeline.Failure
	for _, in := range b.Instances {
		got = append(got, *in.Failure)
		if in.Echo != nil || in.Input != nil {
			t.Errorf("a line that is too long is held: %+v", in)
		}
	}
	message := func(n string) string {
		return "the line has " + n + " bytes, more than source.jsonl.max_line (2000B) allows"
	}
	want := []pipeline.Failure{
		{Phase: "read", Type: "LineTooLong", Message: message("4024"), Text: strings.Repeat("x", 1021) + "é", NotJSON: true},
		{Phase: "read", Type: "LineTooLong", Message: message("2200"), Text: strings.Repeat("é", 512), NotJSON: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBatchLimits(t *testing.T) {
	t.Parallel()
	type batch struct {
		First  int64
		Inputs []string
		Extent pipeline.Extent
	}
	const in = "\"aaaa\"\n\n11\n22\n33\n\"bbbbbbbbbbbbbb\"\n44\n\n"
	for _, tc := range []struct {
		name   string
		limits pipeline.Limits
		limit  int64
		want   []batch
	}{
		{"the number of instances is exact", pipeline.Limits{Instances: 2, Bytes: 1 << 20}, 0, []batch{
			{0, []string{`"aaaa"`, "11"}, pipeline.Extent{Lines: 3, Bytes: 11}},
			{2, []string{"22", "33"}, pipeline.Extent{Lines: 5, Bytes: 17}},
			{4, []string{`"bbbbbbbbbbbbbb"`, "44"}, pipeline.Extent{Lines: 7, Bytes: 37}},
			{6, nil, pipeline.Extent{Lines: 8, Bytes: 38}},
		}},
		{"what exceeds the bytes waits, and goes alone", pipeline.Limits{Instances: 100, Bytes: 8}, 0, []batch{
			{0, []string{`"aaaa"`, "11"}, pipeline.Extent{Lines: 3, Bytes: 11}},
			{2, []string{"22", "33"}, pipeline.Extent{Lines: 5, Bytes: 17}},
			{4, []string{`"bbbbbbbbbbbbbb"`}, pipeline.Extent{Lines: 6, Bytes: 34}},
			{5, []string{"44"}, pipeline.Extent{Lines: 8, Bytes: 38}},
			{6, nil, pipeline.Extent{Lines: 8, Bytes: 38}},
		}},
		{"a planned limit ends the split", pipeline.Limits{Instances: 2, Bytes: 1 << 20}, 3, []batch{
			{0, []string{`"aaaa"`, "11"}, pipeline.Extent{Lines: 3, Bytes: 11}},
			{2, []string{"22"}, pipeline.Extent{Lines: 4, Bytes: 14}},
			{3, nil, pipeline.Extent{Lines: 4, Bytes: 14}},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "in.jsonl", in)
			cfg := config("in.jsonl")
			plan := plan(t, dir, cfg)
			plan[0].Limit = tc.limit
			split, err := sources.NewJSONL(objects.NewLocal(), cfg, sources.Rows{}, sources.InOrder(plan...)).Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b := pipeline.Batch{Limits: tc.limits}
			var got []batch
			for err = nil; err == nil; {
				err = split.Read(t.Context(), &b)
				one := batch{First: b.First, Extent: b.Extent}
				for _, in := range b.Instances {
					one.Inputs = append(one.Inputs, string(in.Input))
				}
				got = append(got, one)
			}
			if err != io.EOF {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if err := split.Read(t.Context(), &b); err != io.EOF {
				t.Errorf("behind the end: %v", err)
			}
			if err := split.Settle(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAChangedFileIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config("in.jsonl")
	cfg.SplitSize = 30
	for name, change := range map[string]func(file string) error{
		"changed": func(file string) error { return os.Chtimes(file, time.Time{}, time.Unix(1, 0)) },
		"removed": os.Remove,
	} {
		file := write(t, dir, "in.jsonl", strings.Repeat("[1,2,3]\n", 10))
		if err := os.Chtimes(file, time.Time{}, time.Unix(1000, 0)); err != nil {
			t.Fatal(err)
		}
		source := sources.NewJSONL(objects.NewLocal(), cfg, sources.Rows{}, sources.InOrder(plan(t, dir, cfg)...))
		begun, err := source.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		later, err := source.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b := pipeline.Batch{Limits: pipeline.Limits{Instances: 1}}
		if err := begun.Read(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if err := change(file); err != nil {
			t.Fatal(err)
		}
		for i, split := range []pipeline.Split{begun, later} {
			_, _, err := readSplit(t.Context(), split, limits)
			var e *pipeline.Error
			if i == 0 && name == "removed" {
				continue // what is open can be read to its end
			}
			if !errors.As(err, &e) || e.Remedy != pipeline.FixInput || e.Phase != pipeline.PhaseRead || !strings.Contains(e.Message, "in.jsonl") || e.Hint == "" {
				t.Errorf("%s, split %d: %v", name, i, err)
			}
		}
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	source := sources.NewReader(r, "-", config("-"), sources.Rows{})
	split, err := source.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- split.Read(ctx, &pipeline.Batch{Limits: limits}) }()
	if _, err := io.WriteString(w, "1234\n"); err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	if err := <-done; err != cause {
		t.Errorf("read: %v", err)
	}
	if err := split.Settle(t.Context(), cause); err != nil {
		t.Error(err)
	}
	if _, err := source.Next(ctx); err != cause {
		t.Errorf("next: %v", err)
	}
}

func TestNewReader(t *testing.T) {
	t.Parallel()
	source := sources.NewReader(io.MultiReader(strings.NewReader("1\n2"), strings.NewReader("2\n\n3")), "<stdin>", config(), sources.Rows{})
	rows, err := readAll(t.Context(), source, limits)
	if err != nil {
		t.Fatal(err)
	}
	const u = "<stdin>"
	if diff := cmp.Diff([]row{{u, 1, 0, "1", ""}, {u, 2, 2, "22", ""}, {u, 4, 6, "3", ""}}, rows); diff != "" {
		t.Error(diff)
	}
	broken := errors.New("broken pipe")
	source = sources.NewReader(io.MultiReader(strings.NewReader("1\n2\n"), failing{broken}), u, config(), sources.Rows{})
	if _, err := readAll(t.Context(), source, limits); !errors.Is(err, broken) {
		t.Errorf("a stream that breaks: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestManyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "in/b.jsonl", "3\n4")
	write(t, dir, "in/a.jsonl", "1\n2")
	write(t, dir, "in/empty.jsonl", "")
	write(t, dir, "in/z/c.jsonl", "\ufeff5\n")
	cfg := config("in")
	splits := plan(t, dir, cfg)
	if len(splits) != 1 {
		t.Fatalf("%d splits: %+v", len(splits), splits)
	}
	split, err := sources.NewJSONL(objects.NewLocal(), cfg, sources.Rows{}, sources.InOrder(splits...)).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, extent, err := readSplit(t.Context(), split, limits)
	if err != nil {
		t.Fatal(err)
	}
	want := []row{
		{"in/a.jsonl", 1, 0, "1", ""}, {"in/a.jsonl", 2, 2, "2", ""}, {"in/b.jsonl", 1, 0, "3", ""},
		{"in/b.jsonl", 2, 2, "4", ""}, {"in/z/c.jsonl", 1, 0, "5", ""},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(pipeline.Extent{Lines: 5, Bytes: 11}, extent); diff != "" {
		t.Error(diff)
	}
	if split.ID() != "00000-of-00001" || splits[0].Pieces[0].Name != filepath.Join(dir, "in/a.jsonl") {
		t.Errorf("%s: %+v", split.ID(), splits[0])
	}
}
