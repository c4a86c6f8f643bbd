package pyworker

// ownProgram is the file that this program was started from, also when another was put
// in its place since.
func ownProgram() (string, error) { return "/proc/self/exe", nil }
