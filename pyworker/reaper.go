package pyworker

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lifelineFD is the descriptor on which the reaper is given its lifeline.
const lifelineFD = 3

// Lifeline is the lifeline of a program that was started as a reaper.
func Lifeline() *os.File { return os.NewFile(lifelineFD, "lifeline") }

// RunReaper is what the program does when it is started as a reaper (see StartReaper). It
// reads from the lifeline which process groups there are, a line each, and when the
// lifeline ends, because the program that holds its other side did, however it did, kills
// those that are left and removes the folder of the run.
//
// It returns when that is done. Nothing but a kill ends it before.
func RunReaper(lifeline io.Reader) error {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGTSTP, syscall.SIGUSR1, syscall.SIGUSR2)
	_ = HideMemory() // a reaper that can be read is better than none
	groups := map[int]bool{}
	folder := ""
	lines := bufio.NewReader(lifeline)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // a line without its end was not wholly written
			break
		}
		verb, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch verb {
		case "folder":
			folder = value
		case "add", "remove":
			if pgid, err := strconv.Atoi(value); err == nil && pgid > 1 {
				setMember(groups, pgid, verb == "add")
			}
		}
	}
	for pgid := range groups {
		_ = killGroup(pgid)
	}
	if folder == "" {
		return nil
	}
	waitForGroups(groups)
	if err := removeTree(folder); err != nil {
		return fmt.Errorf("remove the folder of the run: %w", err)
	}
	return nil
}

func setMember(groups map[int]bool, pgid int, member bool) {
	if !member {
		delete(groups, pgid)
		return
	}
	groups[pgid] = true
}

// waitForGroups waits until the killed are dead, so that they write no more into the
// folder that is removed: a second at most.
func waitForGroups(groups map[int]bool) {
	deadline := time.Now().Add(time.Second)
	for pgid := range groups {
		for groupAlive(pgid) && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// ReaperProgram is how this program starts itself as a reaper.
type ReaperProgram struct {
	Args   []string // behind the program's name; what it starts must call RunReaper
	Env    []string // the reaper's whole environment
	Folder string   // removed with the groups; "": none
}

// start starts a reaper in a session of its own: what a terminal or a shell sends to the
// program's group does not reach it, and it holds none of the program's descriptors.
func (p ReaperProgram) start() (*os.Process, *os.File, error) {
	path, err := ownProgram()
	if err != nil {
		return nil, nil, fmt.Errorf("find the program: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer func() { _ = null.Close() }()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make the lifeline: %w", err)
	}
	defer func() { _ = read.Close() }()
	process, err := os.StartProcess(path, append([]string{os.Args[0]}, p.Args...), &os.ProcAttr{
		Dir:   "/",
		Env:   append([]string{}, p.Env...),
		Files: []*os.File{null, null, null, read}, // lifelineFD
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		_ = write.Close()
		return nil, nil, fmt.Errorf("start the reaper: %w", err)
	}
	return process, write, nil
}
