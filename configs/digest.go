package configs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
	"github.com/cpr-batch/cpr-batch/pyworker"
)

// Digest is what decides the output of a run of this job, by named parts: two runs with
// the same digest write the same. How many workers predict, in batches of what size, and
// how many failures are allowed are not in it; the files that are read runs.Begin adds. The
// text of python.requirements is what pyworker.RequirementsText gives. What makes the
// predictions may be replaced while a run is under way, where the user says so.
func (j *Job) Digest(model []pyworker.Print, python pyworker.Interpreter, requirements string) runs.Digest {
	var d runs.Digest
	source := j.Source.JSONL
	d.Show("source.jsonl.split_size", source.SplitSize.String())
	d.Show("source.jsonl.max_line", source.MaxLine.String())
	d.Show("source.jsonl.field", source.Field)
	d.Show("instance.instance_type", j.Instance.InstanceType)
	d.Show("instance.key_field", j.Instance.KeyField)
	d.Show("instance.included_fields", list(j.Instance.IncludedFields))
	d.Show("instance.excluded_fields", list(j.Instance.ExcludedFields))
	d.Show("instance.as", j.Instance.As)
	d.Show("sink", "jsonl")
	d.Show("sink.jsonl.compression", j.Sink.JSONL.Compression)
	d.Show("output.instance", echo(j.Output.Instance))
	d.Show("output.non_finite", j.Output.NonFinite)
	d.Show("model.prediction_class", j.Model.PredictionClass)
	d.Show("model.interface", j.Model.Interface)
	d.Show("model.decode_b64", fmt.Sprint(j.Model.DecodeB64))
	d.Hide("model.kwargs", string(j.Model.Kwargs))
	files := make([]runs.File, len(model))
	for i, p := range model {
		files[i] = runs.File{Name: p.Name, Sum: p.Sum}
	}
	d.Add("model and packages", files)
	d.Replaceable()
	var env strings.Builder
	for _, name := range slices.Sorted(maps.Keys(j.Python.Env)) {
		fmt.Fprintf(&env, "%q=%q\n", name, j.Python.Env[name])
	}
	d.Hide("python.env", env.String())
	d.Replaceable()
	d.Hide("python.requirements", requirements)
	d.Replaceable()
	d.Show("python", fmt.Sprintf("%s %d.%d", python.Implementation, python.Version[0], python.Version[1]))
	d.Replaceable()
	return d
}

// Resolve returns the name by which a store knows a name in the job file: relative ones are
// relative to the job file's folder.
func (j *Job) Resolve(name string) string { return objects.Join(j.Dir, name) }

func list(names []string) string { return strings.Join(names, ", ") }

func echo(e pipeline.Echo) string {
	switch {
	case e.None:
		return "none"
	case len(e.Fields) > 0:
		return list(e.Fields)
	}
	return "full"
}
