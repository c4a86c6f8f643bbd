// Command cpr-batch runs custom prediction routines in batch. This package is the command
// line only: flags, signals, wiring, exit statuses.
package main

import (
	"os"
	"runtime/debug"

	"github.com/cpr-batch/cpr-batch/pyworker"
)

// memoryLimit is from where on the collector works harder to keep the program small beside
// its workers, unless GOMEMLIMIT says otherwise.
const memoryLimit = 192 << 20

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
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, args: os.Args[1:]}
	return p.run()
}
