package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/cpr-batch/cpr-batch/configs"
)

func (p *program) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Make a job that is ready to run: job file, Predictor, ten instances",
		Long: `Make DIR with a job file, a Predictor of a few lines, a model directory and ten instances.
A folder that has files in it is refused.`,
		Args: exactArgs(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := configs.WriteTemplate(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(p.stdout, "%s is ready. Run it:\n\n  cpr-batch run --config %s\n", args[0], filepath.Join(args[0], "job.yaml"))
			return err
		},
	}
}

func (p *program) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the job file",
		Long: `Print the JSON Schema of the job file, for editors: with the YAML language server, for
example, write it to a file and begin the job file with

  # yaml-language-server: $schema=cpr-batch.schema.json`,
		Args: exactArgs(0, 0),
		RunE: func(*cobra.Command, []string) error {
			schema, err := configs.Schema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "%s\n", schema)
			return err
		},
	}
}

func (p *program) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactArgs(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return json.NewEncoder(p.stdout).Encode(map[string]string{"cpr_batch": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
			}
			_, err := fmt.Fprintf(p.stdout, "cpr-batch %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}
