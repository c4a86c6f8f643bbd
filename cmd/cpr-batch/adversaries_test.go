package main

import (
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// way is one of the ways in which a Predictor may misbehave.
type way struct {
	class, failure string
	dies           bool // it takes the worker with it
	hangs          bool
	alone          bool // it costs its instance, and no further call
	shrinks        bool // batches are made smaller while it is looked for
	poisons        bool // its worker fails all that follows
}

// ways are those in which single instances fail.
var ways = map[string]way{
	"raises":                     {class: "Raises", failure: "predict ValueError"},
	"hangs":                      {class: "Hangs", failure: "timeout Timeout", hangs: true},
	"exits":                      {class: "Exits", failure: "crash Crash", dies: true},
	"has a segmentation fault":   {class: "Segfaults", failure: "crash Crash", dies: true},
	"eats all memory":            {class: "EatsMemory", failure: "predict MemoryError", shrinks: true},
	"returns nothing":            {class: "ReturnsNothing", failure: "predict NotAList"},
	"returns too much":           {class: "ReturnsTooMuch", failure: "predict WrongLength"},
	"returns what is not JSON":   {class: "ReturnsObjects", failure: "encode TypeError", alone: true},
	"writes to every descriptor": {class: "BreaksItsChannel", failure: "crash Crash", dies: true},
	"poisons its worker":         {class: "Poisoned", failure: "predict RuntimeError", poisons: true},
}

// costs are what finding culprits takes.
type costs struct{ calls, started, died, timeouts int }

// bounds are the costs of so many culprits in batches of n: of each about 2·log2(n) calls,
// and as many ends of workers as there are sizes from n down to 1, where its calls end them.
func (w way) bounds(n, culprits int) costs {
	levels := bits.Len(uint(n - 1))
	c := costs{calls: culprits * (2*levels + 6), started: 2}
	ends := culprits * (levels + 4)
	switch {
	case w.alone:
		c.calls = 0
	case w.hangs:
		c.timeouts = ends
	case w.dies:
		c.died = ends
	case w.shrinks:
		c.calls += culprits * 2 * levels * batchesUnderWay
	case w.poisons:
		// It fails calls of others too, until it is found out: of each both halves, which are
		// called again, and a known-good instance is tried.
		c.calls += ends * 5 * batchesUnderWay
		c.started += ends
	}
	c.started += c.died + c.timeouts
	return c
}

// batchesUnderWay is how many a split has beside that of a culprit, with two workers.
const batchesUnderWay = 5

// TestOneInstanceAmongMany: promise 5.
func TestOneInstanceAmongMany(t *testing.T) {
	t.Parallel()
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := ordeal{class: w.class, instances: 100_000, culprit: func(i int) bool { return i == 54_321 }, batch: 512}
			if w.hangs {
				o.batch, o.settings = 64, []string{"workers.predict_timeout=1s"}
			}
			v := o.undergo(t)
			o.checkOutcomes(t, v, w.failure)
			w.checkCosts(t, &o, v, 1)
		})
	}
}

// TestEveryTenthInstance: promise 5, many times over.
func TestEveryTenthInstance(t *testing.T) {
	t.Parallel()
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := ordeal{class: w.class, instances: 2000, culprit: func(i int) bool { return i%10 == 3 }, batch: 256,
				settings: []string{"errors.max_failure_ratio=1"}}
			switch {
			case w.hangs: // each call takes its second
				o.instances, o.batch = 20, 10
				o.settings = append(o.settings, "workers.predict_timeout=1s")
			case w.dies, w.poisons: // each takes the start of an interpreter
				o.instances, o.batch = 40, 20
			}
			v := o.undergo(t)
			o.checkOutcomes(t, v, w.failure)
			w.checkCosts(t, &o, v, o.instances/10)
		})
	}
}

func (w way) checkCosts(t *testing.T, o *ordeal, v *verdict, culprits int) {
	t.Helper()
	most := w.bounds(o.batch, culprits)
	r := &v.report
	t.Logf("%d batches, %d further calls, %d calls made, %d deaths, %d timeouts, %d workers started, %.1f s",
		r.Batches.Count, r.Batches.FurtherCalls, v.calls, r.Workers.Died, r.Workers.Timeouts, r.Workers.Started, r.Ended.Sub(r.Started).Seconds())
	if v.status != 0 {
		t.Errorf("status %d\n%s", v.status, v.stderr)
	}
	got := costs{calls: int(r.Batches.FurtherCalls), started: r.Workers.Started, died: r.Workers.Died, timeouts: r.Workers.Timeouts}
	if got.calls > most.calls || got.started > most.started || got.died > most.died || got.timeouts > most.timeouts {
		t.Errorf("it took %+v, at most %+v is promised\n%s", got, most, v.stderr)
	}
	// Alone, a culprit is convicted of a death by a second one, and of a hang by the first.
	if w.dies && got.died < 2*culprits || w.hangs && got.timeouts < culprits {
		t.Errorf("the report says %+v for %d culprits", got, culprits)
	}
	// A worker that was ended may have begun on the next call, which was passed on.
	if told := int(r.Batches.Count + r.Batches.FurtherCalls); v.calls < told || v.calls > told+r.Workers.Started {
		t.Errorf("the report says %d calls, the Predictor %d", told, v.calls)
	}
	if v.loads > r.Workers.Started {
		t.Errorf("%d Predictors were made by %d workers", v.loads, r.Workers.Started)
	}
}

