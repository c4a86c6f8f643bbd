package sinks_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
	"github.com/cpr-batch/cpr-batch/sinks"
)

// lateCommit is a part whose commit record is on its way to the service.
type lateCommit struct {
	server *cloudtest.Server
	store  *objects.Cloud
	run    *runs.Run
	ended  chan error // of Commit
	arrive func()     // lets the service make the record, and waits for that
}

const lateFolder = "gs://b/out"

// sendLate commits a part by a request that the service takes its time for. When it has
// come there, gone is called, with what ends the context of the commit.
func sendLate(t *testing.T, gone func(c *lateCommit, end context.CancelCauseFunc)) *lateCommit {
	t.Helper()
	server := cloudtest.Start(t, "b")
	c := &lateCommit{server: server, store: objects.NewCloud(server.Client(t)), ended: make(chan error, 1)}
	t.Cleanup(func() { _ = c.store.Close() })
	c.run = begin(t, c.store, lateFolder)
	ctx, end := context.WithCancelCause(t.Context())
	part, err := sinks.NewJSONL(c.run, c.store, sinks.JSONLConfig{}, sinks.OutputConfig{}).Open(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	write(t, part, 0, []pipeline.Instance{row("1")}, predicted("2"))
	here, release := make(chan struct{}), make(chan struct{})
	server.Fail(cloudtest.Fault{Op: cloudtest.Write, Name: "/commits/", Times: 1, Before: func(cloudtest.Request) {
		close(here)
		<-release
	}})
	go func() { c.ended <- errors.Join(part.Commit(ctx, &pipeline.Tally{}), part.Discard()) }()
	<-here
	gone(c, end)
	c.arrive = func() {
		close(release)
		for {
			switch _, err := c.store.Stat(t.Context(), lateFolder+"/_cpr-batch/commits/"+string(first)+".json"); {
			case errors.Is(err, objects.ErrNotExist):
			case err != nil:
				t.Fatal(err)
			default:
				return
			}
		}
	}
	return c
}

// wantPart demands that the next attempt finds the part as it was committed.
func (c *lateCommit) wantPart(t *testing.T) {
	t.Helper()
	if next := begin(t, c.store, lateFolder); !next.Committed(0) {
		t.Error("the part is not committed")
	}
	if got := string(c.server.Content(t, "b", "out/predictions-"+string(first)+".jsonl")); got != `{"instance":1,"prediction":2}`+"\n" {
		t.Errorf("the part holds %q", got)
	}
}

func TestNothingIsRemovedBeforeItIsKnownWhoHasCommitted(t *testing.T) {
	t.Parallel()
	s, store := inMemory("none")
	run := begin(t, store, s.folder)
	part := open(t, s.sink(run), first)
	write(t, part, 0, []pipeline.Instance{row("1"), row("2")}, predicted("2"), failed(raised))
	record := s.folder + "/_cpr-batch/commits/" + string(first) + ".json"
	store.After(func(op, name string) error { return faultIf(op == "commit" && name == record) })
	store.Before(func(op, name string) error { return faultIf(op == "stat" && name == record) })
	if err := part.Commit(t.Context(), &pipeline.Tally{}); !errors.Is(err, runs.ErrUnsure) || !errors.Is(err, errFault) {
		t.Fatalf("the commit ends with %v", err)
	}
	if err := part.Discard(); err != nil {
		t.Fatal(err)
	}
	store.After(nil)
	store.Before(nil)
	for _, kind := range []string{"predictions", "errors"} {
		if _, ok := store.Content(run.Work(kind + "-" + string(first) + ".jsonl")); !ok {
			t.Errorf("the part is committed, and its %s are removed", kind)
		}
	}
	begin(t, store, s.folder)
	if got, ok := store.Content(s.folder + "/predictions-" + string(first) + ".jsonl"); !ok || len(got) == 0 {
		t.Errorf("its predictions (there: %v) hold %q", ok, got)
	}
}

func TestACommitThatWasGivenUpMayStillCome(t *testing.T) {
	t.Parallel()
	why := errors.New("told to end")
	c := sendLate(t, func(_ *lateCommit, end context.CancelCauseFunc) { end(why) })
	if err := <-c.ended; !errors.Is(err, why) || !errors.Is(err, runs.ErrUnsure) {
		t.Errorf("the commit ends with %v", err)
	}
	c.arrive()
	c.wantPart(t)
}

func TestTheCommitOfAProcessThatIsGoneMayStillCome(t *testing.T) {
	t.Parallel()
	c := sendLate(t, func(c *lateCommit, end context.CancelCauseFunc) {
		c.bury(t)
		next := begin(t, c.store, lateFolder) // while the record is on its way
		if next.Committed(0) {
			t.Error("the part is committed before its record is there")
		}
	})
	c.arrive()
	if err := <-c.ended; err != nil { // to it, too, the service has replied
		t.Error(err)
	}
	c.wantPart(t)
	for _, name := range c.server.Names("b") {
		if strings.HasPrefix(name, "out/_cpr-batch/work/"+c.run.Attempt()) {
			t.Errorf("%s is left of a process that is gone", name)
		}
	}
}

// bury makes the process of the attempt one that is known not to live any more: none has
// so high a number.
func (c *lateCommit) bury(t *testing.T) {
	t.Helper()
	name := "out/_cpr-batch/work/" + c.run.Attempt() + "/process.json"
	var who map[string]any
	if err := json.Unmarshal(c.server.Content(t, "b", name), &who); err != nil {
		t.Fatal(err)
	}
	who["pid"] = 1 << 30
	data, err := json.Marshal(who)
	if err != nil {
		t.Fatal(err)
	}
	c.server.Put(t, cloudtest.Object{Bucket: "b", Name: name, Content: data})
}
