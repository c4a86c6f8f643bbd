package sources

import "github.com/cpr-batch/cpr-batch/pipeline"

// JSONLConfig is the job file's `source.jsonl`.
type JSONLConfig struct {
	URIs       []string       `yaml:"uris"`        // globs, folders, files
	AllowEmpty bool           `yaml:"allow_empty"` // a glob that matches nothing is no error
	SplitSize  pipeline.Bytes `yaml:"split_size"`
	MaxLine    pipeline.Bytes `yaml:"max_line"`
	Field      string         `yaml:"field"` // take this field of each line as the instance
}

// ParquetConfig is the job file's `source.parquet`.
type ParquetConfig struct {
	URIs       []string       `yaml:"uris"`
	AllowEmpty bool           `yaml:"allow_empty"`
	SplitSize  pipeline.Bytes `yaml:"split_size"`
	Columns    []string       `yaml:"columns"` // empty: all
}

// PubSubConfig is the job file's `source.pubsub`.
type PubSubConfig struct {
	Subscription           string         `yaml:"subscription"` // projects/P/subscriptions/S
	Payload                string         `yaml:"payload"`      // instance, request, notification
	MaxOutstandingMessages int            `yaml:"max_outstanding_messages"`
	MaxOutstandingBytes    pipeline.Bytes `yaml:"max_outstanding_bytes"`
	AllowUnordered         bool           `yaml:"allow_unordered"`
}

// BigQueryConfig is the job file's `source.bigquery`.
type BigQueryConfig struct {
	Table          string   `yaml:"table"` // project.dataset.table
	Query          string   `yaml:"query"` // instead of Table
	SelectedFields []string `yaml:"selected_fields"`
	RowRestriction string   `yaml:"row_restriction"`
}

// InstanceConfig is the job file's `instance`: what the Predictor sees of a row, in the
// words of Vertex AI's instanceConfig.
type InstanceConfig struct {
	InstanceType   string   `yaml:"instance_type"` // "", object, array
	KeyField       string   `yaml:"key_field"`
	IncludedFields []string `yaml:"included_fields"`
	ExcludedFields []string `yaml:"excluded_fields"`
	As             string   `yaml:"as"` // json, ndarray, ndarray32
}
