package configs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

//go:embed template
var templateFiles embed.FS

// ErrNotEmpty says that a folder for a new job holds something already.
var ErrNotEmpty = errors.New("folder is not empty")

// WriteTemplate writes a job that is ready to run into the folder dir, which it makes
// where there is none: job.yaml, a Predictor in code/, its model directory and ten
// instances. A folder that holds anything is left as it is: ErrNotEmpty.
func WriteTemplate(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return refusedFolder(dir, err)
	}
	if len(entries) > 0 {
		return refusedFolder(dir, fmt.Errorf("%w: it has %s", ErrNotEmpty, entries[0].Name()))
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("make folder %s: %w", dir, err)
	}
	files, err := fs.Sub(templateFiles, "template")
	if err != nil {
		return fmt.Errorf("read template: %w", err)
	}
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read template: %w", err)
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		if entry.IsDir() {
			if err := os.MkdirAll(target, 0o777); err != nil {
				return fmt.Errorf("make folder %s: %w", target, err)
			}
			return nil
		}
		return writeTemplateFile(files, name, target)
	})
}

// refusedFolder says that a job can not be written into dir.
func refusedFolder(dir string, why error) error {
	return &pipeline.Error{
		Remedy: pipeline.FixConfig, Phase: pipeline.PhaseConfigure,
		Message: "write a job into " + dir, Hint: "Name a folder that is empty or not there yet.", Err: why,
	}
}

// writeTemplateFile copies one file of the template; it never replaces a file.
func writeTemplateFile(files fs.FS, name, target string) error {
	content, err := fs.ReadFile(files, name)
	if err != nil {
		return fmt.Errorf("read template: %w", err)
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("create %s: %w", target, err)
	}
	if _, err := f.Write(content); err != nil {
		return fmt.Errorf("write %s: %w", target, errors.Join(err, f.Close()))
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", target, err)
	}
	return nil
}
