//go:build !linux

package configs

// machineMemory is the memory that there is for this process, in bytes; 0: not known.
func machineMemory() int64 { return 0 }
