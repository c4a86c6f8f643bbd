package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cpr-batch/cpr-batch/pyworker/pythontest"
)

// everywhere are scenarios whose course depends on the interpreter. The worker's own tests
// hold it to much more.
var everywhere = []string{
	"a_failure_says_what_where_and_why", "a_forked_child_never_answers", "a_predictor_may_close_every_descriptor",
	"a_worker_that_dies_costs_the_instance_that_killed_it", "an_sdist_with_scripts_loads", "kwargs_keep_every_digit",
	"multiprocessing_spawns_in_a_worker", "odd_json_gets_what_python_gives_it",
}

// TestScriptsOnEveryPython runs some scenarios on every CPython that is here.
func TestScriptsOnEveryPython(t *testing.T) {
	t.Parallel()
	found, err := pythontest.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("pythons found: %s", pythontest.Versions(found))
	for _, python := range found {
		t.Run(python.Version(), func(t *testing.T) {
			folder := t.TempDir()
			if err := os.Symlink(python.Path, filepath.Join(folder, "python3")); err != nil {
				t.Fatal(err)
			}
			params := scriptParams(t, folder)
			for _, name := range everywhere {
				params.Files = append(params.Files, filepath.Join("testdata", "scripts", name+".txtar"))
			}
			testscript.Run(t, params)
		})
	}
}
