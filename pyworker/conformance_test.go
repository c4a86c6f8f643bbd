package pyworker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker/pythontest"
	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

// TestConformance holds the worker to its contract on every CPython that is here.
func TestConformance(t *testing.T) {
	t.Parallel()
	found, err := pythontest.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("pythons found: %s", pythontest.Versions(found))
	for _, python := range found {
		t.Run(python.Version(), func(t *testing.T) {
			t.Parallel()
			t.Run("values and exceptions are what this Python makes of them", func(t *testing.T) { t.Parallel(); conformValues(t, python) })
			t.Run("no behaviour changes an answer", func(t *testing.T) { t.Parallel(); conformBehaviour(t, python) })
			t.Run("a death costs its call", func(t *testing.T) { t.Parallel(); conformDeaths(t, python) })
			t.Run("numbers that are not finite", func(t *testing.T) { t.Parallel(); conformNonFinite(t, python) })
			t.Run("loading", func(t *testing.T) { t.Parallel(); conformLoading(t, python) })
			t.Run("what can not be loaded", func(t *testing.T) { t.Parallel(); conformLoadFailures(t, python) })
			t.Run("calls that fail as a whole", func(t *testing.T) { t.Parallel(); conformCallFailures(t, python) })
			t.Run("base64", func(t *testing.T) { t.Parallel(); conformBase64(t, python) })
		})
	}
}

// conformConfig is a pool of one worker of a Python with a class of testdata/predictors.
func conformConfig(t *testing.T, python pythontest.Python, class string) PoolConfig {
	t.Helper()
	cfg := poolConfig(t, class)
	cfg.Interpreter = python.Path
	cfg.LoadTimeout = time.Minute
	return cfg
}

