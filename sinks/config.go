package sinks

import (
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// JSONLConfig is the job file's `sink.jsonl`.
type JSONLConfig struct {
	URI         string       `yaml:"uri"`         // a folder
	Compression string       `yaml:"compression"` // none, gzip, zstd
	Window      WindowConfig `yaml:"window"`
}

// WindowConfig bounds one window of a stream.
type WindowConfig struct {
	MaxInstances int64          `yaml:"max_instances"`
	MaxBytes     pipeline.Bytes `yaml:"max_bytes"`
	MaxAge       time.Duration  `yaml:"max_age"`
}

// ParquetConfig is the job file's `sink.parquet`.
type ParquetConfig struct {
	URI         string `yaml:"uri"`
	Compression string `yaml:"compression"`
	Schema      string `yaml:"schema"` // a file with the columns' types
}

// BigQueryConfig is the job file's `sink.bigquery`.
type BigQueryConfig struct {
	Table             string            `yaml:"table"` // project.dataset.table
	URI               string            `yaml:"uri"`   // the run's home
	WriteDisposition  string            `yaml:"write_disposition"`
	AllowEmpty        bool              `yaml:"allow_empty"`
	AllowOlder        bool              `yaml:"allow_older"`
	CreateDisposition string            `yaml:"create_disposition"`
	Prediction        string            `yaml:"prediction"`  // json, columns
	InstanceAs        string            `yaml:"instance_as"` // json, string, none
	KeepStaging       bool              `yaml:"keep_staging"`
	ErrorsTable       string            `yaml:"errors_table"`
	PartitionBy       string            `yaml:"partition_by"`
	ClusterBy         []string          `yaml:"cluster_by"`
	Labels            map[string]string `yaml:"labels"`
	Location          string            `yaml:"location"`
	KMSKey            string            `yaml:"kms_key"`
	Dedupe            bool              `yaml:"dedupe"` // streams: upsert by message ID
}

// OutputConfig is the job file's `output`.
type OutputConfig struct {
	Instance  pipeline.Echo `yaml:"instance"`   // full, none, or fields
	Message   []string      `yaml:"message"`    // streams
	NonFinite string        `yaml:"non_finite"` // error, null, string
}
