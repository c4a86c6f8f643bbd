package pyworker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// tool is a program that is run to its end: the interpreter, pip, uv.
type tool struct {
	args []string
	dir  string
	env  []string // added to the program's own without PYTHON*
}

// timeoutError says that a tool was killed because it took too long.
type timeoutError struct {
	program string
	limit   time.Duration
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("%s took longer than %s", e.program, e.limit)
}

// runTool runs a tool in a process group of its own, which is killed when the tool has
// ended, ctx ends or the limit is over, and returns the end of what it wrote to standard output and error.
func runTool(ctx context.Context, limit time.Duration, t tool) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &timeoutError{t.args[0], limit})
	defer cancel()
	output := &tailBuffer{}
	cmd := exec.CommandContext(ctx, t.args[0], t.args[1:]...)
	cmd.Dir = t.dir
	cmd.Env = append(withoutPython(os.Environ()), t.env...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = time.Second // for grandchildren that left the group and hold the pipe
	err := cmd.Run()
	if cmd.Process != nil {
		_ = killGroup(cmd.Process.Pid) // what it has left behind
	}
	if ctx.Err() != nil {
		return output.String(), context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrWaitDelay) { // it ended well, and left a process behind
		err = nil
	}
	return output.String(), err
}

// withoutPython leaves out the variables that change how Python runs.
func withoutPython(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return strings.HasPrefix(v, "PYTHON") })
}

// tailSize is how much of a tool's output is kept.
const tailSize = 64 << 10

// tailBuffer keeps the end of what is written to it.
type tailBuffer struct{ kept []byte }

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[max(0, len(p)-tailSize):]...)
	if len(b.kept) > 2*tailSize {
		b.kept = append(b.kept[:0], b.kept[len(b.kept)-tailSize:]...)
	}
	return len(p), nil
}

func (b *tailBuffer) String() string {
	return strings.ToValidUTF8(string(b.kept[max(0, len(b.kept)-tailSize):]), "\uFFFD")
}

// lastLines returns the last n lines of a text that are not blank.
func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "" })
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
