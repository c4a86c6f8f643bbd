package pyworker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// loadError starts a pool that must end before a worker is ready.
func loadError(t *testing.T, cfg PoolConfig) *pipeline.Error {
	t.Helper()
	err := startPool(t, cfg).Ready(context.Background())
	var e *pipeline.Error
	if !errors.As(err, &e) {
		t.Fatalf("the pool: %v", err)
	}
	return e
}

func TestPoolEndsWhenTheClassCanNotBeUsed(t *testing.T) {
	t.Parallel()
	const (
		signature = "accepted are predict(self, instances, **kwargs) and predict(self, instances), also with keyword-only arguments"
		methods   = "a Predictor has from_path(cls, model_dir), a classmethod, and predict(self, instances, **kwargs)"
	)
	type want struct {
		phase              pipeline.Phase
		typ, message, hint string
	}
	for what, test := range map[string]struct {
		class string
		want  want
	}{
		"there is no such module": {"ecko.Predictor", want{"import", "ModuleNotFoundError", "No module named 'ecko' in the packages", "the packages hold: echo, "}},
		"the module is no package": {"echo.Predictor.Inner", want{"import", "AttributeError",
			"'Predictor' of module 'echo' has no class 'Inner'", "it has no class at all"}},
		"the module has no such class":        {"shapes.OutherName", want{"import", "AttributeError", "module 'shapes' has no class 'OutherName'", "it has: OtherName, "}},
		"the name has no module":              {"Predictor.", want{"import", "ValueError", "'Predictor.' names no module: model.prediction_class is module.Class", ""}},
		"an installed module is in the way":   {"string.Predictor", want{"import", "AttributeError", "module 'string' has no class 'Predictor'", "the module comes from "}},
		"the name is a module's":              {"os.path", want{"import", "TypeError", "os.path is a module, not a class", "model.prediction_class is module.Class; "}},
		"the module raises":                   {"import_raises", want{"import", "KeyError", "'missing'", ""}},
		"the module needs what is not there":  {"import_misses", want{"import", "ModuleNotFoundError", "No module named 'no_such_library'", "no_such_library is not installed in "}},
		"the module exits":                    {"import_exits", want{"import", "SystemExit", "4", ""}},
		"the module is not Python":            {"import_syntax", want{"import", "SyntaxError", "invalid syntax (import_syntax.py, line 3)", ""}},
		"there is no from_path":               {"shapes.NoFromPath", want{"load", "AttributeError", "shapes.NoFromPath has no from_path", methods}},
		"there is no predict":                 {"shapes.NoPredict", want{"load", "AttributeError", "shapes.NoPredict has no predict", "a Predictor has predict(self, instances, **kwargs)"}},
		"it is a function":                    {"shapes.function", want{"load", "AttributeError", "shapes.function has no from_path (it is function, not a class)", methods}},
		"it has the successor's interface":    {"shapes.Vertex", want{"load", "AttributeError", "shapes.Vertex has load and no from_path: Vertex AI's interface is not built yet", "give the class a from_path"}},
		"predict takes parameters":            {"shapes.Parameters", want{"load", "TypeError", "shapes.Parameters.predict takes (self, instances, parameters), not (self, instances)", signature}},
		"predict takes what comes":            {"shapes.Variadic", want{"load", "TypeError", "shapes.Variadic.predict takes (self), not (self, instances)", signature}},
		"predict is static":                   {"shapes.Static", want{"load", "TypeError", "shapes.Static.predict is a static method", signature}},
		"predict is decorated":                {"shapes.Decorated", want{"load", "TypeError", "shapes.Decorated.predict takes (), not (self, instances)", signature + "; a decorator hides them"}},
		"from_path is a plain method":         {"shapes.PlainFromPath", want{"load", "TypeError", "from_path() missing 1 required positional argument: 'model_dir'", ""}},
		"from_path raises":                    {"load_raises", want{"load", "KeyError", "0", ""}},
		"from_path misses a file":             {"load_missing_file", want{"load", "FileNotFoundError", "[Errno 2] No such file or directory: 'model/weights.bin'", ""}},
		"from_path returns None":              {"load_none", want{"load", "TypeError", "from_path returned None, not a Predictor", "is a return missing?"}},
		"a pickle was made by a script":       {"load_pickle", want{"load", "AttributeError", "Can't get attribute 'Scaler' on <module '__main__'", "Scaler was pickled from a script, so the pickle looks for it in __main__: import it from a module of the package (load_pickle has it)"}},
		"from_path exits":                     {"load_exits", want{"load", "Crash", "the worker ended while loading: exit status 5", "the Predictor's code"}},
		"from_path does not return":           {"load_hangs", want{"load", "Timeout", "the worker was not ready within 4s (workers.load_timeout)", "the traceback is where it was then"}},
		"errors.retry_on names no exception":  {"sleeps", want{"load", "ValueError", "errors.retry_on: 'Timeout' is no exception", "write it with its module"}},
		"errors.retry_on names no module":     {"echo", want{"load", "ModuleNotFoundError", "errors.retry_on: 'no_such_library.Timeout': no module 'no_such_library' in ", "python.requirements"}},
		"Python itself does not start":        {"killed", want{"load", "Crash", "the worker ended while loading: exit status 1", "python.env"}},
		"the module is deeper in the package": {"inner.Predictor", want{"import", "ModuleNotFoundError", "No module named 'inner' in the packages", "did you mean deep.inner.Predictor"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			cfg := poolConfig(t, test.class)
			cfg.Count = 2
			switch test.class {
			case "echo":
				cfg.RetryOn = []string{"no_such_library.Timeout"}
			case "sleeps":
				cfg.RetryOn = []string{"Timeout"}
			case "killed":
				cfg.Env = map[string]string{"PYTHONHASHSEED": "none"}
			case "load_hangs":
				cfg.LoadTimeout = 4 * time.Second // the interpreter's own start counts too
				cfg.Count = 1
			}
			e := loadError(t, cfg)
			if e.Remedy != pipeline.FixInput || e.Phase != test.want.phase || e.Type != test.want.typ {
				t.Errorf("error: %+v", e)
			}
			for _, pair := range [][2]string{{e.Message, test.want.message}, {e.Hint, test.want.hint}} {
				if !strings.Contains(pair[0], pair[1]) || pair[1] == "" && pair[0] != "" {
					t.Errorf("it says %q, not %q", pair[0], pair[1])
				}
			}
			if strings.Contains(e.Traceback, "worker.py") || strings.Contains(e.Message+e.Traceback, cfg.Dir) {
				t.Errorf("traceback:\n%s", e.Traceback)
			}
		})
	}
}

