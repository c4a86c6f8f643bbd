package configs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// checker holds the keys of a decoded job file against each other.
type checker struct {
	*decoder
	job    *Job
	memory int64
	root   place
	// folders are the folders whose links were followed already.
	folders map[string]string
}

func (c *checker) check() {
	c.one("source", []string{"jsonl", "parquet", "pubsub", "bigquery"})
	c.one("sink", []string{"jsonl", "parquet", "bigquery"})
	for _, path := range slices.Sorted(maps.Keys(c.rules)) {
		if c.rules[path].required {
			c.require(path)
		}
	}
	c.environment()
	c.instance()
	c.streams()
	c.bigQuery()
	c.expect()
	c.sizes()
	c.overlaps()
}

// has says whether the job file has a key, or was meant to have it.
func (c *checker) has(path string) bool { return c.index[path] != nil || c.meant[path] }

// tell adds a problem with a key, placed at its value or at the nearest section around it.
func (c *checker) tell(path, message string) {
	n := c.index[path]
	if n != nil && n.kind != kindList && n.kind != kindMapping {
		c.fail(n, path, message)
		return
	}
	if n != nil {
		c.tellName(path, message)
		return
	}
	at := c.root
	for section, _ := split(path); section != ""; section, _ = split(section) {
		if n := c.index[section]; n != nil {
			at = n.key
			break
		}
	}
	c.problems.add(Problem{File: at.file, Line: at.line, Column: at.column, Key: path, Message: message})
}

// require tells that a required key is absent, unless its whole section is and may be.
func (c *checker) require(path string) {
	section, _ := split(path)
	optional := strings.HasPrefix(path, "source.") || strings.HasPrefix(path, "sink.")
	switch {
	case c.has(path):
		if n := c.index[path]; n.isEmptyList() {
			c.tell(path, "the list is empty")
		}
	case c.meant[section], optional && c.index[section] == nil:
	case c.index[section] != nil && c.index[section].kind != kindMapping:
	default:
		c.tell(path, "is missing"+example(path))
	}
}

// example is what a required key looks like.
func example(path string) string {
	switch path {
	case "model.prediction_class":
		return ": write the Predictor's module and class, predictor.MyPredictor"
	case "source.jsonl.uris":
		return ": write where the instances are, [instances.jsonl]"
	case "sink.jsonl.uri":
		return ": write a folder for the output, out/"
	}
	return ""
}

func (n *node) isEmptyList() bool { return n != nil && n.kind == kindList && len(n.items) == 0 }

// one tells when not exactly one of the kinds of a section is there.
func (c *checker) one(section string, kinds []string) {
	var found []string
	meant := c.meant[section]
	for _, k := range kinds {
		if c.index[join(section, k)] != nil {
			found = append(found, k)
		}
		meant = meant || c.meant[join(section, k)]
	}
	switch n := c.index[section]; {
	case len(found) == 1, n != nil && (n.broken || n.kind != kindMapping):
	case len(found) > 1:
		for _, k := range found[1:] {
			c.tell(join(section, k), "is a second "+section+" beside "+found[0]+": exactly one is needed")
		}
	case meant, n != nil && n.hasOther(kinds):
	default:
		c.tell(section, "is missing: write one of "+either(kinds))
	}
}

// hasOther says whether a mapping has a key that is not among names.
func (n *node) hasOther(names []string) bool {
	return slices.ContainsFunc(n.fields, func(f field) bool { return !slices.Contains(names, f.name) })
}

func (c *checker) environment() {
	for _, name := range slices.Sorted(maps.Keys(c.job.Python.Env)) {
		path := join("python.env", name)
		switch {
		case !variablePattern.MatchString(name):
			c.tellName(path, "is no name of a variable: letters, digits and _, not beginning with a digit")
		case strings.HasPrefix(name, "CPR_BATCH_"):
			c.tellName(path, "names that begin with CPR_BATCH_ are the program's own")
		}
	}
}

// tellName adds a problem placed at a key; its value is not shown.
func (c *checker) tellName(path, message string) {
	at := c.root
	if n := c.index[path]; n != nil {
		at = n.key
		if at.line == 0 {
			at = n.at
		}
	}
	c.problems.add(Problem{File: at.file, Line: at.line, Column: at.column, Key: path, Message: message})
}

