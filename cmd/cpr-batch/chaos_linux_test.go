package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

const (
	chaosWorkers    = 2
	chaosBatch      = 20
	chaosCheckpoint = 100 * time.Millisecond
)

// chaosJob reads an input and writes an output, as URIs.
func chaosJob(input, output, compression, splitSize string) string {
	return fmt.Sprintf(`
model: {package_uris: [code/], prediction_class: predictor.P}
source: {jsonl: {uris: [%q], split_size: %s}}
sink: {jsonl: {uri: %q, compression: %s}}
workers: {count: %d}
batch: {size: %d}
errors: {max_failure_ratio: 1}
checkpoint: %s
`, input, splitSize, output, compression, chaosWorkers, chaosBatch, chaosCheckpoint)
}

// TestChaos: promise 4. A run over all kinds of files is killed some dozens of times, in
// all the ways there are, and then carried on to its end.
func TestChaos(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*chaosTimes)*10*time.Minute)
	defer cancel()
	instances := 200_000 * *chaosTimes
	s := newStage(t, stage{job: chaosJob("in/", "out/", "gzip", "400KiB"), pace: 100 * time.Microsecond})
	makeInput(t, chaosInput(instances), putBelow(t, filepath.Join(s.dir, "in")))
	calm := s.undisturbed(ctx, t)
	s.wantCounts(t, calm, instances)
	c := &chaos{stage: s, t: t, calm: calm, instances: instances}
	c.disturb(ctx, s.shuffled(*chaosTimes))
	c.carryOn(ctx)
	c.judge()
	if c.kills < 36**chaosTimes {
		t.Errorf("only %d kills", c.kills)
	}
}

// TestChaosInCloudStorage is the same, with a Cloud Storage that is away, resets and loses
// and dawdles all the time.
func TestChaosInCloudStorage(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*chaosTimes)*10*time.Minute)
	defer cancel()
	server := cloudtest.Start(t, "in", "out")
	instances := 20_000 * *chaosTimes
	s := newStage(t, stage{
		job: chaosJob("gs://in/", "gs://out/run/", "zstd", "100KiB"), output: outputBucket{server, "out", "run/"},
		pace: 500 * time.Microsecond, environ: []string{"STORAGE_EMULATOR_HOST=" + server.Host()},
	})
	makeInput(t, chaosInput(instances), func(name string, content []byte) {
		server.Put(t, cloudtest.Object{Bucket: "in", Name: name, Content: content})
	})
	calm := s.undisturbed(ctx, t)
	s.wantCounts(t, calm, instances)
	disturbService(server, s.chance)
	c := &chaos{stage: s, t: t, calm: calm, instances: instances, mayFail: true}
	names := s.shuffled(1)
	for range *chaosTimes {
		c.disturb(ctx, names[:14])
	}
	c.carryOn(ctx)
	c.judge()
	faulty := 0
	for _, r := range server.Requests() {
		if r.Status == 0 || r.Status == 503 || r.Status == 429 {
			faulty++
		}
	}
	t.Logf("%d requests, %d of them without a good reply", len(server.Requests()), faulty)
	if c.kills < 12**chaosTimes || faulty < 50 {
		t.Errorf("only %d kills, %d requests without a good reply", c.kills, faulty)
	}
}

// disturbService has about one request in ten go wrong.
func disturbService(server *cloudtest.Server, chance *rand.Rand) {
	faults := []cloudtest.Fault{
		{Status: 503}, {Status: 503}, {Status: 429}, {Kind: cloudtest.Reset}, {Kind: cloudtest.Reset},
		{Kind: cloudtest.LoseReply}, {Kind: cloudtest.LoseReply}, {Kind: cloudtest.Cut, Bytes: 10},
	}
	for n := 0; n < 100_000; n += 1 + chance.IntN(16) {
		f := faults[chance.IntN(len(faults))]
		if chance.IntN(4) == 0 {
			slow := time.Duration(chance.Int64N(int64(300 * time.Millisecond)))
			f = cloudtest.Fault{Before: func(cloudtest.Request) { <-time.After(slow) }}
		}
		f.After, f.Times = n, 1
		server.Fail(f)
	}
}

// chaos is a run that is disturbed.
type chaos struct {
	*stage
	t         *testing.T
	calm      chaosOutput // of the same job, undisturbed
	instances int
	mayFail   bool // programs may end with status 1

	kills int
	turns []*turn
}

// disturb starts the program once for each ending and ends it so.
func (c *chaos) disturb(ctx context.Context, names []string) {
	c.t.Helper()
	all := endings()
	for _, name := range names {
		u := &turn{stage: c.stage, t: c.t, share: c.share(len(names))}
		u.begin = func() *started { return c.start(ctx, c.t) }
		u.program = u.begin()
		all[name].run(u)
		c.kills += u.kills
		c.turns = append(c.turns, u)
		if c.t.Failed() {
			c.t.Fatalf("turn %d: %s", len(c.turns), name)
		}
		wantOnlyCommitted(c.t, c.output)
	}
}