// TestAllInstances: a Predictor that fails on everything ends the run after few calls.
func TestAllInstances(t *testing.T) {
	t.Parallel()
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := ordeal{class: w.class, instances: 100_000, culprit: func(int) bool { return true }, batch: 512}
			if w.hangs {
				o.batch, o.settings = 2, []string{"workers.predict_timeout=300ms"}
			}
			v := o.undergo(t)
			w.checkSurrender(t, &o, v)
		})
	}
}

// TestWorkersThatDieOfEveryBatch: no instance ever dies alone, and none is predicted.
func TestWorkersThatDieOfEveryBatch(t *testing.T) {
	t.Parallel()
	w := way{class: "DiesInCompany", failure: "crash Crash", dies: true}
	o := ordeal{class: w.class, instances: 512, culprit: func(int) bool { return true }, batch: 256,
		settings: []string{"errors.max_failure_ratio=1"}}
	v := o.undergo(t)
	w.checkSurrender(t, &o, v)
}

func (w way) checkSurrender(t *testing.T, o *ordeal, v *verdict) {
	t.Helper()
	r := &v.report
	t.Logf("%d failed, %d calls made, %d deaths, %d timeouts, %d workers started, %.1f s: %s", r.Instances.Failed, v.calls,
		r.Workers.Died, r.Workers.Timeouts, r.Workers.Started, r.Ended.Sub(r.Started).Seconds(), r.Error.Message)
	reason, err := os.ReadFile(filepath.Join(v.dir, "out", "_FAILED"))
	if err != nil || v.status != 3 {
		t.Fatalf("status %d, %v\n%s", v.status, err, v.stderr)
	}
	if v.calls > 300 || r.Workers.Died > 60 || r.Workers.Timeouts > 40 || r.Workers.Started > 64 || r.Instances.Failed > 200 {
		t.Errorf("%d calls, %d failures and %+v were needed to give up", v.calls, r.Instances.Failed, r.Workers)
	}
	_, typ, _ := strings.Cut(w.failure, " ")
	for where, text := range map[string]string{"_FAILED": string(reason), "standard error": v.stderr, "report.json": fmt.Sprintf("%+v", r.Error)} {
		if !strings.Contains(text, typ) {
			t.Errorf("%s does not name %s: %s", where, typ, text)
		}
	}
	if left, err := filepath.Glob(filepath.Join(v.dir, "out", "*-of-*")); err != nil || len(left) > 0 {
		t.Errorf("parts are committed: %q, %v", left, err)
	}
}

// TestMemoryThatIsEnoughForSmallBatches: a large batch is no culprit, a huge instance is one.
func TestMemoryThatIsEnoughForSmallBatches(t *testing.T) {
	t.Parallel()
	o := ordeal{class: "EatsMemoryByTheInstance", instances: 100_000, culprit: func(i int) bool { return i == 777 }, batch: 512}
	v := o.undergo(t)
	o.checkOutcomes(t, v, "predict MemoryError")
	t.Logf("%d batches, %d further calls, %d made", v.report.Batches.Count, v.report.Batches.FurtherCalls, v.calls)
	// Batches of 128 are small enough: four calls a batch, or some more while the huge one is
	// looked for, and what finding that out took, which not every batch does for itself.
	batches, whole := int(v.report.Batches.Count), strings.Count(v.log, fmt.Sprintf(" %d\n", o.batch))
	if v.status != 0 || v.calls > 10*batches || whole > batches/3 || v.report.Workers.Died > 0 {
		t.Errorf("status %d after %d calls, %d of them of whole batches, and %d deaths\n%s", v.status, v.calls, whole, v.report.Workers.Died, v.stderr)
	}
}

// TestThrottling: what errors.retry_on names costs no instance and no worker.
func TestThrottling(t *testing.T) {
	t.Parallel()
	o := ordeal{class: "Throttled", instances: 100_000, batch: 512,
		settings: []string{"errors.retry_on=[adversaries.TooManyRequests]", "errors.retries=20"}}
	v := o.undergo(t)
	o.checkOutcomes(t, v, "")
	if refused := v.report.Batches.FurtherCalls; v.status != 0 || refused != 20 || v.report.Workers.Started != 2 {
		t.Errorf("status %d, %d further calls, %d workers started\n%s", v.status, refused, v.report.Workers.Started, v.stderr)
	}
}
