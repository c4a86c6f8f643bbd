package configs_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
)

func TestWhatIsNotBuiltIsRefused(t *testing.T) {
	t.Parallel()
	text := `model: {prediction_class: p.P, origin: gs://b/m, package_uris: [code, gs://b/p.tar.gz], interface: vertex}
python: {requirements: gs://b/r.txt, service_account: a@b.c, identity: cooperative}
workers: {start: fork, concurrency: 2}
source: {jsonl: {uris: [a.jsonl, gs://b/*.jsonl]}}
instance: {as: ndarray}
sink: {jsonl: {uri: gs://b/out}}
output: {message: [message_id]}
limits: {instances_per_second: 5}
expect: {failed: "<1%"}
metrics: {listen: ":9090"}
`
	const (
		tail = " not built yet in this version"
	)
	want := []string{
		`1:100: model.interface: "vertex": this interface is` + tail + ": write ai_platform, or auto",
		`2:55: python.service_account: "a@b.c": is` + tail,
		`2:72: python.identity: "cooperative": is` + tail + ": leave it out",
		`3:18: workers.start: "fork": fork is` + tail + ": write auto, or spawn",
		`3:37: workers.concurrency: 2: more than one call at a time is` + tail + ": write 1",
		`5:16: instance.as: "ndarray": numpy arrays are` + tail + ": write json",
		`7:10: output.message: is` + tail,
		`8:32: limits.instances_per_second: 5: a limit is` + tail + ": write 0",
		`9:1: expect: is` + tail,
		`10:19: metrics.listen: ":9090": is` + tail,
	}
	if diff := cmp.Diff(want, problemsOf(t, options(text))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestKindsThatAreNotBuiltAreRefused(t *testing.T) {
	t.Parallel()
	for section, text := range map[string]string{
		"source.parquet":  "source: {parquet: {uris: [a]}}\nsink: {jsonl: {uri: out}}",
		"source.pubsub":   "source: {pubsub: {subscription: projects/a/subscriptions/b}}\nsink: {jsonl: {uri: out}}",
		"source.bigquery": "source: {bigquery: {table: a.b.c}}\nsink: {jsonl: {uri: out}}",
		"sink.parquet":    "source: {jsonl: {uris: [a]}}\nsink: {parquet: {uri: out}}",
		"sink.bigquery":   "source: {jsonl: {uris: [a]}}\nsink: {bigquery: {table: a.b.c, uri: out}}",
	} {
		t.Run(section, func(t *testing.T) {
			t.Parallel()
			got := problemsOf(t, options("model: {prediction_class: p.P}\n"+text+"\n"))
			if want := section + ": this kind is not built yet in this version: write jsonl"; len(got) != 1 || !strings.HasSuffix(got[0], want) {
				t.Errorf("problems = %q, want %q", got, want)
			}
		})
	}
}

func TestDefaultsWrittenOutAreNotRefused(t *testing.T) {
	t.Parallel()
	mustLoad(t, options(`model: {prediction_class: p.P, interface: auto}
python: {service_account: "", identity: enforced}
workers: {gpus: auto, start: auto, concurrency: 1, encoding: json}
source: {jsonl: {uris: [a.jsonl]}}
instance: {as: json}
sink: {jsonl: {uri: out, window: {max_age: 5m}}}
output: {message: []}
limits: {instances_per_second: 0}
expect: {}
checkpoint: 5m
metrics: {listen: ""}
`))
}

func TestUnbuiltOfAJobWithoutAFile(t *testing.T) {
	t.Parallel()
	job := configs.Default()
	if err := job.Unbuilt(); err != nil {
		t.Errorf("default: %v", err)
	}
	job.Instance.As = "ndarray"
	var p configs.Problems
	if err := job.Unbuilt(); !errors.As(err, &p) || p.Error() != "instance.as: numpy arrays are not built yet in this version: write json" {
		t.Errorf("error = %v", err)
	}
	var e *pipeline.Error
	if !errors.As(job.Unbuilt(), &e) || e.Remedy != pipeline.FixConfig {
		t.Errorf("error = %#v", e)
	}
}
