package pyworker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// maxRequirements bounds a requirements file in Cloud Storage, as it is stored and unpacked.
const maxRequirements = 4 << 20

// RequirementsText returns what python.requirements says: the lines of the job file, or
// the text of the file that they name, without the files that it includes. Its name is
// relative to dir.
//
// Its errors are *pipeline.Error of phase configure, or the context's.
func RequirementsText(ctx context.Context, store objects.Store, r Requirements, dir string) (string, error) {
	if r.File == "" {
		return strings.Join(r.Lines, "\n"), nil
	}
	if objects.IsCloud(objects.Join(dir, r.File)) {
		return readCloudText(ctx, store, r.File, objects.Join(dir, r.File))
	}
	text, err := os.ReadFile(objects.Join(dir, r.File))
	if err != nil {
		return "", &pipeline.Error{
			Remedy: pipeline.FixConfig, Phase: pipeline.PhaseConfigure, Message: "python.requirements", Err: err,
			Hint: "Paths in the job file are relative to its folder.",
		}
	}
	return string(text), nil
}

// readCloudText reads the requirements file that the job file calls uri.
func readCloudText(ctx context.Context, store objects.Store, uri, name string) (string, error) {
	fault := func(err error) error {
		e := storeError(ctx, fmt.Sprintf("python.requirements: read %q", uri), err)
		var known *pipeline.Error
		if errors.As(e, &known) {
			known.Phase = pipeline.PhaseConfigure
		}
		return e
	}
	o, err := store.Stat(ctx, name)
	if errors.Is(err, objects.ErrNotExist) {
		e := badRequirements(fmt.Sprintf("%q does not exist: no object %s", uri, name), nil)
		e.Remedy, e.Hint = pipeline.FixConfig, "Names in the job file are relative to its folder."
		return "", e
	}
	if err != nil {
		return "", fault(err)
	}
	if o.Size > maxRequirements {
		return "", tooLarge(uri)
	}
	body, err := objects.OpenFile(ctx, store, o)
	if err != nil {
		return "", fault(err)
	}
	text, err := io.ReadAll(io.LimitReader(body, maxRequirements+1))
	if closing := body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return "", fault(err)
	}
	if len(text) > maxRequirements {
		return "", tooLarge(uri)
	}
	return string(text), nil
}

func tooLarge(uri string) error {
	e := badRequirements(fmt.Sprintf("%q is larger than %s", uri, pipeline.Bytes(maxRequirements)), nil)
	e.Hint = "Name a requirements file."
	return e
}

// cloudRequirements are those of a file, or of a job file, in Cloud Storage, where no
// local path is relative to anything.
func cloudRequirements(ctx context.Context, store objects.Store, r Requirements, dir string) (requirements, error) {
	root := string(filepath.Separator)
	text, err := RequirementsText(ctx, store, r, dir)
	if err != nil {
		return requirements{}, err
	}
	needs := requirements{lines: cleanLines(text), dir: root}
	what := "the job file"
	if r.File != "" {
		what = strconv.Quote(r.File)
	}
	for _, line := range needs.lines {
		if path := localPath(line); objects.IsCloud(path) {
			e := badRequirements(fmt.Sprintf("%q: pip and uv can not read from Cloud Storage", line), nil)
			e.Hint = "Name the package by an index or an https:// URL, or write what the file holds into the job's own requirements."
			return needs, e
		} else if path != "" && !filepath.IsAbs(path) {
			e := badRequirements(fmt.Sprintf("%q names a local file or folder, but %s is in Cloud Storage: there is no folder that the path is relative to", line, what), nil)
			e.Hint = "Name the package by an index or a URL, or by an absolute path where the job runs; lines of an included file belong into the file itself."
			return needs, e
		}
	}
	reader := requirementReader{seen: map[string]bool{}}
	err = reader.lines(ctx, needs.lines, root, root)
	needs.all = reader.all
	return needs, err
}

// localPath returns the local path, or the name in Cloud Storage, that a line names, by
// pip's rules; "" where it names something else.
func localPath(line string) string {
	if strings.HasPrefix(line, "-") {
		for _, option := range []string{"-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-f", "--find-links"} {
			if value, ok := optionValue(line, option); ok {
				if option == "-e" || option == "--editable" {
					value, _, _ = strings.Cut(value, "[")
				}
				return pathOf(value)
			}
		}
		return ""
	}
	if _, url, ok := strings.Cut(line, " @ "); ok {
		url, _, _ = strings.Cut(url, " ")
		return pathOf(url)
	}
	line, _, _ = strings.Cut(line, ";")
	line, _, _ = strings.Cut(strings.TrimSpace(line), " ")
	archive := strings.HasSuffix(line, ".whl") || strings.HasSuffix(line, ".tar.gz") || strings.HasSuffix(line, ".zip")
	if archive || strings.HasPrefix(line, ".") || strings.Contains(line, "/") {
		return pathOf(line)
	}
	return ""
}

// pathOf is the path that a URL stands for, or the path itself; "" for a URL of the net.
func pathOf(url string) string {
	if path, ok := strings.CutPrefix(url, "file:"); ok {
		return strings.TrimPrefix(path, "//")
	}
	if strings.Contains(url, "://") && !objects.IsCloud(url) {
		return ""
	}
	return url
}
