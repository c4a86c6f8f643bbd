package main

import (
	"encoding/json"
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
	for name, command := range map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"put": cloudPut, "get": cloudGet, "objects": cloudObjects, "fault": cloudFault, "heal": cloudHeal, "requests": cloudRequests,
	} {
		params.Cmds[name] = command
	}
	testscript.Run(t, params)
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

func cloudPut(ts *testscript.TestScript, _ bool, args []string) {
	bucket, name := place(ts, args[1])
	o := cloudtest.Object{Bucket: bucket, Name: name, Content: []byte(ts.ReadFile(args[0]))}
	if len(args) > 2 {
		o.ContentEncoding = args[2]
	}
	cloudOf(ts).Put(scriptT{ts: ts}, o)
}

func cloudGet(ts *testscript.TestScript, _ bool, args []string) {
	bucket, name := place(ts, args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), cloudOf(ts).Content(scriptT{ts: ts}, bucket, name), 0o666))
}

func cloudObjects(ts *testscript.TestScript, _ bool, args []string) {
	bucket, prefix := place(ts, args[0])
	found := map[string]bool{}
	for _, name := range cloudOf(ts).Names(bucket) {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		wanted := false
		for _, want := range args[1:] {
			begin, any := strings.CutSuffix(want, "*")
			if rest == want || any && strings.HasPrefix(rest, begin) {
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

func cloudFault(ts *testscript.TestScript, _ bool, args []string) {
	var f cloudtest.Fault
	ts.Check(json.Unmarshal([]byte(strings.Join(args, " ")), &f))
	cloudOf(ts).Fail(f)
}

func cloudHeal(ts *testscript.TestScript, _ bool, _ []string) { cloudOf(ts).Heal() }

func cloudRequests(ts *testscript.TestScript, _ bool, args []string) {
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
