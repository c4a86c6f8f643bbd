package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"cpr-batch": main})
}

// leakChecked runs tests and then looks for goroutines they left.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	status := l.m.Run()
	if status != 0 {
		return status
	}
	if err := goleak.Find(goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestScripts runs the scenarios of testdata/scripts: the real program on real Python, one
// scenario a file. Besides testscript's own commands they use
//
//	exits STATUS program args...  run to the end and compare the exit status
//	json FILE PATH WANT           the value at a path like failures[0].type; ~RE matches
//	jsonl FILE N PATH WANT        the same in line N (from 1) of a file
//	lines FILE N                  how many lines a file has
//	tree FOLDER NAME...           exactly these names are at the top of a folder
//	noprocess                     nothing started by the scenario is alive, within 2 s
//	notemp                        no temporary folder is left
//
// $REPO is the repository, $PREDICTORS its folder of predictors that misbehave.
// A scenario that leaves a process behind fails.
func TestScripts(t *testing.T) {
	t.Parallel()
	params := scriptParams(t, pythonFolder(t))
	params.Dir = filepath.Join("testdata", "scripts")
	testscript.Run(t, params)
}

// scriptParams are those of scenarios that find python3 in a folder.
func scriptParams(t *testing.T, python string) testscript.Params {
	t.Helper()
	repository, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return testscript.Params{
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("REPO", repository)
			env.Setenv("PREDICTORS", filepath.Join(repository, "pyworker", "testdata", "predictors"))
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("PATH", python+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Defer(func() {
				if left := processesOf(env.WorkDir); len(left) > 0 {
					env.T().Fatal("the scenario has left processes: " + strings.Join(left, "; "))
				}
			})
			return os.Mkdir(env.Getenv("HOME"), 0o777)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":     exits,
			"json":      jsonFile,
			"jsonl":     jsonLine,
			"lines":     lines,
			"tree":      tree,
			"noprocess": noProcess,
			"notemp":    noTemp,
		},
	}
}

// pythonFolder is the folder of the interpreter itself: launchers that look for it below
// the home folder would not find it in a scenario.
func pythonFolder(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Fatalf("find python3: %v", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits status program [args...]")
	}
	status := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		status = exit.ExitCode()
	}
	if want := number(ts, args[0]); status != want {
		ts.Fatalf("exit status %d, want %d", status, want)
	}
}

func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines file n")
	}
	content := ts.ReadFile(args[0])
	if got, want := strings.Count(content, "\n"), number(ts, args[1]); got != want {
		ts.Fatalf("%s has %d lines, want %d", args[0], got, want)
	}
	if content != "" && !strings.HasSuffix(content, "\n") {
		ts.Fatalf("%s does not end with a newline", args[0])
	}
}

func tree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: tree folder [name...]")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if got, want := strings.Join(names, " "), strings.Join(args[1:], " "); got != want {
		ts.Fatalf("%s has\n\t%s\nwant\n\t%s", args[0], got, want)
	}
}

func noProcess(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: noprocess")
	}
	var left []string
	if !eventually(2*time.Second, func() bool {
		left = processesOf(ts.Getenv("WORK"))
		return len(left) == 0
	}) {
		ts.Fatalf("alive after two seconds: %s", strings.Join(left, "; "))
	}
}

func noTemp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: notemp")
	}
	left, err := filepath.Glob(filepath.Join(ts.Getenv("TMPDIR"), "*"))
	ts.Check(err)
	if len(left) > 0 {
		ts.Fatalf("left in the temporary folder: %s", strings.Join(left, " "))
	}
}

// eventually asks until done says so, and returns false when that takes too long.
func eventually(limit time.Duration, done func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		if done() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}
