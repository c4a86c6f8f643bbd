package pyworker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// Whatever these Predictors do, each call is answered with its instances, twice.
func TestWorkerKeepsAnswersRightWhenThePredictor(t *testing.T) {
	t.Parallel()
	three := []string{`1`, `"two"`, `{"three":3}`}
	for does, class := range map[string]string{
		"returns a tuple":                      "echo_tuple",
		"raises for other instances":           "raises",
		"closes all descriptors":               "closes_descriptors",
		"closes and replaces its streams":      "closes_stdout",
		"forks and raises in the child":        "forks_and_raises",
		"forks while it loads":                 "forks_while_loading",
		"is interrupted by a timer all along":  "handles_signals",
		"leaves an alarm behind that raises":   "alarms_late",
		"calls sys.exit in threads":            "exits_in_thread",
		"prints in every way":                  "prints",
		"prints without end":                   "prints_forever",
		"patches the standard library":         "patches",
		"has a recursion limit that is absurd": "recurses",
		"is false":                             "load_empty",
	} {
		t.Run(does, func(t *testing.T) {
			t.Parallel()
			p := startPool(t, poolConfig(t, class))
			for range 2 {
				if diff := cmp.Diff(three, predict(t, p, newTestCall(three...))); diff != "" {
					t.Error(diff)
				}
			}
			if s := p.Stats(); s.Started != 1 || s.Died != 0 {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

func TestWorkerShowsThePredictorAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct{ class, expression, want string }{
		"no arguments of ours and empty input":   {"parses_argv", `0`, `[["cpr-batch"],""]`},
		"its own module worker":                  {"where", `worker.__doc__[:8]`, `"A module"`},
		"the path of its packages last":          {"where", `sys.path[-1].endswith("testdata/predictors")`, `true`},
		"nothing of ours on the path":            {"where", `[x for x in sys.path if "worker-" in x]`, `[]`},
		"nothing of ours in __main__":            {"where", `sorted(vars(sys.modules["__main__"]))`, `["__builtins__","__doc__","__loader__","__name__","__package__","__spec__"]`},
		"its number":                             {"where", `os.environ["CPR_BATCH_WORKER"]`, `"0"`},
		"no PYTHON variable of the caller":       {"where", `os.environ.get("PYTHONHASHSEED")`, `null`},
		"the job's variables, PYTHON or not":     {"where", `[os.environ["PYTHONTEST"], os.environ["OMP_NUM_THREADS"]]`, `["1","2"]`},
		"the caller's variables":                 {"where", `os.environ["CALLER"]`, `"kept"`},
		"no descriptor of ours to a shell":       {"where", `shell("ls /dev/fd | sort -n | tail -1").strip() < "5"`, `true`},
		"processes that are forked":              {"where", `squares("fork")`, `[1,4,9]`},
		"processes that are spawned":             {"where", `squares("spawn")`, `[1,4,9]`},
		"processes of a server":                  {"where", `squares("forkserver")`, `[1,4,9]`},
		"the working directory of its caller":    {"where", `os.path.basename(os.getcwd())`, `"pyworker"`},
		"no blocked signals, and a collector on": {"where", `[list(__import__("signal").pthread_sigmask(0, [])), __import__("gc").isenabled()]`, `[[],true]`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			cfg := poolConfig(t, test.class)
			cfg.Environ = append(cfg.Environ, "PYTHONHASHSEED=1", "CALLER=kept")
			cfg.Env["PYTHONTEST"], cfg.Env["OMP_NUM_THREADS"] = "1", "2"
			got := predict(t, startPool(t, cfg), newTestCall(quoted(test.expression)...))
			if diff := cmp.Diff([]string{test.want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWorkerEndsAChildThatReturns(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "forks"))
	first := predict(t, p, newTestCall("1", "2"))
	if diff := cmp.Diff(first, predict(t, p, newTestCall("1", "2"))); diff != "" {
		t.Errorf("another process has answered: %s", diff)
	}
}

func TestCallFailsWhenThePredictor(t *testing.T) {
	t.Parallel()
	type want struct {
		kind                pipeline.CallKind
		typ, message, trace string // trace: a line of it
	}
	for does, test := range map[string]struct {
		class string
		in    []string
		want  want
	}{
		"raises": {"raises", quoted("a", "bad"), want{pipeline.Raised, "ValueError",
			"can not take 'bad' of <object object at 0x…>", `  File "raises.py", line 15, in predict`}},
		"raises from another exception": {"raises_chained", quoted("a"), want{pipeline.Raised, "raises_chained.Odd", "no key",
			"The above exception was the direct cause of the following exception:"}},
		"raises what has no words": {"raises_mute", quoted("a"), want{pipeline.Raised, "raises_mute.Mute",
			"(no message: its __str__ raised ValueError)", "Traceback (most recent call last):"}},
		"raises what can not be looked at": {"raises_unseen", quoted("a"), want{pipeline.Raised, "raises_unseen.Unseen",
			"(no message: looking at the exception raised SystemExit)", ""}},
		"calls sys.exit":            {"raises_exit", quoted("a"), want{pipeline.Raised, "SystemExit", "enough", "SystemExit: enough"}},
		"raises KeyboardInterrupt":  {"raises_interrupt", quoted("a"), want{pipeline.Raised, "KeyboardInterrupt", "", "KeyboardInterrupt"}},
		"raises what is worth it":   {"raises_busy", quoted("a"), want{pipeline.Retry, "raises_busy.VeryBusy", "try again", "raises_busy.VeryBusy: try again"}},
		"has no memory":             {"memory", quoted("a", "b", "c"), want{pipeline.Memory, "MemoryError", "no memory for 3", "MemoryError: no memory for 3"}},
		"has no memory on a device": {"memory_cuda", quoted("a"), want{pipeline.Memory, "RuntimeError", "CUDA out of memory. Tried to allocate 2 GiB", ""}},
		"returns a dict":            {"returns_dict", quoted("a"), want{pipeline.Raised, "NotAList", "predict returned a dict, not a list", ""}},
		"returns None":              {"returns_none", quoted("a"), want{pipeline.Raised, "NotAList", "predict returned None, not a list; is a return missing?", ""}},
		"returns a string":          {"returns_string", quoted("a", "b"), want{pipeline.Raised, "NotAList", "predict returned a str, not a list", ""}},
		"returns a generator":       {"returns_generator", quoted("a"), want{pipeline.Raised, "NotAList", "predict returned a generator, not a list; make a list of it with list()", ""}},
		"returns an array":          {"returns_array", quoted("a", "b", "c"), want{pipeline.Raised, "NotAList", "predict returned a returns_array.ndarray, not a list; return it with .tolist()", ""}},
		"returns a coroutine": {"returns_coroutine", quoted("a"), want{pipeline.Raised, "NotAList",
			"predict returned a coroutine, not a list: async def predict is not supported yet; write def predict", ""}},
		"returns too few":               {"returns_short", quoted("a", "b", "c", "d", "e"), want{pipeline.Raised, "WrongLength", "4 predictions for 5 instances", ""}},
		"returns too many":              {"returns_long", quoted("a"), want{pipeline.Raised, "WrongLength", "2 predictions for 1 instance", ""}},
		"returns a list that miscounts": {"returns_liar", quoted("a", "b", "c"), want{pipeline.Raised, "WrongLength", "2 predictions for 3 instances", ""}},
		"returns more than is taken":    {"large", []string{"100", "2000"}, want{pipeline.Memory, "PredictionTooLarge", "the predictions of one call take 2107 bytes; 1000 are the limit", ""}},
		"exits":                         {"exits", quoted("bad"), want{pipeline.Crashed, "Crash", "exit status 7", ""}},
		"reads from address 0":          {"segfaults", quoted("bad"), want{pipeline.Crashed, "Crash", "signal 11 (SIGSEGV)", ""}},
		"is killed":                     {"killed", quoted("bad"), want{pipeline.Crashed, "Crash", "signal 9 (SIGKILL)", ""}},
	} {
		t.Run(does, func(t *testing.T) {
			t.Parallel()
			cfg := poolConfig(t, test.class)
			cfg.RetryOn = []string{"raises_busy.Busy", "TimeoutError"}
			if test.class == "large" {
				cfg.ResultLimit = 1000
			}
			cfg.oomKills = func() int64 { return 0 }
			p := startPool(t, cfg)
			e := callError(t, p, newTestCall(test.in...))
			got := want{e.Kind, e.Failure.Type, e.Failure.Message, test.want.trace}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains("\n"+e.Failure.Traceback, "\n"+test.want.trace) || strings.Contains(e.Failure.Traceback, "worker.py") {
				t.Errorf("traceback:\n%s", e.Failure.Traceback)
			}
			if died := test.want.kind == pipeline.Crashed; e.Died != died || (e.Failure.Phase == pipeline.PhaseCrash) != died {
				t.Errorf("died %v, phase %s", e.Died, e.Failure.Phase)
			}
		})
	}
}

func TestCallErrorTellsAWorkerThatHadFailedBefore(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "raises"))
	var got []bool
	for _, in := range []string{"bad", "bad", "good", "bad", "bad"} {
		if in == "good" {
			predict(t, p, newTestCall(quoted(in)...))
			continue
		}
		got = append(got, callError(t, p, newTestCall(quoted(in)...)).Harmed)
	}
	if diff := cmp.Diff([]bool{false, true, false, true}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCallErrorIsCut(t *testing.T) {
	t.Parallel()
	e := callError(t, startPool(t, poolConfig(t, "raises_long")), newTestCall("1"))
	for what, text := range map[string]string{"message": e.Failure.Message, "traceback": e.Failure.Traceback} {
		if len(text) > longestText || len(text) < longestText/2 {
			t.Errorf("the %s has %d bytes", what, len(text))
		}
	}
}

func TestPoolReplacesAWorkerThatDiesAndPassesOnWhatItHad(t *testing.T) {
	t.Parallel()
	for does, class := range map[string]string{"exits": "exits", "is killed": "killed", "hangs": "hangs", "hangs in C": "hangs_in_c"} {
		t.Run(does, func(t *testing.T) {
			t.Parallel()
			p := startPool(t, poolConfig(t, class))
			good := predict(t, p, newTestCall(`"good"`))
			bad := newTestCall(`"bad"`)
			bad.Limit = 300 * time.Millisecond
			var calls sync.WaitGroup
			calls.Go(func() {
				e := callError(t, p, bad)
				hangs := strings.HasPrefix(class, "hangs")
				if !e.Died || (e.Kind == pipeline.Stuck) != hangs {
					t.Errorf("call error: %+v", e)
				}
				if hangs && (e.Failure.Message != "predict did not return within 300ms (workers.predict_timeout)" ||
					!strings.Contains(e.Failure.Traceback, class+`.py", line `) || strings.Contains(e.Failure.Traceback, "Thread")) {
					t.Errorf("timeout: %+v", e.Failure)
				}
			})
			for range 2 {
				calls.Go(func() {
					if diff := cmp.Diff(good, predict(t, p, newTestCall(`"good"`))); diff != "" {
						t.Error(diff)
					}
				})
			}
			calls.Wait()
			predict(t, p, newTestCall(`"good"`))
			if s := p.Stats(); s.Started != 2 || s.Died+s.Timeouts != 1 {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

func TestPoolEndsWithChildrenThatHoldTheStreams(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "hangs_with_children"))
	c := newTestCall("1")
	c.Limit = 100 * time.Millisecond
	if e := callError(t, p, c); e.Kind != pipeline.Stuck {
		t.Errorf("call error: %+v", e)
	}
}

func TestPoolTellsAKillForMemoryFromAnother(t *testing.T) {
	t.Parallel()
	cfg := poolConfig(t, "killed")
	kills := int64(3)
	cfg.oomKills = func() int64 { kills++; return kills }
	p := startPool(t, cfg)
	e := callError(t, p, newTestCall(`"bad"`))
	if e.Kind != pipeline.Memory || !e.Died || e.Failure.Message != "signal 9 (SIGKILL), killed for memory" {
		t.Errorf("call error: %+v", e)
	}
}

func TestPoolEndsWhenWorkersDieWithoutACall(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "dies_at_once"))
	eventually(t, 20*time.Second, "the pool gives up", p.hasEnded)
	var ended *pipeline.Error
	if _, err := p.Predict(context.Background(), newTestCall("1")); !errors.As(err, &ended) || ended.Remedy != pipeline.FixInput {
		t.Errorf("the pool's end: %v", err)
	}
	if s := p.Stats(); s.Died < maxIdleDeaths {
		t.Errorf("stats: %+v", s)
	}
}

func TestPoolReplacesAWorkerThatDiesWhenItHasAnswered(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "dies_idle"))
	for i := range 3 {
		if diff := cmp.Diff([]string{"1"}, predict(t, p, newTestCall("1"))); diff != "" {
			t.Error(diff)
		}
		eventually(t, 5*time.Second, "the worker has died", func() bool { return p.Stats().Died == i+1 })
	}
}
