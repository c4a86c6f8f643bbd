package main

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

// TestARunThatIsToldToEndAtOnceDoesNotWaitForItsStore: promise 7. The service answers
// nothing any more, and of what a run would still tell it nothing is worth waiting for.
func TestARunThatIsToldToEndAtOnceDoesNotWaitForItsStore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	server := cloudtest.Start(t, "in", "out")
	s := newStage(t, stage{
		job: chaosJob("gs://in/", "gs://out/run/", "none", "100KiB"), output: outputBucket{server, "out", "run/"},
		pace: 10 * time.Millisecond, environ: []string{"STORAGE_EMULATOR_HOST=" + server.Host()},
	})
	makeInput(t, []chaosFile{{name: "a.jsonl", instances: 4000}}, func(name string, content []byte) {
		server.Put(t, cloudtest.Object{Bucket: "in", Name: name, Content: content})
	})
	p := s.start(ctx, t)
	p.logged(500)
	server.Fail(cloudtest.Fault{Kind: cloudtest.Stall})
	p.signal(syscall.SIGTERM)
	p.after(100 * time.Millisecond)
	p.signal(syscall.SIGTERM)
	told := time.Now()
	p.wait(t, 143)
	took := time.Since(told)
	t.Logf("it took %v", took)
	if took > 90*time.Second {
		t.Errorf("it ended %v after it was told to end at once:\n%s", took, p.words(t))
	}
}
