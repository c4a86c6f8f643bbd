package pyworker

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// wheel writes a wheel with one module and one script, as an index would serve it.
func wheel(t *testing.T, folder, name, version, module string) {
	t.Helper()
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	info := name + "-" + version + ".dist-info/"
	for file, text := range map[string]string{
		name + ".py":              module,
		info + "METADATA":         "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n",
		info + "WHEEL":            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		info + "entry_points.txt": "[console_scripts]\n" + name + "-says = " + name + ":main\n",
		info + "RECORD":           "",
	} {
		entry, err := w.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+"-"+version+"-py3-none-any.whl"), packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// journal is where environments log to in tests.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(words string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), words)
}

func environments(t *testing.T, uv string) (Environments, *journal) {
	t.Helper()
	j := &journal{}
	return Environments{Dir: filepath.Join(t.TempDir(), "envs"), UV: uv, Log: slog.New(slog.NewTextHandler(j, nil))}, j
}

// fakeUV is a program that behaves as uv does where it comes to folders and exit
// statuses, and then runs more. It counts its installations in a file beside it.
func fakeUV(t *testing.T, more string) string {
	t.Helper()
	dir := t.TempDir()
	return writeScript(t, dir, "uv", `if [ "$1" = venv ]; then
  for target; do :; done
  mkdir -p "$target/bin" && ln -s "`+mustFind(t).Path+`" "$target/bin/python"
  exit
fi
echo x >> `+dir+`/installed
`+more)
}

func installed(t *testing.T, uv string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(uv), "installed"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(text), "x")
}

