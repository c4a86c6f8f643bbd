package pyworker

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// program is what the interpreter runs.
//
//go:embed worker.py
var program []byte

// outputGrace is how long a dead worker's output is still read: a grandchild may hold the
// pipe open, or write without end.
const outputGrace = 250 * time.Millisecond

// errNoInterpreter says that there is nothing to start, now or later.
var errNoInterpreter = errors.New("not an interpreter that can be started")

// process is one worker process, the leader of a process group, with the two FIFOs in a
// folder of its own through which it is spoken to.
type process struct {
	dir      string
	number   int
	cmd      *exec.Cmd
	requests *os.File // the program's side of both; the FIFOs are held open for reading
	answers  *os.File // and writing, so that what is in them outlives the other side's descriptors
	output   *output
	groups   Groups

	mu     sync.Mutex
	reaped bool

	// exited is closed when the process has ended, its group was killed, and all it had
	// written to its streams is in output. exit is valid from then on.
	exited chan struct{}
	exit   exit
}

// exit is how a process ended.
type exit struct {
	how    string // exit status 7, signal 11 (SIGSEGV)
	signal syscall.Signal
	memory int64 // its largest resident size in bytes
}

// startProcess starts worker number. The process runs none of the user's code before it
// is sent a hello.
func startProcess(cfg *PoolConfig, number int) (_ *process, err error) {
	dir, err := os.MkdirTemp(cfg.Dir, "worker-")
	if err != nil {
		return nil, fmt.Errorf("make folder of worker: %w", err)
	}
	p := &process{dir: resolved(dir), number: number, output: &output{}, groups: cfg.Groups, exited: make(chan struct{})}
	defer func() {
		if err != nil {
			p.release()
		}
	}()
	script := filepath.Join(p.dir, "worker.py")
	if err := os.WriteFile(script, program, 0o600); err != nil {
		return nil, fmt.Errorf("write worker's program: %w", err)
	}
	if p.requests, err = makeFIFO(filepath.Join(p.dir, "requests")); err != nil {
		return nil, err
	}
	if p.answers, err = makeFIFO(filepath.Join(p.dir, "answers")); err != nil {
		return nil, err
	}
	// The interpreter's own start counts towards the limit of loading.
	p.cmd = exec.Command(cfg.Interpreter, script, strconv.FormatFloat(float64(time.Now().UnixMicro())/1e6, 'f', 6, 64))
	p.cmd.Env = workerEnv(cfg, number)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	streams, err := p.start()
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: %w", errNoInterpreter, err)
		}
		return nil, fmt.Errorf("start %s: %w", cfg.Interpreter, err)
	}
	if p.groups != nil {
		p.groups.Add(p.cmd.Process.Pid)
	}
	go p.wait(streams, cfg.Output)
	return p, nil
}

// start starts the process with standard input empty and its streams on pipes, whose read
// ends it returns.
func (p *process) start() (map[Stream]*os.File, error) {
	streams := map[Stream]*os.File{}
	closeAll := func() {
		for _, r := range streams {
			_ = r.Close()
		}
	}
	for stream, to := range map[Stream]*io.Writer{Stdout: &p.cmd.Stdout, Stderr: &p.cmd.Stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll()
			return nil, err
		}
		defer func() { _ = w.Close() }()
		streams[stream], *to = r, w
	}
	if err := p.cmd.Start(); err != nil {
		closeAll()
		return nil, err
	}
	return streams, nil
}

// wait reads the streams until the process has ended and is buried. The process's exit is
// the truth: the streams may stay open in a grandchild.
func (p *process) wait(streams map[Stream]*os.File, sink func(Line)) {
	var reading sync.WaitGroup
	for stream, r := range streams {
		reading.Go(func() { p.output.capture(r, p.number, stream, sink) })
	}
	waitForExit(p.cmd.Process.Pid)
	p.mu.Lock()
	pgid := p.cmd.Process.Pid
	_ = killGroup(pgid) // while the leader is not reaped its number is nobody else's
	_ = p.cmd.Wait()    // how it ended is in ProcessState
	_ = killGroup(pgid) // what waitForExit could not wait for
	p.reaped = true
	p.mu.Unlock()
	if p.groups != nil {
		p.groups.Remove(pgid)
	}
	for _, r := range streams {
		_ = r.SetReadDeadline(time.Now().Add(outputGrace))
	}
	reading.Wait()
	for _, r := range streams {
		_ = r.Close()
	}
	p.exit = exitOf(p.cmd.ProcessState)
	close(p.exited)
}

// kill kills the process and its whole group.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = killGroup(p.cmd.Process.Pid)
	}
}

// hangUp gives the process the end of input: a worker ends as a program does, when it has
// answered what it has.
func (p *process) hangUp() { _ = p.requests.Close() }

// release gives up what the process held of this program, after exited or when it was
// never started.
func (p *process) release() {
	for _, f := range []*os.File{p.requests, p.answers} {
		if f != nil {
			_ = f.Close()
		}
	}
	_ = removeTree(p.dir)
}

func exitOf(s *os.ProcessState) exit {
	status, ok := s.Sys().(syscall.WaitStatus)
	if !ok {
		return exit{how: s.String()}
	}
	e := exit{how: "exit status " + strconv.Itoa(status.ExitStatus())}
	if status.Signaled() {
		e.signal = status.Signal()
		e.how = fmt.Sprintf("signal %d (%s)", e.signal, unix.SignalName(e.signal))
	}
	if usage, ok := s.SysUsage().(*syscall.Rusage); ok {
		e.memory = maxRSS(usage)
	}
	return e
}

// workerEnv is the caller's environment without PYTHON*, with what the job adds (a
// PYTHONPATH there counts) and the worker's number.
func workerEnv(cfg *PoolConfig, number int) []string {
	env := withoutPython(cfg.Environ)
	for name, value := range cfg.Env {
		env = append(env, name+"="+value)
	}
	return append(env, "CPR_BATCH_WORKER="+strconv.Itoa(number))
}

// makeFIFO makes a FIFO and opens both its sides, so that opening never waits and that it
// has no end of file before hangUp.
func makeFIFO(name string) (*os.File, error) {
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		return nil, fmt.Errorf("make FIFO %s: %w", name, err)
	}
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open FIFO: %w", err)
	}
	widen(f)
	return f, nil
}

// drain reads what a FIFO holds without waiting for more, and returns how much that was.
func drain(f *os.File) uint64 {
	b := make([]byte, 64<<10)
	for total := uint64(0); ; {
		n, err := readNow(f, b)
		if n <= 0 || err != nil {
			return total
		}
		total += uint64(n)
	}
}

// readNow reads from a FIFO without waiting; when it is empty that is an error.
func readNow(f *os.File, b []byte) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	n := 0
	if err := raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), b)
		return true
	}); err != nil {
		return 0, err
	}
	return n, err
}

// answerReader reads the answers of a process. After its end it reads what is in the FIFO
// still and then says io.EOF.
type answerReader struct {
	process  *process
	draining bool
}

func (r *answerReader) Read(b []byte) (int, error) {
	if !r.draining {
		n, err := r.process.answers.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		r.draining = true
		if err := r.process.answers.SetReadDeadline(time.Time{}); err != nil {
			return 0, err
		}
	}
	n, err := readNow(r.process.answers, b)
	if n <= 0 || err != nil {
		return 0, io.EOF // nobody is left who could write more
	}
	return n, nil
}
