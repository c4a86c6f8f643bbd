package configs

import (
	"reflect"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker"
	"github.com/cpr-batch/cpr-batch/sinks"
	"github.com/cpr-batch/cpr-batch/sources"
)

const (
	kib pipeline.Bytes = 1 << 10
	mib                = kib << 10
	gib                = mib << 10
)

// Default is a job file without a key: no model, no source, no sink.
func Default() *Job {
	return &Job{
		Timezone: "UTC",
		Model:    pyworker.ModelConfig{Interface: "auto", MaxSize: 10 * gib},
		Python:   pyworker.PythonConfig{Interpreter: "python3", Identity: "enforced"},
		Workers: pyworker.WorkersConfig{
			GPUs: "auto", Start: "auto", Concurrency: 1, Encoding: "auto",
			LoadTimeout: 10 * time.Minute, PredictTimeout: 5 * time.Minute,
		},
		Instance:   sources.InstanceConfig{As: "json"},
		Batch:      pipeline.BatchConfig{MaxBytes: 8 * mib, MaxLatency: 500 * time.Millisecond},
		Output:     sinks.OutputConfig{NonFinite: "error"},
		Errors:     pipeline.ErrorsConfig{MaxFailures: -1, MaxFailureRatio: 0.01, MinInstances: 1000, Retries: 3},
		Checkpoint: 2 * time.Minute,
	}
}

// newSection makes the section behind a pointer of SourceConfig or SinkConfig, with its
// defaults: t is the type that it points to.
func newSection(t reflect.Type) reflect.Value {
	section := reflect.New(t)
	switch c := section.Interface().(type) {
	case *sources.JSONLConfig:
		*c = sources.JSONLConfig{SplitSize: 64 * mib, MaxLine: 16 * mib}
	case *sources.ParquetConfig:
		*c = sources.ParquetConfig{SplitSize: 64 * mib}
	case *sources.PubSubConfig:
		*c = sources.PubSubConfig{Payload: "instance", MaxOutstandingMessages: 10000, MaxOutstandingBytes: gib}
	case *sinks.JSONLConfig:
		*c = sinks.JSONLConfig{Compression: "none", Window: sinks.WindowConfig{
			MaxInstances: 100000, MaxBytes: 128 * mib, MaxAge: time.Minute,
		}}
	case *sinks.ParquetConfig:
		*c = sinks.ParquetConfig{Compression: "zstd"}
	case *sinks.BigQueryConfig:
		*c = sinks.BigQueryConfig{
			WriteDisposition: writeEmpty, CreateDisposition: "CREATE_IF_NEEDED",
			Prediction: "json", InstanceAs: "json",
		}
	}
	return section
}
