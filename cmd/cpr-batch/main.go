// Command cpr-batch runs custom prediction routines in batch. This package is the command
// line only: flags, signals, wiring, exit statuses.
package main

import (
	"os"

	"github.com/cpr-batch/cpr-batch/pyworker"
)

// version is set by the linker (make build).
var version = "dev"

func main() { os.Exit(run()) }

// run is main with an exit status.
func run() int {
	if os.Getpid() == 1 {
		return runAsInit()
	}
	if err := pyworker.HideMemory(); err != nil {
		// Not fatal: the workers are the user's own code.
		_, _ = os.Stderr.WriteString("cpr-batch: protect the program's memory: " + err.Error() + "\n")
	}
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, args: os.Args[1:]}
	return p.run()
}