func TestEnvironmentIsMadeAndUsedAgain(t *testing.T) {
	t.Parallel()
	tools := map[string]string{"by venv and pip": ""}
	if uv, err := exec.LookPath("uv"); err == nil {
		tools["by uv"] = uv
	} else {
		t.Log("uv is not on PATH: only venv and pip are tried")
	}
	for name, uv := range tools {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			wheel(t, dir, "tiny", "1.0", "def main(): print('tiny says hello')")
			if err := os.WriteFile(filepath.Join(dir, "requirements.txt"), []byte("--no-index\n--find-links .\ntiny==1.0  # the only one\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s, j := environments(t, uv)
			cfg := PythonConfig{Requirements: Requirements{File: "requirements.txt"}}
			for range 2 {
				env, err := s.Open(t.Context(), cfg, dir, mustFind(t))
				if err != nil {
					t.Fatal(err)
				}
				for _, args := range [][]string{{env.Interpreter.Path, "-c", "import tiny; tiny.main()"}, {filepath.Join(filepath.Dir(env.Interpreter.Path), "tiny-says")}} {
					output, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
					if err != nil || string(output) != "tiny says hello\n" {
						t.Errorf("%q: %v: %s", args, err, output)
					}
				}
				if err := env.Close(); err != nil {
					t.Error(err)
				}
			}
			if made := j.count("making the Python environment"); made != 1 {
				t.Errorf("made %d times", made)
			}
			kept, err := s.List(t.Context())
			if err != nil || len(kept) != 1 || !kept[0].Whole || kept[0].Size == 0 || time.Since(kept[0].LastUsed) > time.Minute {
				t.Fatalf("kept %+v, %v", kept, err)
			}
			if diff := cmp.Diff([]string{"--no-index", "--find-links .", "tiny==1.0"}, kept[0].Requirements); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequirementsThatCanNotBeInstalled(t *testing.T) {
	t.Parallel()
	s, _ := environments(t, "")
	cfg := PythonConfig{Requirements: Requirements{Lines: []string{"--no-index", "no-such-package==1"}}}
	_, err := s.Open(t.Context(), cfg, t.TempDir(), mustFind(t))
	wantError(t, err, pipeline.FixInput, "python.requirements", "pip could not make the environment", "No matching distribution found for no-such-package==1")
	if kept, err := s.List(t.Context()); err != nil || len(kept) != 1 || kept[0].Whole {
		t.Errorf("kept %+v, %v", kept, err)
	}
}

func TestNoRequirementsNeedNoEnvironment(t *testing.T) {
	t.Parallel()
	base := Interpreter{Path: "/python"}
	env, err := Environments{Dir: "/dev/null/x"}.Open(t.Context(), PythonConfig{}, "/", base)
	if err != nil || env.Interpreter != base {
		t.Errorf("%+v, %v", env, err)
	}
	if err := env.Close(); err != nil {
		t.Error(err)
	}
}

func TestEnvironmentsThatCanNotBeMade(t *testing.T) {
	t.Parallel()
	lines := PythonConfig{Requirements: Requirements{Lines: []string{"tiny"}}}
	for name, c := range map[string]struct {
		uv     string // what the fake one does
		cfg    PythonConfig
		base   string // script of the interpreter, for venv
		remedy pipeline.Remedy
		want   []string
	}{
		"the requirements are at fault":      {uv: "echo 'no solution found' >&2; exit 1", cfg: lines, remedy: pipeline.FixInput, want: []string{"uv could not make", "no solution found", "exit status 1"}},
		"the network is at fault":            {uv: "echo 'error: error sending request for url' >&2; exit 2", cfg: lines, remedy: pipeline.TryAgain, want: []string{"sending request", "UV_DEFAULT_INDEX"}},
		"the disk is full":                   {uv: "echo 'No space left on device (os error 28)'; exit 2", cfg: lines, remedy: pipeline.TryAgain, want: []string{"env prune"}},
		"a file is missing":                  {cfg: PythonConfig{Requirements: Requirements{File: "r.txt"}}, remedy: pipeline.FixInput, want: []string{`read "r.txt"`, "relative to its folder"}},
		"an included file is missing":        {cfg: PythonConfig{Requirements: Requirements{Lines: []string{"-r more.txt"}}}, remedy: pipeline.FixInput, want: []string{"read an included file", "more.txt"}},
		"the interpreter has no module venv": {base: "exit 1", cfg: lines, remedy: pipeline.FixConfig, want: []string{"no module venv", "python3-venv"}},
		"venv fails":                         {base: `[ "$2" = -c ] && exit 0; echo 'no ensurepip'; exit 3`, cfg: lines, remedy: pipeline.FixInput, want: []string{"pip could not make", "no ensurepip", "exit status 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, uv := mustFind(t), ""
			if c.base != "" {
				base.Path = writeScript(t, t.TempDir(), "python", c.base)
			} else {
				uv = fakeUV(t, c.uv)
			}
			s, _ := environments(t, uv)
			_, err := s.Open(t.Context(), c.cfg, t.TempDir(), base)
			wantError(t, err, c.remedy, c.want...)
		})
	}
}

func TestCacheFolderThatCanNotBeWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := Environments{Dir: filepath.Join(file, "envs"), Log: slog.New(slog.DiscardHandler)}
	_, err := s.Open(t.Context(), PythonConfig{Requirements: Requirements{Lines: []string{"x"}}}, t.TempDir(), Interpreter{})
	wantError(t, err, pipeline.FixConfig, "make the folder for the environment", "XDG_CACHE_HOME")
}

func TestTwoRunsMakeAnEnvironmentOnce(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "gate")
	uv := fakeUV(t, "while [ ! -e "+gate+" ]; do sleep 0.02; done")
	s, j := environments(t, uv)
	cfg, dir, base := PythonConfig{Requirements: Requirements{Lines: []string{"tiny"}}}, t.TempDir(), mustFind(t)
	var runs sync.WaitGroup
	for range 3 {
		runs.Go(func() {
			env, err := s.Open(t.Context(), cfg, dir, base)
			if err != nil {
				t.Error(err)
				return
			}
			if err := env.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, 10*time.Second, "two runs say that they wait", func() bool { return j.count("waiting for it") >= 2 })
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	runs.Wait()
	if n := installed(t, uv); n != 1 {
		t.Errorf("installed %d times", n)
	}
}

func TestHalfMadeEnvironmentIsNotUsed(t *testing.T) {
	t.Parallel()
	uv := fakeUV(t, "")
	s, _ := environments(t, uv)
	cfg, dir, base := PythonConfig{Requirements: Requirements{Lines: []string{"tiny"}}}, t.TempDir(), mustFind(t)
	open := func() string {
		env, err := s.Open(t.Context(), cfg, dir, base)
		if err != nil {
			t.Fatal(err)
		}
		if err := env.Close(); err != nil {
			t.Fatal(err)
		}
		return filepath.Dir(filepath.Dir(filepath.Dir(env.Interpreter.Path)))
	}
	folder := open()
	for name, spoil := range map[string]func() error{
		"killed before it was whole": func() error { return os.Remove(filepath.Join(folder, recordName)) },
		"a record that is cut off":   func() error { return os.Truncate(filepath.Join(folder, recordName), 5) },
		"its interpreter is gone": func() error {
			found, err := filepath.Glob(filepath.Join(folder, "python-*", "bin", "python"))
			if err != nil || len(found) != 1 {
				t.Fatal(found, err)
			}
			return errors.Join(os.Remove(found[0]), os.Symlink("/nowhere/python", found[0]))
		},
	} {
		before := installed(t, uv)
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		open()
		if n := installed(t, uv); n != before+1 {
			t.Errorf("%s: it was not made again", name)
		}
		if left, err := filepath.Glob(filepath.Join(folder, "python-*")); err != nil || len(left) != 1 {
			t.Errorf("%s: left %q, %v", name, left, err)
		}
	}
}

func TestStoppedMakingLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	uv := fakeUV(t, "echo $$ > "+dir+"/pid.new; mv "+dir+"/pid.new "+dir+"/pid; sleep 600 & sleep 600")
	s, _ := environments(t, uv)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("stopped")
	done := make(chan error)
	go func() {
		_, err := s.Open(ctx, PythonConfig{Requirements: Requirements{Lines: []string{"tiny"}}}, dir, mustFind(t))
		done <- err
	}()
	eventually(t, 20*time.Second, "uv installs", func() bool { return exists(filepath.Join(dir, "pid")) })
	cancel(cause)
	if err := <-done; !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second, "its group is gone", func() bool { return !groupAlive(atoi(t, string(text))) })
	if left, err := filepath.Glob(filepath.Join(s.Dir, "*", "python-*")); err != nil || len(left) != 0 {
		t.Errorf("left %q, %v", left, err)
	}
}

func TestPruneRemovesWhatIsNotUsed(t *testing.T) {
	t.Parallel()
	s, _ := environments(t, fakeUV(t, ""))
	dir, base := t.TempDir(), mustFind(t)
	open := func(line string) *Environment {
		env, err := s.Open(t.Context(), PythonConfig{Requirements: Requirements{Lines: []string{line}}}, dir, base)
		if err != nil {
			t.Fatal(err)
		}
		return env
	}
	used, unused := open("used"), open("unused")
	if err := unused.Close(); err != nil {
		t.Fatal(err)
	}
	if removed, err := s.Prune(t.Context(), time.Now().Add(-time.Hour)); err != nil || len(removed) != 0 {
		t.Errorf("removed %v, %v, though both were used a moment ago", removed, err)
	}
	removed, err := s.Prune(t.Context(), time.Now().Add(time.Hour))
	if err != nil || len(removed) != 1 || !cmp.Equal(removed[0].Requirements, []string{"unused"}) || exists(removed[0].Path) {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if _, err := os.Stat(used.Interpreter.Path); err != nil {
		t.Errorf("an environment in use was removed: %v", err)
	}
	if err := used.Close(); err != nil {
		t.Fatal(err)
	}
	if removed, err := s.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil || len(removed) != 1 {
		t.Errorf("removed %v, %v", removed, err)
	}
	if err := open("unused").Close(); err != nil {
		t.Error(err)
	}
}

func TestRequirementsNameTheirEnvironment(t *testing.T) {
	t.Parallel()
	base := Interpreter{Path: "/usr/bin/python3", Version: [3]int{3, 11, 7}, Implementation: "cpython"}
	files := map[string]string{
		"r.txt": "-r more/b.txt\n./lib\nnumpy==1.0 \\\n  --hash=sha256:aa\n", "more/b.txt": "-c c.txt\nscipy", "more/c.txt": "six<2", "lib/setup.py": "1",
	}
	hash := func(t *testing.T, change map[string]string, base Interpreter) string {
		t.Helper()
		dir := t.TempDir()
		for _, set := range []map[string]string{files, change} {
			for name, text := range set {
				if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
		}
		needs, err := readRequirements(t.Context(), objects.NewLocal(), Requirements{File: "r.txt"}, dir)
		if err != nil {
			t.Fatal(err)
		}
		return needs.hash(base)
	}
	first := hash(t, nil, base)
	newer := base
	newer.Version[2]++
	for name, c := range map[string]struct {
		change map[string]string
		base   Interpreter
		same   bool
	}{
		"a copy":                   {nil, base, true},
		"a comment and blanks":     {map[string]string{"more/b.txt": "# scipy\n\n -c c.txt\r\nscipy # it\n"}, base, true},
		"compiled files":           {map[string]string{"lib/__pycache__/x": "1"}, base, true},
		"an included file":         {map[string]string{"more/b.txt": "-c c.txt\nscipy==1"}, base, false},
		"a constraint":             {map[string]string{"more/c.txt": "six<3"}, base, false},
		"the code of a local one":  {map[string]string{"lib/setup.py": "2"}, base, false},
		"another Python":           {nil, newer, false},
		"a file that names itself": {map[string]string{"more/c.txt": "-r ../r.txt"}, base, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if same := hash(t, c.change, c.base) == first; same != c.same {
				t.Errorf("the same environment: %v", same)
			}
		})
	}
}