func (c *checker) instance() {
	i := &c.job.Instance
	if len(i.IncludedFields) > 0 && len(i.ExcludedFields) > 0 {
		c.tell("instance.excluded_fields", "included_fields is there too: one of them, not both")
	}
	if i.KeyField != "" && slices.Contains(i.IncludedFields, i.KeyField) {
		c.tell("instance.key_field", "is in included_fields too, but the Predictor does not see the key")
	}
	for path, fields := range map[string][]string{
		"instance.included_fields": i.IncludedFields, "instance.excluded_fields": i.ExcludedFields,
	} {
		if at := duplicate(fields); at >= 0 {
			c.tell(fmt.Sprintf("%s[%d]", path, at), "the field is there twice")
		}
	}
}

// streams checks what only a stream can get wrong: a batch that never fills.
func (c *checker) streams() {
	s := c.job.Source.PubSub
	if s == nil {
		return
	}
	size := int64(c.job.Batch.Size)
	workers := int64(c.job.Workers.Count)
	outstanding := int64(s.MaxOutstandingMessages)
	switch {
	case size > outstanding:
		c.tell("batch.size", "never fills: it is more than source.pubsub.max_outstanding_messages")
	case size > 0 && workers > 0 && size > outstanding/(workers+1):
		c.tell("batch.size", "stalls: a batch for each of workers.count and one more is over source.pubsub.max_outstanding_messages")
	}
	if sink := c.job.Sink.JSONL; sink != nil && size > sink.Window.MaxInstances {
		c.tell("batch.size", "never fills: it is more than sink.jsonl.window.max_instances")
	}
}

func (c *checker) bigQuery() {
	if s := c.job.Source.BigQuery; s != nil {
		switch {
		case c.has("source.bigquery.table") && c.has("source.bigquery.query"):
			c.tell("source.bigquery.query", "table is there too: one of them, not both")
		case !c.has("source.bigquery.table") && !c.has("source.bigquery.query"):
			c.tell("source.bigquery.table", "is missing: write table, or query")
		}
	}
	s := c.job.Sink.BigQuery
	if s == nil {
		return
	}
	stream := c.job.Source.PubSub != nil
	const disposition = "sink.bigquery.write_disposition"
	switch {
	case !stream:
	case !c.has(disposition):
		s.WriteDisposition = writeAppend
	case s.WriteDisposition != writeAppend:
		c.tell(disposition, "a stream only appends: write "+writeAppend)
	}
	if !c.has("sink.bigquery.uri") && !(stream && c.has("sink.bigquery.errors_table")) {
		c.tell("sink.bigquery.uri", "is missing: write a folder for the run's own files")
	}
	if s.Dedupe && !stream {
		c.tell("sink.bigquery.dedupe", "is for streams only")
	}
}

func (c *checker) expect() {
	known := []string{"instances", "change_vs_last", "failed", "nulls"}
	for _, name := range slices.Sorted(maps.Keys(c.job.Expect)) {
		path := join("expect", name)
		switch {
		case !slices.Contains(known, name):
			message := "unknown key; write " + either(known)
			if near := nearest(known, name); near != "" {
				message += "; did you mean expect." + near + "?"
			}
			c.tellName(path, message)
		case !expectPattern.MatchString(c.job.Expect[name]):
			c.tell(path, `write a bound: ">=1000000", "<1%", 20%`)
		}
	}
}

// sizes checks what must fit into memory.
func (c *checker) sizes() {
	if c.memory <= 0 {
		return
	}
	fits := func(path string, size pipeline.Bytes) {
		if int64(size) > c.memory && c.has(path) {
			c.tell(path, fmt.Sprintf("is more than the memory there is, %d MiB", c.memory>>20))
		}
	}
	fits("batch.max_bytes", c.job.Batch.MaxBytes)
	if s := c.job.Source.JSONL; s != nil {
		fits("source.jsonl.max_line", s.MaxLine)
	}
	if s := c.job.Source.PubSub; s != nil {
		fits("source.pubsub.max_outstanding_bytes", s.MaxOutstandingBytes)
	}
}
