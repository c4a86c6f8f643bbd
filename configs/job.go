package configs

import (
	_ "embed"
	"time"
	_ "time/tzdata" // timezone: works on machines without a time zone database

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker"
	"github.com/cpr-batch/cpr-batch/sinks"
	"github.com/cpr-batch/cpr-batch/sources"
)

// Reference is the whole job file, every key with its meaning, unit and default.
//
//go:embed reference.yaml
var Reference string

// Job is a job file, decoded over the defaults.
type Job struct {
	Name     string `yaml:"name"`     // [a-z0-9-]
	Timezone string `yaml:"timezone"` // of ${date}

	Model      pyworker.ModelConfig   `yaml:"model"`
	Python     pyworker.PythonConfig  `yaml:"python"`
	Workers    pyworker.WorkersConfig `yaml:"workers"`
	Source     SourceConfig           `yaml:"source"`
	Instance   sources.InstanceConfig `yaml:"instance"`
	Batch      pipeline.BatchConfig   `yaml:"batch"`
	Sink       SinkConfig             `yaml:"sink"`
	Output     sinks.OutputConfig     `yaml:"output"`
	Errors     pipeline.ErrorsConfig  `yaml:"errors"`
	Limits     LimitsConfig           `yaml:"limits"`
	Expect     map[string]string      `yaml:"expect"`     // what must hold before a BigQuery load
	Checkpoint time.Duration          `yaml:"checkpoint"` // how often finished work inside a split is sealed
	Metrics    MetricsConfig          `yaml:"metrics"`

	// Path is the job file as it was named, "-" for standard input.
	Path string `yaml:"-"`
	// Dir is the absolute folder, or gs://bucket/folder, that relative paths are relative to: the job file's, or
	// the working directory where the job file came from standard input.
	Dir string `yaml:"-"`
	// Date is the run's date: what the clock shows in Timezone, as if it were UTC.
	Date time.Time `yaml:"-"`
	// Text is the job file as it was read: nothing is replaced in it.
	Text []byte `yaml:"-"`

	index index
}

// SourceConfig is the job file's `source`: exactly one is set.
type SourceConfig struct {
	JSONL    *sources.JSONLConfig    `yaml:"jsonl"`
	Parquet  *sources.ParquetConfig  `yaml:"parquet"`
	PubSub   *sources.PubSubConfig   `yaml:"pubsub"`
	BigQuery *sources.BigQueryConfig `yaml:"bigquery"`
}

// SinkConfig is the job file's `sink`: exactly one is set.
type SinkConfig struct {
	JSONL    *sinks.JSONLConfig    `yaml:"jsonl"`
	Parquet  *sinks.ParquetConfig  `yaml:"parquet"`
	BigQuery *sinks.BigQueryConfig `yaml:"bigquery"`
}

// LimitsConfig is the job file's `limits`.
type LimitsConfig struct {
	InstancesPerSecond float64 `yaml:"instances_per_second"` // over all workers; 0: none
}

// MetricsConfig is the job file's `metrics`.
type MetricsConfig struct {
	Listen string `yaml:"listen"` // host:port; "": none
}
