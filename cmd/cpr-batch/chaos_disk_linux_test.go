package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fault is a way in which the disk fails a program that has sealed something.
type fault struct {
	// begin makes the disk fail, and returns what mends it.
	begin func(t *testing.T, p *started) (mend func() error)
	words string // what the program says of it
}

// sealing is a stage with one large split, of which several seals are made.
func sealing(ctx context.Context, t *testing.T) (*stage, chaosOutput) {
	t.Helper()
	s := newStage(t, stage{job: chaosJob("in/", "out/", "none", "64MiB"), pace: 400 * time.Microsecond})
	makeInput(t, []chaosFile{{name: "one.jsonl.gz", instances: 8000, pack: gzipped}}, putBelow(t, filepath.Join(s.dir, "in")))
	return s, s.undisturbed(ctx, t)
}

// sealed waits until a program has sealed so many pieces.
func (p *started) sealed(t *testing.T, count int) {
	t.Helper()
	if !p.until(func() bool {
		found, err := filepath.Glob(filepath.Join(p.stage.dir, "out", "_cpr-batch", "segments", "*", "*.json"))
		return err == nil && len(found) >= count
	}) {
		p.wait(t)
		t.FailNow()
	}
}

// TestChaosOfTheDisk: the disk fails in the middle of a split. The program says so and ends
// with status 1, nothing is torn, and when the fault is over the run goes on behind what
// was sealed.
func TestChaosOfTheDisk(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{
		"there is hardly room any more":  {begin: fullDisk, words: "file too large"},
		"folders may not be written":     {begin: readOnly, words: "permission denied"},
		"a folder is not there any more": {begin: noFolder, words: "has to be a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			s, calm := sealing(ctx, t)
			p := s.startBound(ctx, t)
			p.sealed(t, 3)
			mend := f.begin(t, p)
			p.wait(t, 1)
			s.wantClear(t, p, f.words)
			if err := mend(); err != nil {
				t.Fatal(err)
			}
			s.wantCarriedOn(ctx, t, calm, 4*chaosBatch*(2*chaosWorkers+2)+4000)
		})
	}
}

// TestChaosOfATooSmallDisk: each piece of a part finds room, but the part does not. With
// room, only what was not sealed is predicted again.
func TestChaosOfATooSmallDisk(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, calm := sealing(ctx, t)
	s.stood = append(s.stood, standingOf(t, s.output))
	command := `ulimit -f 400; exec cpr-batch run --config "$WORK/job.yaml" --progress none` // of 512 bytes, or 1,024
	p := s.launch(ctx, t, []string{"sh", "-c", command}, (*exec.Cmd).Start)
	p.wait(t, 1)
	s.wantClear(t, p, "predictions-00000-of-00001.*file too large")
	if got := standingOf(t, s.output).sealed["00000-of-00001"]; got < 4000 {
		t.Errorf("%d instances are sealed, of 8000", got)
	}
	s.wantCarriedOn(ctx, t, calm, 4000)
}

// wantClear demands that a program has said what is wrong, and that nothing torn is left.
func (s *stage) wantClear(t *testing.T, p *started, words string) {
	t.Helper()
	said := p.words(t)
	if !regexp.MustCompile(words).MatchString(said) || !strings.Contains(said, "what to do") {
		t.Errorf("want %q, with what to do:\n%s", words, said)
	}
	wantOnlyCommitted(t, s.output)
}

// wantCarriedOn runs the job to its end, and demands that what was sealed is not predicted
// again, and of the rest at most so many.
func (s *stage) wantCarriedOn(ctx context.Context, t *testing.T, calm chaosOutput, again int) {
	t.Helper()
	s.start(ctx, t).wait(t, 0)
	wantFinished(t, s.output)
	wantResults(t, s.output, results(t, calm))
	all := calls(t, s.dir)
	wantNothingTwice(t, all, seats(t, calm), s.stood)
	lost := doubled(all, len(s.stood))[0]
	t.Logf("sealed before: %v; %d predictions made again", s.stood[len(s.stood)-1].sealed, lost)
	if lost > again {
		t.Errorf("%d predictions were made again, which are more than %d", lost, again)
	}
}

// startBound starts the program so that permissions bind it, also when root runs the tests:
// without root's right to overlook them.
func (s *stage) startBound(ctx context.Context, t *testing.T) *started {
	t.Helper()
	s.stood = append(s.stood, standingOf(t, s.output))
	args := []string{"cpr-batch", "run", "--config", filepath.Join(s.dir, "job.yaml"), "--progress", "none"}
	return s.launch(ctx, t, args, func(cmd *exec.Cmd) error {
		err := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			for _, right := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER} {
				_ = unix.Prctl(unix.PR_CAPBSET_DROP, right, 0, 0, 0) // who may not do that has no such right
			}
			err <- cmd.Start()
		}()
		return <-err
	})
}

// fullDisk lets no file grow over what a record and the program's own words take. The
// limit is that program's: there is nothing to mend.
func fullDisk(t *testing.T, p *started) func() error {
	t.Helper()
	if err := unix.Prlimit(p.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: unix.RLIM_INFINITY}, nil); err != nil {
		t.Fatal(err)
	}
	return func() error { return nil }
}

// readOnly takes the right to write in all folders of the output.
func readOnly(t *testing.T, p *started) func() error {
	t.Helper()
	chmod := func(mode os.FileMode) error {
		return filepath.WalkDir(filepath.Join(p.stage.dir, "out"), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			return os.Chmod(path, mode)
		})
	}
	if err := chmod(0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chmod(0o755) })
	return func() error { return chmod(0o755) }
}

// noFolder puts a file in the place of the segments' folder.
func noFolder(t *testing.T, p *started) func() error {
	t.Helper()
	home := filepath.Join(p.stage.dir, "out", "_cpr-batch")
	folder, away := filepath.Join(home, "segments"), filepath.Join(p.stage.dir, "away")
	if err := os.Rename(folder, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	return func() error {
		if err := os.Remove(folder); err != nil {
			return err
		}
		return os.Rename(away, folder)
	}
}
