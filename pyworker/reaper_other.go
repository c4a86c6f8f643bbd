//go:build !linux

package pyworker

import "os"

// ownProgram is the file that this program was started from.
func ownProgram() (string, error) { return os.Executable() }
