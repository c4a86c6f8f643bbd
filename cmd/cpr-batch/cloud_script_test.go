package main

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cpr-batch/cpr-batch/pipeline/objects/cloudtest"
)

// TestCloudScripts runs the scenarios of testdata/cloud: those of testdata/scripts with a
// Cloud Storage of their own in the test, which the program finds by
// STORAGE_EMULATOR_HOST. It has the buckets in, out and code. Besides the commands of the
// others they use
//
//	put FILE gs://bucket/name [gzip]   store a file; gzip: as Content-Encoding
//	get gs://bucket/name FILE          fetch an object
//	objects gs://bucket/prefix NAME... exactly these names, behind the prefix, are there;
//	                                   a name that ends in * stands for any that begin so
//	fault JSON                         let requests fail, as cloudtest.Fault says
//	happened                           all faults did that were to happen a number of times
//	heal                               no faults any more
//	requests OP NAME N                 so many requests of a kind were made for names that hold NAME
func TestCloudScripts(t *testing.T) {
	t.Parallel()
	params := scriptParams(t, pythonFolder(t))
	params.Dir = "testdata/cloud"
	setup := params.Setup
	params.Setup = func(env *testscript.Env) error {
		s, err := cloudtest.New("in", "out", "code")
		if err != nil {
			return err
		}
		env.Defer(s.Close)
		env.Setenv("STORAGE_EMULATOR_HOST", s.Host())
		env.Values[cloudKey{}] = s
		return setup(env)
	}
	for name, c := range map[string]cloudCommand{
		"put": {cloudPut, 2, 3}, "get": {cloudGet, 2, 2}, "objects": {cloudObjects, 1, math.MaxInt}, "fault": {cloudFault, 1, math.MaxInt},
		"happened": {cloudHappened, 0, 0}, "heal": {cloudHeal, 0, 0}, "requests": {cloudRequests, 3, 3},
	} {
		params.Cmds[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < c.fewest || len(args) > c.most {
				ts.Fatalf("%s is used wrongly: the test's comment says how", name)
			}
			c.do(ts, args)
		}
	}
	testscript.Run(t, params)
}

// cloudCommand is a command of a scenario, which takes so many arguments.
type cloudCommand struct {
	do           func(ts *testscript.TestScript, args []string)
	fewest, most int
}

type cloudKey struct{}

func cloudOf(ts *testscript.TestScript) *cloudtest.Server {
	return ts.Value(cloudKey{}).(*cloudtest.Server)
}

// scriptT lets the server's own helpers fail a scenario.
type scriptT struct {
	testing.TB
	ts *testscript.TestScript
}

func (s scriptT) Helper()                           {}
func (s scriptT) Fatal(args ...any)                 { s.ts.Fatalf("%v", args) }
func (s scriptT) Fatalf(format string, args ...any) { s.ts.Fatalf(format, args...) }

func place(ts *testscript.TestScript, uri string) (bucket, name string) {
	bucket, name, ok := strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
	if !ok || !strings.HasPrefix(uri, "gs://") {
		ts.Fatalf("%s is not gs://bucket/name", uri)
	}
	return bucket, name
}

func cloudPut(ts *testscript.TestScript, args []string) {
	bucket, name := place(ts, args[1])
	o := cloudtest.Object{Bucket: bucket, Name: name, Content: []byte(ts.ReadFile(args[0]))}
	if len(args) > 2 {
		o.ContentEncoding = args[2]
	}
	cloudOf(ts).Put(scriptT{ts: ts}, o)
}

func cloudGet(ts *testscript.TestScript, args []string) {
	bucket, name := place(ts, args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), cloudOf(ts).Content(scriptT{ts: ts}, bucket, name), 0o666))
}

func cloudObjects(ts *testscript.TestScript, args []string) {
	bucket, prefix := place(ts, args[0])
	found := map[string]bool{}
	for _, name := range cloudOf(ts).Names(bucket) {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		wanted := false
		for _, want := range args[1:] {
			begin, isPattern := strings.CutSuffix(want, "*")
			if rest == want || isPattern && strings.HasPrefix(rest, begin) {
				wanted = true
				found[want] = true
			}
		}
		if !wanted {
			ts.Fatalf("there is also %s", name)
		}
	}
	for _, want := range args[1:] {
		if !found[want] {
			ts.Fatalf("there is no %s%s", args[0], want)
		}
	}
}

func cloudFault(ts *testscript.TestScript, args []string) {
	var f cloudtest.Fault
	ts.Check(json.Unmarshal([]byte(strings.Join(args, " ")), &f))
	cloudOf(ts).Fail(f)
}

func cloudHappened(ts *testscript.TestScript, _ []string) {
	if n := cloudOf(ts).Pending(); n > 0 {
		ts.Fatalf("%d faults did not happen, or not as often as they were to", n)
	}
}

func cloudHeal(ts *testscript.TestScript, _ []string) { cloudOf(ts).Heal() }

func cloudRequests(ts *testscript.TestScript, args []string) {
	n := 0
	for _, r := range cloudOf(ts).Requests() {
		if string(r.Op) == args[0] && strings.Contains("gs://"+r.Bucket+"/"+r.Name, args[1]) {
			n++
		}
	}
	want, err := strconv.Atoi(args[2])
	ts.Check(err)
	if n != want {
		ts.Fatalf("%d requests of %s for %s; want %d", n, args[0], args[1], want)
	}
}