func TestPoolShowsWhatALoadingWorkerWrote(t *testing.T) {
	t.Parallel()
	if e := loadError(t, poolConfig(t, "load_exits")); e.Stderr != "giving up" {
		t.Errorf("error: %+v", e)
	}
	e := loadError(t, poolConfig(t, "import_raises"))
	want := "Traceback (most recent call last):\n" +
		"  File \"import_raises.py\", line 7, in <module>\n    table()\n" +
		"  File \"import_raises.py\", line 4, in table\n    return {}[\"missing\"]\n"
	var got []string // newer Pythons underline
	for line := range strings.Lines(e.Traceback) {
		if strings.Trim(line, " ~^\n") != "" {
			got = append(got, line)
		}
	}
	if diff := cmp.Diff(want+"KeyError: 'missing'\n", strings.Join(got, "")); diff != "" {
		t.Error(diff)
	}
}

func TestPoolAcceptsClassesOfOtherShapes(t *testing.T) {
	t.Parallel()
	for class, want := range map[string]string{"shapes.OtherName": `"x"`, "shapes.KeywordOnly": `1`, "shapes.Outer.Inner": `"x"`, "deep.inner.Predictor": `"deep"`} {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff([]string{want}, predict(t, startPool(t, poolConfig(t, class)), newTestCall(`"x"`))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPoolEndsWithoutAnInterpreter(t *testing.T) {
	t.Parallel()
	cfg := poolConfig(t, "echo")
	cfg.Interpreter = "/no/such/python"
	if e := loadError(t, cfg); e.Remedy != pipeline.FixConfig || e.Phase != pipeline.PhaseConfigure {
		t.Errorf("error: %+v", e)
	}
}

func TestAMachineThatIsFullIsWorthTryingAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		remedy pipeline.Remedy
	}{
		{fmt.Errorf("write worker's program: %w", syscall.ENOSPC), pipeline.TryAgain},
		{fmt.Errorf("start python3: %w", syscall.EAGAIN), pipeline.TryAgain},
		{fmt.Errorf("make FIFO: %w", syscall.EMFILE), pipeline.TryAgain},
		{fmt.Errorf("make folder of worker: %w", syscall.EACCES), pipeline.FixInput},
		{fmt.Errorf("start python3: %w", errNoInterpreter), pipeline.FixConfig},
	} {
		if f := startFailure(c.err); f.err.Remedy != c.remedy || f.err.Hint == "" && c.remedy != pipeline.FixInput {
			t.Errorf("%v: %+v", c.err, f.err)
		}
	}
}

func TestPoolGoesOnSmallerAndEndsWhenNoneIsLeft(t *testing.T) {
	t.Parallel()
	cfg := poolConfig(t, "load_fails_later")
	cfg.Count = 2
	// The first worker is there before the second one tries, as it would be after a long run.
	p, err := NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.everReady = true
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p.Start(ctx)
	eventually(t, 20*time.Second, "one slot is given up", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.live == 1 && p.err == nil
	})
	e := callError(t, p, newTestCall("1"))
	if e.Kind != pipeline.Crashed {
		t.Errorf("call error: %+v", e)
	}
	_, err = p.Predict(ctx, newTestCall("1"))
	var ended *pipeline.Error
	if !errors.As(err, &ended) || ended.Type != "FileExistsError" || ended.Remedy != pipeline.FixInput {
		t.Errorf("the pool's end: %v", err)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	if s := p.Stats(); s.Started != 7 || s.Died != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// heardLines collects what workers write.
type heardLines struct {
	mu    sync.Mutex
	lines []Line
}

func (h *heardLines) add(l Line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, l)
}

func TestPoolHandsOutWhatWorkersWrite(t *testing.T) {
	t.Parallel()
	heard := &heardLines{}
	cfg := poolConfig(t, "prints")
	cfg.Output = heard.add
	cfg.Logger = slog.New(slog.DiscardHandler)
	p := startPool(t, cfg)
	predict(t, p, newTestCall("1"))
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := []Line{
		{0, Stdout, `from Python \ud800`}, {0, Stdout, strings.Repeat("x", longestLine)}, {0, Stdout, "from C \uFFFD"},
		{0, Stdout, strings.Repeat("y", longestLine)},
	}
	var got []Line
	for _, l := range heard.lines {
		if l.Stream == Stdout {
			got = append(got, l)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