// instance is the text of an instance for the Predictor behaves.
func instance(what, argument string) string {
	text, err := json.Marshal([]string{what, argument})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// conformValues compares calls of the pool with what the same Python says in a script.
func conformValues(t *testing.T, python pythontest.Python) {
	cfg := conformConfig(t, python, "behaves")
	texts := oracleTexts(t)
	want := askOracle(t, python, cfg.Paths[0], texts)
	p := startPool(t, cfg)
	for i, text := range texts {
		got := conformOutcome(t, p, text)
		if got != want[i] {
			t.Errorf("%.200s: %s", text, cmp.Diff(want[i], got))
		}
	}
	if s := p.Stats(); s.Started != 1 || s.Died != 0 || s.Python != python.Version() {
		t.Errorf("stats: %+v", s)
	}
}

// oracleTexts are instances whose outcomes differ by Python's version, or might.
func oracleTexts(t *testing.T) []string {
	t.Helper()
	var texts []string
	for _, value := range []string{
		`[1, 2.50, "é\ud800", 1.0E+2, -0, -0.0, 1e-400]`, `{"a": 1, "a": 2, "\u0061": 3}`, `"\ud83d\ude00 \udfff\ud800"`, `"\u2028\u007f\/"`,
		strings.Repeat("9", 300), strings.Repeat("9", 4300), strings.Repeat("9", 4301), "-" + strings.Repeat("9", 5000), "0." + strings.Repeat("1", 5000),
		strings.Repeat("[", 900) + strings.Repeat("]", 900), strings.Repeat("[", 3000) + strings.Repeat("]", 3000),
		strings.Repeat(`{"a":`, 3000) + "1" + strings.Repeat("}", 3000), strings.Repeat("[", 100000) + strings.Repeat("]", 100000),
		`nul`, `[1,]`, `{"a":1,}`, `{"a" 1}`, `"a`, "\"\t\"", `"\q"`, `"\u12g4"`, `01`, `1.`, `'a'`, "\ufeff1", `tru`, "1]", "1}", "NaNN", "",
	} {
		texts = append(texts, `["echo",`+value+`]`)
	}
	for _, expression := range []string{
		"10**4299", "10**4300", "10**5000", "-10**5000", "deep(900)", "deep(3000)", "deep(100000)", "circle()", "Colour.RED", "{Colour.RED: 1}",
		"{1, 2}", "b'x'", "1j", "object", "datetime.date(2026, 1, 1)", "{(1, 2): 3}", "{1: 2, None: 3, True: 4, 1.5: 5}", "'\\ud800\\udc00'",
		"1e22, 0.1, -0.0, 5e-324, 1.7976931348623157e308", "range(3)", "(x for x in [1])", "later(1)", "asyncio.run(later(7))",
		"fail(ValueError('no ☃ \\ud800'))", "fail(KeyError(0))", "fail(SystemExit('enough'))", "fail(KeyboardInterrupt())", "fail(Odd.Inner())",
		"fail(OSError(2, 'No such file', 'x'))", "chain()", "group()", "noted()", "down()", "1 +", "no_such_name", "signal.SIGTERN", "int('x' * 5)",
		"int('9' * 5000)", "b'\\xff'.decode()", "bytearray(sys.maxsize)", "1 / 0", "fail(StopIteration(1))", "fail(GeneratorExit())",
		"__import__('no_such_module')", "[1, 2][7]", "time.slep(1)", "json",
	} {
		texts = append(texts, instance("evaluate", expression))
	}
	return texts
}

var repeatedLines = regexp.MustCompile(`\[Previous line repeated \d+ more times?\]`)

// conformOutcome makes a call of one instance and says what came of it, in the form of
// askOracle.
func conformOutcome(t *testing.T, p *Pool, text string) string {
	t.Helper()
	answer, err := p.Predict(t.Context(), newTestCall(text))
	var failed *pipeline.CallError
	var failure *pipeline.Failure
	switch {
	case errors.As(err, &failed):
		failure = &failed.Failure
		if isMemory := failure.Type == "MemoryError"; isMemory != (failed.Kind == pipeline.Memory) {
			t.Errorf("%s: kind %v", text, failed.Kind)
		}
	case err != nil:
		t.Fatalf("predict %.200s: %v\n%s", text, err, stderrOf(err))
	case answer.Outcomes[0].Failure != nil:
		failure = answer.Outcomes[0].Failure
	default:
		return string(answer.Outcomes[0].Prediction)
	}
	return fmt.Sprintf("! %s %s: %s\n%s", failure.Phase, failure.Type, failure.Message, repeatedLines.ReplaceAllString(failure.Traceback, "[repeated]"))
}

// askOracle asks a Python itself for the outcomes of texts.
func askOracle(t *testing.T, python pythontest.Python, folder string, texts []string) []string {
	t.Helper()
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python.Path, "-B", filepath.Join("testdata", "oracle.py"), folder)
	cmd.Env = append(os.Environ(), "PYTHONWARNINGS=ignore")
	cmd.Stdin = bytes.NewReader(in)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the oracle: %v\n%s", err, stderr.String())
	}
	var said struct {
		Answers [][]string `json:"answers"`
	}
	if err := json.Unmarshal(out, &said); err != nil || len(said.Answers) != len(texts) {
		t.Fatalf("the oracle said %d answers, %v", len(said.Answers), err)
	}
	var all []string
	for _, parts := range said.Answers {
		if len(parts) == 1 {
			all = append(all, parts[0])
			continue
		}
		all = append(all, fmt.Sprintf("! %s %s: %s\n%s", parts[0], parts[1], parts[2], repeatedLines.ReplaceAllString(parts[3], "[repeated]")))
	}
	return all
}

