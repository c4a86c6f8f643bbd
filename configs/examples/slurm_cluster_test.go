//go:build slurm && linux

package examples_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cluster is a Slurm of one node, on free ports of loopback, in a folder of its own.
type cluster struct {
	dir string
	env []string // of all commands and jobs
}

// startCluster starts a controller and a node, and waits until the node takes jobs. All of it
// ends with the test.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	for _, name := range []string{"slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v: Slurm is missing. As root, make test-slurm installs it; else: apt-get install slurm-wlm", err)
		}
	}
	c := &cluster{dir: t.TempDir()}
	conf := filepath.Join(c.dir, "slurm.conf")
	c.env = append(os.Environ(), "SLURM_CONF="+conf)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ = strings.Cut(host, ".")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 2)
	text := fmt.Sprintf(readText(t, "testdata/cluster/slurm.conf"), host, ports[0], ports[1], me.Username, c.dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"state", "spool"} {
		if err := os.Mkdir(filepath.Join(c.dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.showLogs(t)
		}
	})
	c.start(t)
	until(t, "the node is idle", time.Minute, func() bool {
		out, err := c.try("sinfo", "-h", "-o", "%T")
		return err == nil && out == "idle"
	})
	return c
}

// start starts the daemons, and ends them and all jobs with the test.
func (c *cluster) start(t *testing.T) {
	t.Helper()
	script, err := filepath.Abs("testdata/cluster/cluster.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", script)
	cmd.Env = c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C ends the test, and the test ends them
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = lifeline.Close()
		_ = cmd.Wait()
	})
}

func (c *cluster) showLogs(t *testing.T) {
	for _, name := range []string{"slurmctld.log", "slurmd.log"} {
		if text, err := os.ReadFile(filepath.Join(c.dir, name)); err == nil {
			t.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
		}
	}
}

// try runs one of Slurm's commands and returns what it prints.
func (c *cluster) try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = c.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out)), err
}

func (c *cluster) command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := c.try(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// program is the process of a task, which job.sh has become.
func (c *cluster) program(t *testing.T, array string, task int) int {
	t.Helper()
	id := c.command(t, "squeue", "-h", "-r", "-j", fmt.Sprintf("%s_%d", array, task), "-o", "%A")
	for line := range strings.Lines(c.command(t, "scontrol", "listpids", id)) {
		// PID JOBID STEPID LOCALID GLOBALID; of its children the last two are "-".
		fields := strings.Fields(line)
		if len(fields) != 5 || fields[2] != "batch" || fields[3] != "0" {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		if name := strings.TrimSpace(readText(t, fmt.Sprintf("/proc/%d/comm", pid))); name != "cpr-batch" {
			t.Fatalf("the process of task %d is %s, not cpr-batch: SIGTERM would not reach the program alone", task, name)
		}
		return pid
	}
	t.Fatalf("task %d has no process", task)
	return 0
}

// jobState is what Slurm tells of a task.
type jobState struct {
	State, Exit, Restarts string
}

// states tells of the tasks of an array.
func (c *cluster) states(t *testing.T, array string) map[int]jobState {
	t.Helper()
	states := make(map[int]jobState)
	for line := range strings.Lines(c.command(t, "scontrol", "-o", "show", "job", array)) {
		values := make(map[string]string)
		for field := range strings.FieldsSeq(line) {
			name, value, _ := strings.Cut(field, "=")
			values[name] = value
		}
		if task, err := strconv.Atoi(values["ArrayTaskId"]); err == nil {
			states[task] = jobState{State: values["JobState"], Exit: values["ExitCode"], Restarts: values["Restarts"]}
		}
	}
	return states
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// until waits until done says so.
func until(t *testing.T, what string, limit time.Duration, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(limit); !done(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not so after %s", what, limit)
		}
	}
}