// share is how many bytes the log of calls grows by in a turn, when the turns together do
// three quarters of the work.
func (c *chaos) share(turns int) int64 {
	digits := int64(len(fmt.Sprint(c.instances)))
	return int64(c.instances) * digits * 3 / 4 / int64(turns*max(1, *chaosTimes))
}

// carryOn kills the run a few times more when it is nearly at its end, or at it, and then
// lets it come to its end.
func (c *chaos) carryOn(ctx context.Context) {
	c.t.Helper()
	total := len(standingOf(c.t, c.calm).committed)
	soon := 20 * time.Millisecond
	for range 4 {
		p := c.start(ctx, c.t)
		if p.until(func() bool { return len(standingOf(c.t, c.output).committed) == total }) {
			p.after(time.Duration(c.chance.Int64N(int64(soon))))
			soon = 500 * time.Millisecond // the next one has to start first
			p.signal(syscall.SIGKILL)
			c.kills++
		}
		p.wait(c.t, append(killed(), c.failed()...)...)
		wantOnlyCommitted(c.t, c.output)
	}
	if !eventually(2*time.Second, func() bool { return len(c.living()) == 0 }) {
		c.t.Errorf("processes are left: %s", strings.Join(c.living(), "; "))
	}
	for range 5 {
		if c.start(ctx, c.t).wait(c.t, append([]int{0}, c.failed()...)...) == 0 {
			return
		}
	}
	c.t.Error("the run does not come to its end")
}

// failed are the statuses of programs that a faulty service has ended.
func (c *chaos) failed() []int {
	if c.mayFail {
		return []int{1}
	}
	return nil
}

// judge holds what has come of it against the undisturbed run, and looks at what was
// predicted twice.
//
// Of a program that is killed is lost what was written since the last seal and what was
// under way. The workers predict at most w/pace instances a second, and a seal is due a
// checkpoint after the first instance that it holds: w/pace·checkpoint. While the seal is
// made, and while the writer waits for one batch, as many batches as the engine's window
// has come to be predicted: of each of the w splits that are open, window batches each
// time. The bound is twice all that. With a worker go the two batches that are on their
// way to it; two programs at once may do what both do. Who drains loses nothing.
func (c *chaos) judge() {
	t := c.t
	t.Helper()
	wantFinished(t, c.output)
	wantResults(t, c.output, results(t, c.calm))
	c.wantCounts(t, c.output, c.instances)
	places := seats(t, c.calm)
	all := calls(t, c.dir)
	wantAll(t, all, places)
	wantNothingTwice(t, all, places, c.stood)
	lost := doubled(all, len(c.stood))
	perSecond := chaosWorkers / c.pace.Seconds()
	window := 2*chaosWorkers + 2
	bound := 2 * (int(perSecond*chaosCheckpoint.Seconds()) + 2*chaosWorkers*window*chaosBatch)
	sum, most := 0, 0
	for _, n := range lost {
		sum += n
	}
	for _, u := range c.turns {
		limit := bound
		if u.drained {
			limit = 0
		}
		limit += 2 * chaosBatch * u.workers
		n := lost[u.program.number]
		if u.other != nil {
			limit += bound + min(predictedBy(all, u.program.number), predictedBy(all, u.other.number))
			n += lost[u.other.number]
		} else {
			most = max(most, n)
		}
		if n > limit {
			t.Errorf("program %d: %d of its predictions were made again, which are more than %d", u.program.number, n, limit)
		}
	}
	resumed := int64(0)
	for _, before := range c.stood {
		for _, n := range before.sealed {
			resumed += n
		}
	}
	t.Logf("%d programs, %d kills; %d of %d predictions made again, at most %d of one program's (limit %d); %d sealed ones met by later programs",
		len(c.stood), c.kills, sum, c.instances, most, bound, resumed)
}

// wantCounts demands a report of all instances.
func (s *stage) wantCounts(t *testing.T, o chaosOutput, instances int) {
	t.Helper()
	var report struct {
		Status    string
		Instances struct{ Read, Predicted, Failed int }
	}
	if err := json.Unmarshal(o.read(t, "report.json"), &report); err != nil {
		t.Error(err)
		return
	}
	i := report.Instances
	if report.Status != "done" || i.Read != instances || i.Predicted+i.Failed != instances || i.Failed < instances/2000 {
		t.Errorf("the report says %+v, want %d instances", report, instances)
	}
	if slices.Contains(o.names(t), "_FAILED") {
		t.Error("there is _FAILED beside _SUCCESS")
	}
}