// conformBehaviour lets one worker do all that must not change an answer, one after the
// other.
func conformBehaviour(t *testing.T, python pythontest.Python) {
	p := startPool(t, conformConfig(t, python, "behaves"))
	late := instance("run", "signal.signal(signal.SIGALRM, lambda *a: fail(TimeoutError('too late')))\nsignal.setitimer(signal.ITIMER_REAL, 0.001)\nanswer = 1")
	awaited := instance("run", "try:\n    time.sleep(0.1)\nexcept TimeoutError:\n    pass\nanswer = 1")
	// The alarm rings once: within a call, which fails then, or between two.
	rung := 0
	for _, in := range []string{late, `["echo",1]`, awaited} {
		got := conformOutcome(t, p, in)
		if strings.HasPrefix(got, "! predict TimeoutError: too late\n") {
			rung++
		} else if got != "1" {
			t.Errorf("a Predictor that has an alarm that raises: %s", got)
		}
	}
	if rung > 1 {
		t.Errorf("%d calls failed of one alarm", rung)
	}
	for _, c := range []struct{ does, statements, want string }{
		{"sees no arguments of ours, and empty input", `answer = [sys.argv, sys.stdin.read(), getattr(sys, "orig_argv", [0, "cpr-batch"])[1:]]`,
			`[["cpr-batch"],"",["cpr-batch"]]`},
		{"finds nothing of ours in __main__", `answer = [n for n in vars(sys.modules["__main__"]) if not n.startswith("__")]`, `[]`},
		{"forks a child that exits", "pid = os.fork()\nif not pid:\n    os._exit(3)\nanswer = os.waitpid(pid, 0)[1] >> 8", `3`},
		{"forks a child that returns", "first = os.getpid()\nos.fork()\nanswer = 1", `1`},
		{"forks a child that raises", "if not os.fork():\n    fail(ValueError('the child'))\nanswer = 2", `2`},
		{"forks a child that calls sys.exit", "pid = os.fork()\nif not pid:\n    sys.exit(5)\nanswer = 3", `3`},
		{"forks processes", "with multiprocessing.get_context('fork').Pool(2) as pool:\n    answer = pool.map(square, [1, 2, 3])", `[1,4,9]`},
		{"spawns processes", "with multiprocessing.get_context('spawn').Pool(1) as pool:\n    answer = pool.map(square, [1, 2, 3])", `[1,4,9]`},
		{"calls sys.exit and raises in threads", "threads = [threading.Thread(target=f, args=(x,)) for f, x in ((sys.exit, 3), (fail, Odd()))]\n" +
			"for thread in threads: thread.start()\nfor thread in threads: thread.join()\nanswer = 4", `4`},
		{"leaves a thread behind", "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\nanswer = 5", `5`},
		{"prints in every way", "print('\\ud800', end='')\nprint('x' * 100000, file=sys.stderr)\nos.write(1, b'\\xff' * 200000)\n" +
			"subprocess.call(['echo', 'from C'])\nfaulthandler.dump_traceback(1)\nanswer = 6", `6`},
		{"has a timer that interrupts it", "signal.signal(signal.SIGALRM, lambda *a: None)\nsignal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\nanswer = 7", `7`},
		{"has a timer no more", "signal.setitimer(signal.ITIMER_REAL, 0)\nanswer = 8", `8`},
		{"ignores signals", "for s in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):\n    signal.signal(s, signal.SIG_IGN)\nanswer = 9", `9`},
		{"has its own faulthandler", "faulthandler.enable()\nfaulthandler.dump_traceback_later(1000)\nfaulthandler.cancel_dump_traceback_later()\nanswer = 10", `10`},
		{"has next to no stack", "sys.setrecursionlimit(sys.getrecursionlimit() // 5)\nanswer = 11", `11`},
		{"has a stack without end", "sys.setrecursionlimit(10 ** 6)\nanswer = 12", `12`},
		{"changes what json is", "import json\njson.dumps = json.loads = json.JSONEncoder.encode = None\nanswer = 13", `13`},
		{"closes and replaces its streams", "sys.stdout.close()\nsys.stderr = sys.__stderr__ = None\nsys.stdin = None\nanswer = 14", `14`},
		{"lifts the limit of digits", "getattr(sys, 'set_int_max_str_digits', int)(0)\nanswer = 15 * 10 ** 5000", `15` + strings.Repeat("0", 5000)},
		{"closes all descriptors and opens others", "os.closerange(0, 65536)\nkept = [os.open('/dev/null', os.O_RDWR) for _ in range(300)]\nanswer = 16", `16`},
		{"is as it was", "answer = len(kept) if 'kept' in globals() else 17", `17`},
	} {
		for _, in := range []string{instance("run", c.statements), `["echo","after"]`} {
			want := c.want
			if in == `["echo","after"]` {
				want = `"after"`
			}
			if diff := cmp.Diff([]string{want}, predict(t, p, newTestCall(in))); diff != "" {
				t.Errorf("a Predictor that %s: %s", c.does, diff)
			}
		}
	}
	if s := p.Stats(); s.Started != 1 || s.Died != 0 || s.Timeouts != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// conformDeaths lets worker after worker of one pool die.
func conformDeaths(t *testing.T, python pythontest.Python) {
	cfg := conformConfig(t, python, "behaves")
	cfg.oomKills = func() int64 { return 0 }
	p := startPool(t, cfg)
	deaths := []struct{ statements, message string }{
		{"os._exit(7)", "exit status 7"},
		{"threading.Thread(target=os._exit, args=(8,)).start()\ntime.sleep(1000)", "exit status 8"},
		{"faulthandler._sigsegv()", "signal 11 (SIGSEGV)"},
		{"os.abort()", "signal 6 (SIGABRT)"},
	}
	for _, c := range deaths {
		e := callError(t, p, newTestCall(instance("run", c.statements)))
		if e.Kind != pipeline.Crashed || !e.Died || e.Failure.Message != c.message || e.Failure.Type != "Crash" {
			t.Errorf("%s, kind %v: %+v", c.statements, e.Kind, e.Failure)
		}
		if diff := cmp.Diff([]string{`"after"`}, predict(t, p, newTestCall(`["echo","after"]`))); diff != "" {
			t.Errorf("after %s: %s", c.statements, diff)
		}
	}
	// On a busy machine a stuck worker may not get to say where it is before it is killed.
	var e *pipeline.CallError
	hung := 0
	for ; hung < 5 && (e == nil || e.Failure.Traceback == ""); hung++ {
		c := newTestCall(`["hang",1000]`)
		c.Limit = time.Second
		e = callError(t, p, c)
	}
	lines := strings.Split(e.Failure.Traceback, "\n")
	if e.Kind != pipeline.Stuck || len(lines) < 3 || !strings.HasPrefix(lines[len(lines)-3], `  File "behaves.py", line `) ||
		!strings.HasSuffix(lines[len(lines)-3], ", in hang") || lines[len(lines)-2] != "    time.sleep(seconds)" {
		t.Errorf("a call that hangs, kind %v: %+v", e.Kind, e.Failure)
	}
	if s := p.Stats(); s.Died != len(deaths) || s.Timeouts != hung {
		t.Errorf("stats: %+v", s)
	}
}

// conformNonFinite calls in each of the three modes.
func conformNonFinite(t *testing.T, python pythontest.Python) {
	in := []string{`["echo",[NaN,-Infinity,"NaN",1e999]]`, instance("evaluate", "{nan: 1}"), instance("evaluate", "[{'\"NaN': -nan}, 2.0]")}
	const remedy = " is not JSON; output.non_finite says what to write instead"
	for as, want := range map[values.NonFinite][]string{
		0:               {"! encode ValueError: NaN" + remedy, `{"NaN":1}`, "! encode ValueError: NaN" + remedy},
		values.AsNull:   {`[null,null,"NaN",null]`, `{"NaN":1}`, `[{"\"NaN":null},2.0]`},
		values.AsString: {`["NaN","-Infinity","NaN","Infinity"]`, `{"NaN":1}`, `[{"\"NaN":"NaN"},2.0]`},
	} {
		cfg := conformConfig(t, python, "behaves")
		cfg.NonFinite = as
		if diff := cmp.Diff(want, predict(t, startPool(t, cfg), newTestCall(in...))); diff != "" {
			t.Errorf("non_finite %d: %s", as, diff)
		}
	}
}

// conformLoading loads what may be loaded.
func conformLoading(t *testing.T, python pythontest.Python) {
	c := newTestCall("1")
	c.Kwargs = []byte(`{"top": 3, "é": 10000000000000000000001}`)
	if diff := cmp.Diff([]string{`[null,["top","é"]]`}, predict(t, startPool(t, conformConfig(t, python, "spaces.inner.Predictor")), c)); diff != "" {
		t.Errorf("a namespace package: %s", diff)
	}
	e := callError(t, startPool(t, conformConfig(t, python, "returns_coroutine")), newTestCall("1"))
	if e.Failure.Type != "NotAList" || !strings.Contains(e.Failure.Message, "returned a coroutine") {
		t.Errorf("async def predict: %+v", e)
	}
}

// conformLoadFailures goes through the worker's reasons for not loading a class.
func conformLoadFailures(t *testing.T, python pythontest.Python) {
	for class, want := range map[string]struct{ phase, typ, message, hint string }{
		"ecko.Predictor":     {"import", "ModuleNotFoundError", "No module named 'ecko'", "the packages hold: echo, "},
		"inner.Predictor":    {"import", "ModuleNotFoundError", "No module named 'inner'", "did you mean deep.inner.Predictor"},
		"shapes.OutherName":  {"import", "AttributeError", "has no class 'OutherName'", "it has: OtherName, "},
		"string.Predictor":   {"import", "AttributeError", "has no class 'Predictor'", "the module comes from "},
		"os.path":            {"import", "TypeError", "os.path is a module", "module.Class"},
		"import_misses":      {"import", "ModuleNotFoundError", "No module named 'no_such_library'", "is not installed in "},
		"import_syntax":      {"import", "SyntaxError", "", ""},
		"shapes.NoFromPath":  {"load", "AttributeError", "has no from_path", "a Predictor has from_path"},
		"shapes.NoPredict":   {"load", "AttributeError", "has no predict", "a Predictor has predict"},
		"shapes.Static":      {"load", "TypeError", "shapes.Static.predict is a static method", "accepted are"},
		"shapes.Decorated":   {"load", "TypeError", "takes ()", "a decorator hides them"},
		"load_none":          {"load", "TypeError", "from_path returned None", "is a return missing?"},
		"load_pickle":        {"load", "AttributeError", "__main__", "was pickled from a script"},
		"shapes.KeywordOnly": {"load", "ValueError", "errors.retry_on: 'shapes.Loads' is no exception", "write it with its module"},
	} {
		cfg := conformConfig(t, python, class)
		if class == "shapes.KeywordOnly" {
			cfg.RetryOn = []string{"TimeoutError", "shapes.Loads"}
		}
		if e := loadError(t, cfg); string(e.Phase) != want.phase || e.Type != want.typ || !strings.Contains(e.Message, want.message) || !strings.Contains(e.Hint, want.hint) {
			t.Errorf("%s: %+v", class, e)
		}
	}
}

// conformCallFailures makes calls of which nothing comes, for a reason in each way of
// looking at what came.
func conformCallFailures(t *testing.T, python pythontest.Python) {
	for class, want := range map[string]struct {
		kind         pipeline.CallKind
		typ, message string
	}{
		"raises_mute":   {pipeline.Raised, "raises_mute.Mute", "(no message: its __str__ raised ValueError)"},
		"raises_unseen": {pipeline.Raised, "raises_unseen.Unseen", "(no message: looking at the exception raised SystemExit)"},
		"raises_busy":   {pipeline.Retry, "raises_busy.VeryBusy", "try again"},
		"memory_cuda":   {pipeline.Memory, "RuntimeError", "CUDA out of memory. Tried to allocate 2 GiB"},
		"returns_none":  {pipeline.Raised, "NotAList", "predict returned None, not a list; is a return missing?"},
		"returns_array": {pipeline.Raised, "NotAList", "predict returned a returns_array.ndarray, not a list; return it with .tolist()"},
		"returns_long":  {pipeline.Raised, "WrongLength", "3 predictions for 2 instances"},
		"large":         {pipeline.Memory, "PredictionTooLarge", "the predictions of one call take 3007 bytes; 1000 are the limit"},
	} {
		cfg := conformConfig(t, python, class)
		cfg.RetryOn, cfg.ResultLimit = []string{"raises_busy.Busy"}, 1000
		e := callError(t, startPool(t, cfg), newTestCall("1000", "2000"))
		if e.Kind != want.kind || e.Died || e.Failure.Type != want.typ || e.Failure.Message != want.message {
			t.Errorf("%s, kind %v: %+v", class, e.Kind, e.Failure)
		}
	}
}

// conformBase64 decodes texts that are base64, and some that are not.
func conformBase64(t *testing.T, python pythontest.Python) {
	cfg := conformConfig(t, python, "reprs")
	cfg.DecodeB64 = true
	in := []string{`{"b64":"AAE="}`, `[{"x":{"b64":""}},{"b64":"aGk=","more":1}]`, `{"b64":"AAE"}`, `{"b64":"A*E="}`}
	got := predict(t, startPool(t, cfg), newTestCall(in...))
	for i, want := range []string{`"b'\\x00\\x01'"`, `"[{'x': b''}, {'b64': 'aGk=', 'more': 1}]"`, "! read InvalidBase64: b64: ", "! read InvalidBase64: b64: "} {
		if got[i] != want && (i < 2 || !strings.HasPrefix(got[i], want)) { // the rest are binascii's words
			t.Errorf("%s: %s, want %s", in[i], got[i], want)
		}
	}
}
