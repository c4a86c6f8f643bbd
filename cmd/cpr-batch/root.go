package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// program is one execution of the command line.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	args           []string

	logFormat, logLevel string
	log                 *slog.Logger
	store               *objects.Any // of all that the job names
}

// run executes the command line and returns its exit status.
func (p *program) run() int {
	p.log = slog.New(slog.NewTextHandler(p.stderr, nil))
	p.store = objects.NewAny(func(ctx context.Context) (*objects.Cloud, error) {
		return objects.OpenCloud(ctx, "cpr-batch/"+version)
	})
	defer func() { _ = p.store.Close() }()
	root := p.root()
	root.SetArgs(p.args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.Execute()
	if err == nil {
		return 0
	}
	p.complain(err)
	return exitStatus(err)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "cpr-batch",
		Short: "Run custom prediction routines in batch",
		Long: `cpr-batch runs a Predictor (a Python class with from_path and predict) over all instances
of its input, in batches, in Python subprocesses, and writes each instance's prediction, or
the reason why it has none.

Exit status: 0 done · 1 failed, trying again may help · 2 usage, job file, or an output of
another job · 3 the model or the data is at fault · 128+n ended by signal n with work left.`,
		Example: `  cpr-batch init my-job && cpr-batch run --config my-job/job.yaml
  cpr-batch validate --config job.yaml
  head -n 5 instances.jsonl | cpr-batch predict --config job.yaml -`,
		SilenceErrors: true,
		SilenceUsage:  true,
		// A misspelt command is told before the flags that only it would know.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		Args:               unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flag := p.unknownFlag(cmd); flag != "" {
				return usageError(cmd, errors.New("unknown flag: "+flag))
			}
			return cmd.Help()
		},
	}
	root.PersistentFlags().StringVar(&p.logFormat, "log-format", "text", "how standard error is written: text, or json (every line)")
	root.PersistentFlags().StringVar(&p.logLevel, "log-level", "info", "the least level that is logged: debug, info, warn, error")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return p.startLog() }
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(p.runCommand(), p.validateCommand(), p.planCommand(), p.predictCommand(), p.retryCommand(), p.statusCommand(), p.initCommand(),
		p.schemaCommand(), p.envCommand(), p.versionCommand(), reaperCommand())
	return root
}

// unknownCommand refuses words that are no command, with the nearest one.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("unknown command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		message += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError(cmd, errors.New(message))
}

// unknownFlag is the first of the arguments that looks like a flag and is none of cmd's.
func (p *program) unknownFlag(cmd *cobra.Command) string {
	for _, arg := range p.args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && name != "" && cmd.Flag(name) == nil {
			return arg
		}
	}
	return ""
}

// usageError is a wrong command line: exit status 2.
func usageError(cmd *cobra.Command, err error) error {
	return &pipeline.Error{
		Remedy: pipeline.FixConfig, Phase: pipeline.PhaseConfigure, Message: err.Error(),
		Hint: "`" + cmd.CommandPath() + " --help` tells what may be given.",
	}
}

// flagError is a flag that is wrong: one that there is not, or a value that it does not take.
func flagError(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return usageError(cmd, err)
	}
	want := errors.Unwrap(invalid).Error()
	switch invalid.GetFlag().Value.Type() {
	case "int64":
		want = "write a whole number"
	case "bool":
		want = "write true or false"
	case "duration":
		want = "write a duration with its unit: 24h, 30m"
	}
	return usageError(cmd, fmt.Errorf("--%s %q: %s", invalid.GetFlag().Name, invalid.GetValue(), want))
}

// exactArgs checks the number of positional arguments.
func exactArgs(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > most:
			return usageError(cmd, fmt.Errorf("superfluous argument %q", args[most]))
		case len(args) < least:
			return usageError(cmd, fmt.Errorf("an argument is missing: %s", cmd.Use))
		}
		return nil
	}
}

// jobFlags are the flags that go with every --config.
type jobFlags struct {
	config, date string
	set, vars    []string

	taskIndexSet bool // the command line tells which task this is
}

func (f *jobFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "the job file: a path, gs://bucket/name, or - for standard input")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "set one key of the job file: path.to.key=YAML (repeatable)")
	cmd.Flags().StringArrayVar(&f.vars, "var", nil, "value of ${NAME} in the job file: NAME=VALUE (repeatable)")
	cmd.Flags().StringVar(&f.date, "date", "", "the run's date, ${date}: a date or an RFC 3339 time (default: CPR_BATCH_DATE, else today)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
}

// load reads the job file that the flags name.
func (f *jobFlags) load(cmd *cobra.Command, p *program) (*configs.Job, error) {
	if f.config == "" {
		return nil, usageError(cmd, errors.New("--config is missing: name the job file"))
	}
	vars := make(map[string]string, len(f.vars))
	for _, v := range f.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, usageError(cmd, fmt.Errorf("--var %q: write NAME=VALUE", v))
		}
		vars[name] = value
	}
	return configs.Load(cmd.Context(), configs.Options{
		Path: f.config, Stdin: p.stdin, Store: p.store, Vars: vars, Set: f.set, Date: f.date, TaskIndexSet: f.taskIndexSet,
		LookupEnv: os.LookupEnv, Now: time.Now(),
	})
}
