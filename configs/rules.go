package configs

import (
	"maps"
	"net"
	"regexp"
	"strings"
	"unicode"
)

const (
	writeEmpty  = "WRITE_EMPTY"
	writeAppend = "WRITE_APPEND"
)

// rule is what one key allows beyond its type. Paths of list items end in [].
type rule struct {
	required bool
	enum     []string
	min, max *float64
	above    *float64 // exclusive
	syntax   syntax
}

// syntax is the form of a text.
type syntax struct {
	allowed string // in words
	valid   func(string) bool
}

func bound(f float64) *float64 { return &f }

// rules is what the keys of a job file allow.
func rules() map[string]rule {
	all := ownRules()
	maps.Copy(all, endRules())
	return all
}

// ownRules is what the keys allow that are neither of a source nor of a sink.
func ownRules() map[string]rule {
	positive := rule{above: bound(0)}
	notNegative := rule{min: bound(0)}
	names := rule{syntax: fieldName}
	return map[string]rule{
		"name": {syntax: jobName},

		"model.origin":           {syntax: uri},
		"model.package_uris[]":   {syntax: uri},
		"model.prediction_class": {required: true, syntax: className},
		"model.interface":        {enum: []string{"auto", "ai_platform", "vertex", "function"}},
		"model.max_size":         positive,

		"python.identity":        {enum: []string{"enforced", "cooperative"}},
		"python.service_account": {syntax: account},

		"workers.gpus":            {enum: []string{"auto", "none"}},
		"workers.start":           {enum: []string{"auto", "spawn", "fork"}},
		"workers.encoding":        {enum: []string{"auto", "json"}},
		"workers.concurrency":     {min: bound(1)},
		"workers.load_timeout":    positive,
		"workers.predict_timeout": positive,
		"workers.max_requests":    notNegative,

		"instance.instance_type":     {enum: []string{"", "object", "array"}},
		"instance.included_fields[]": names,
		"instance.excluded_fields[]": names,
		"instance.as":                {enum: []string{"json", "ndarray", "ndarray32"}},

		"batch.max_bytes":   positive,
		"batch.max_latency": positive,

		"output.message[]":  {enum: []string{"message_id", "publish_time", "attributes"}},
		"output.non_finite": {enum: []string{"error", "null", "string"}},

		"errors.max_failures":      {min: bound(-1)},
		"errors.max_failure_ratio": {min: bound(0), max: bound(1)},
		"errors.min_instances":     notNegative,
		"errors.retry_on[]":        {syntax: exceptionName},
		"errors.retries":           notNegative,

		"limits.instances_per_second": notNegative,

		"checkpoint": positive,

		"metrics.listen": {syntax: address},
	}
}

// endRules is what the keys of sources and sinks allow.
func endRules() map[string]rule {
	positive := rule{above: bound(0)}
	folder := rule{required: true, syntax: uri}
	names := rule{syntax: fieldName}
	return map[string]rule{
		"source.jsonl.uris":       {required: true},
		"source.jsonl.uris[]":     {syntax: uri},
		"source.jsonl.split_size": positive,
		"source.jsonl.max_line":   positive,

		"source.parquet.uris":       {required: true},
		"source.parquet.uris[]":     {syntax: uri},
		"source.parquet.split_size": positive,
		"source.parquet.columns[]":  names,

		"source.pubsub.subscription":             {required: true, syntax: subscription},
		"source.pubsub.payload":                  {enum: []string{"instance", "request", "notification"}},
		"source.pubsub.max_outstanding_messages": positive,
		"source.pubsub.max_outstanding_bytes":    positive,

		"source.bigquery.table":             {syntax: table},
		"source.bigquery.selected_fields[]": names,

		"sink.jsonl.uri":                  folder,
		"sink.jsonl.compression":          {enum: []string{"none", "gzip", "zstd"}},
		"sink.jsonl.window.max_instances": positive,
		"sink.jsonl.window.max_bytes":     positive,
		"sink.jsonl.window.max_age":       positive,

		"sink.parquet.uri":         folder,
		"sink.parquet.compression": {enum: []string{"none", "snappy", "gzip", "zstd"}},
		"sink.parquet.schema":      {syntax: uri},

		"sink.bigquery.table":              {required: true, syntax: partition},
		"sink.bigquery.uri":                {syntax: uri},
		"sink.bigquery.write_disposition":  {enum: []string{writeEmpty, "WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA", writeAppend}},
		"sink.bigquery.create_disposition": {enum: []string{"CREATE_IF_NEEDED", "CREATE_NEVER"}},
		"sink.bigquery.prediction":         {enum: []string{"json", "columns"}},
		"sink.bigquery.instance_as":        {enum: []string{"json", "string", "none"}},
		"sink.bigquery.errors_table":       {syntax: table},
		"sink.bigquery.cluster_by[]":       names,
	}
}

var (
	jobNamePattern      = regexp.MustCompile(`^[a-z0-9-]+$`)
	schemePattern       = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`)
	subscriptionPattern = regexp.MustCompile(`^projects/[^/\s]+/subscriptions/[^/\s]+$`)
	tablePattern        = regexp.MustCompile(`^[A-Za-z0-9:._-]*[A-Za-z0-9_-]\.[A-Za-z0-9_]+\.[^.$\s/]+$`)
	partitionPattern    = regexp.MustCompile(`\$[0-9A-Za-z_]+$`)
	expectPattern       = regexp.MustCompile(`^(?:[<>]=?|=)?\s*[0-9]+(?:\.[0-9]+)?\s*%?$`)
	variablePattern     = namePattern
)

var (
	jobName      = syntax{"write small letters, digits and - only: churn-nightly", jobNamePattern.MatchString}
	className    = syntax{"write a module and a class in it: predictor.MyPredictor", isClassName}
	subscription = syntax{"write projects/PROJECT/subscriptions/NAME", subscriptionPattern.MatchString}
	table        = syntax{"write project.dataset.table", tablePattern.MatchString}
	partition    = syntax{"write project.dataset.table, with $20261122 behind it for a partition", isPartition}
	fieldName    = syntax{"is no name of a field", func(s string) bool { return s != "" }}

	exceptionName = syntax{"write an exception as Python names it: TimeoutError, requests.exceptions.Timeout", isDotted}
	account       = syntax{"write a service account's address: name@project.iam.gserviceaccount.com", isAccount}
	address       = syntax{"write host:port: localhost:9090, or :9090", isAddress}
	uri           = syntax{"the scheme is not known: write gs://bucket/name, or a path without a scheme", isURI}
)

// isURI says whether s is a path, or an object in Cloud Storage.
func isURI(s string) bool {
	m := schemePattern.FindStringSubmatch(s)
	if m == nil {
		return true
	}
	bucket, _, _ := strings.Cut(strings.TrimPrefix(s, m[0]), "/")
	return m[1] == "gs" && bucket != ""
}

func isClassName(s string) bool { return strings.Contains(s, ".") && isDotted(s) }

// isDotted says whether s is one or more of Python's identifiers, joined by dots.
func isDotted(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		for i, r := range part {
			if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r) && !unicode.IsMark(r)) {
				return false
			}
		}
		if part == "" {
			return false
		}
	}
	return true
}

func isPartition(s string) bool {
	return tablePattern.MatchString(partitionPattern.ReplaceAllString(s, ""))
}

func isAccount(s string) bool {
	name, domain, ok := strings.Cut(s, "@")
	return ok && name != "" && domain != "" && !strings.ContainsAny(s, " \t/")
}

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = net.LookupPort("tcp", port)
	return err == nil
}
