package configs

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Options say which job file is loaded, and with what.
type Options struct {
	Path  string            // the job file; "-": Stdin
	Stdin io.Reader         // read where Path is "-"
	Vars  map[string]string // of ${NAME}, before the environment
	Set   []string          // path.to.key=YAML, over what the file has, in this order
	Date  string            // the run's date: 2026-11-22, or as RFC 3339; "": CPR_BATCH_DATE, else today

	// TaskIndexSet says that the command line told the task its number: then the date
	// must be given where it is used.
	TaskIndexSet bool

	Store     objects.Store               // where a job file in gs:// is read; default: the disk alone
	LookupEnv func(string) (string, bool) // default: os.LookupEnv
	Now       time.Time                   // default: time.Now()
	Memory    int64                       // bytes that the machine has for us; default: what it says
}

func (o *Options) setDefaults() {
	if o.Store == nil {
		o.Store = objects.NewLocal()
	}
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Memory == 0 {
		o.Memory = machineMemory()
	}
}

// Load reads a job file, replaces ${NAME} in it, decodes it over the defaults and checks
// it. Its error is a *pipeline.Error; where the file was read it holds Problems: all of
// them at once, also what is not built yet in this version.
func Load(ctx context.Context, o Options) (*Job, error) {
	o.setDefaults()
	data, err := o.read(ctx)
	if err != nil {
		return nil, err
	}
	job := Default()
	job.Path, job.Text = o.Path, data
	if job.Dir, err = o.dir(); err != nil {
		return nil, unreadable(o.Path, err)
	}
	var p problems
	file := o.fileName()
	root := parse(data, file, &p)
	if root == nil {
		return nil, p.err(file)
	}
	if root.kind == kindNull && !root.broken {
		*root = node{kind: kindMapping, at: place{file, 1, 1}}
	}
	if root.kind == kindMapping {
		for _, arg := range o.Set {
			set(root, arg, &p)
		}
	}
	o.expand(root, job, &p)
	d := &decoder{problems: &p, rules: rules(), paths: keyPaths(), index: make(index), meant: make(map[string]bool)}
	if !root.broken {
		d.section(root, reflect.ValueOf(job).Elem(), "")
	}
	job.index = d.index
	if job.Name == "" {
		job.Name = slug(o.Path)
	}
	if root.kind == kindMapping {
		c := checker{decoder: d, job: job, memory: o.Memory, root: root.at, folders: make(map[string]string)}
		c.check()
		unbuilt(job, &p)
	}
	if err := p.err(file); err != nil {
		return nil, err
	}
	return job, nil
}

// fileName is how errors call the job file.
func (o *Options) fileName() string {
	if o.Path == "-" {
		return "standard input"
	}
	return o.Path
}

func (o *Options) read(ctx context.Context) ([]byte, error) {
	from := o.Stdin
	switch {
	case objects.IsCloud(o.Path):
		r, err := objects.OpenFile(ctx, o.Store, objects.Object{Name: o.Path})
		if err != nil {
			return nil, unreadable(o.Path, err)
		}
		defer r.Close()
		from = r
	case o.Path != "-":
		f, err := os.Open(o.Path)
		if err != nil {
			return nil, unreadable(o.Path, err)
		}
		defer f.Close()
		from = f
	case from == nil:
		from = strings.NewReader("")
	}
	data, err := io.ReadAll(io.LimitReader(from, maxSize+1))
	if err != nil {
		return nil, unreadable(o.fileName(), err)
	}
	return data, nil
}

func unreadable(name string, err error) error {
	e := &pipeline.Error{
		Remedy: pipeline.FixConfig, Phase: pipeline.PhaseConfigure,
		Message: "read job file " + name, Err: err,
		Hint: "Name the job file with --config: a path, gs://bucket/name, or - for standard input.",
	}
	if hint := objects.Hint(err); hint != "" {
		e.Hint = hint
		if !objects.IsSetup(err) {
			e.Remedy = pipeline.TryAgain
		}
	}
	return e
}

// dir is the folder that relative paths of the job file are relative to.
func (o *Options) dir() (string, error) {
	if o.Path == "-" {
		return filepath.Abs(".")
	}
	if objects.IsCloud(o.Path) {
		return objects.Dir(o.Path), nil
	}
	return filepath.Abs(filepath.Dir(o.Path))
}

// expand replaces ${NAME} below root and finds the run's date.
func (o *Options) expand(root *node, job *Job, p *problems) {
	for _, name := range slices.Sorted(maps.Keys(o.Vars)) {
		switch {
		case isDate(name):
			p.add(Problem{File: "--var", Key: name, Message: "${date} is the run's date: set it with --date"})
		case !namePattern.MatchString(name):
			p.add(Problem{File: "--var", Key: name, Message: "write NAME=VALUE, the name of letters, digits and _"})
		}
	}
	e := expander{vars: o.Vars, lookup: o.LookupEnv, problems: p}
	zone := time.UTC
	if n := root.get("timezone"); n != nil {
		e.walk(n, "timezone")
		if !n.broken && n.kind == kindText && n.text != "" {
			var err error
			if zone, err = loadZone(n.text); err != nil {
				n.broken = true
				zone = time.UTC
				p.add(Problem{File: n.at.file, Line: n.at.line, Column: n.at.column, Key: "timezone",
					Value: n.show(), Message: "no such time zone: write UTC, or a name like Europe/Berlin"})
			}
		}
	}
	e.date = newRunDate(o, zone, p)
	job.Date = e.date.time
	e.walk(root, "")
}

// loadZone is time.LoadLocation without "Local", which is another one on every machine.
func loadZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("time zone %s is not the same everywhere", name)
	}
	return time.LoadLocation(name)
}

// slug makes the name of a job of the name of its file.
func slug(path string) string {
	if path == "-" {
		return "job"
	}
	base := filepath.Base(path)
	base = strings.TrimSuffix(base, filepath.Ext(base))
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, base)
	name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == '-' }), "-")
	if name == "" {
		return "job"
	}
	return name
}
