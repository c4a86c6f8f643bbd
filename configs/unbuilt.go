package configs

// notBuilt is said of what the job file describes and this version can not do.
const notBuilt = "not built yet in this version"

// Unbuilt tells which keys have a value that is not built yet in this version; Problems,
// as Load's error. Load has checked it already.
func (j *Job) Unbuilt() error {
	var p problems
	unbuilt(j, &p)
	name := j.Path
	if name == "" {
		name = "the job file"
	}
	return p.err(name)
}

func unbuilt(j *Job, p *problems) {
	u := unbuiltChecker{job: j, problems: p}
	u.kinds()
	w, m := &j.Workers, &j.Model
	u.refuse(w.Start == "fork", "workers.start", "fork is "+notBuilt+": write auto, or spawn")
	u.refuse(w.Concurrency != 1, "workers.concurrency", "more than one call at a time is "+notBuilt+": write 1")
	u.refuse(j.Instance.As != "json", "instance.as", "numpy arrays are "+notBuilt+": write json")
	u.refuse(j.Limits.InstancesPerSecond != 0, "limits.instances_per_second", "a limit is "+notBuilt+": write 0")
	u.refuse(len(j.Expect) > 0, "expect", "is "+notBuilt)
	u.refuse(j.Metrics.Listen != "", "metrics.listen", "is "+notBuilt)
	u.refuse(j.Python.ServiceAccount != "", "python.service_account", "is "+notBuilt)
	u.refuse(j.Python.Identity != "enforced", "python.identity", "is "+notBuilt+": leave it out")
	u.refuse(m.Interface == "vertex" || m.Interface == "function", "model.interface",
		"this interface is "+notBuilt+": write ai_platform, or auto")
	u.refuse(len(j.Output.Message) > 0, "output.message", "is "+notBuilt)
}

type unbuiltChecker struct {
	job      *Job
	problems *problems
}

// refuse tells a problem with a key, placed where the job file has it.
func (u *unbuiltChecker) refuse(wrong bool, path, message string) {
	if !wrong {
		return
	}
	q := Problem{Key: path, Message: message}
	if n := u.job.index[path]; n != nil {
		q.File, q.Line, q.Column, q.Value = n.at.file, n.at.line, n.at.column, n.show()
		if n.kind == kindList || n.kind == kindMapping {
			q.Line, q.Column, q.Value = n.key.line, n.key.column, ""
		}
	}
	u.problems.add(q)
}

// kinds refuses the kinds of sources and sinks that are not there yet.
func (u *unbuiltChecker) kinds() {
	const other = "this kind is " + notBuilt + ": write jsonl"
	u.refuse(u.job.Source.Parquet != nil, "source.parquet", other)
	u.refuse(u.job.Source.PubSub != nil, "source.pubsub", other)
	u.refuse(u.job.Source.BigQuery != nil, "source.bigquery", other)
	u.refuse(u.job.Sink.Parquet != nil, "sink.parquet", other)
	u.refuse(u.job.Sink.BigQuery != nil, "sink.bigquery", other)
}
