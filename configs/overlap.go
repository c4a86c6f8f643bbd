package configs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// overlaps tells where a URI of the source would match the output's own files.
func (c *checker) overlaps() {
	folder, extension := c.outputFolder()
	if folder == "" {
		return
	}
	folder = c.absolute(folder)
	names := outputNames(extension)
	for _, list := range []string{"source.jsonl.uris", "source.parquet.uris"} {
		uris := c.index[list]
		if uris == nil {
			continue
		}
		for i, n := range uris.items {
			if n.broken || n.kind != kindText || n.empty() || !isURI(n.text) {
				continue
			}
			if name := c.matchesOutput(n.text, folder, names); name != "" {
				c.tell(fmt.Sprintf("%s[%d]", list, i), "would match the output's own files, such as "+name+
					": write the output to another folder, or name the input more closely")
			}
		}
	}
}

// outputFolder is the sink's folder and the extension of its predictions; "": none is known.
func (c *checker) outputFolder() (folder, extension string) {
	s := &c.job.Sink
	switch {
	case s.JSONL != nil:
		extension = map[string]string{"gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}[s.JSONL.Compression]
		if extension == "" {
			extension = ".jsonl"
		}
		return s.JSONL.URI, extension
	case s.Parquet != nil:
		return s.Parquet.URI, ".parquet"
	case s.BigQuery != nil:
		return s.BigQuery.URI, ".jsonl"
	}
	return "", ""
}

// absolute is a path from the root, links followed as far as they exist; gs:// as it is.
func (c *checker) absolute(uri string) string {
	name := objects.Join(c.job.Dir, uri)
	if objects.IsCloud(name) {
		return name
	}
	return c.followLinks(name)
}

// followLinks resolves the links in the part of a path that exists. It keeps what it found
// of folders: a job may list thousands of files of one.
func (c *checker) followLinks(path string) string {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			return target
		}
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	target, ok := c.folders[parent]
	if !ok {
		target = c.followLinks(parent)
		c.folders[parent] = target
	}
	return filepath.Join(target, filepath.Base(path))
}

// matchesOutput is the name of one of the output's own files, relative to its folder, that
// uri would match, or "".
func (c *checker) matchesOutput(uri, folder string, names []string) string {
	base, pattern := uri, ""
	if strings.ContainsAny(uri, `*?[{\`) && !c.isFile(uri) {
		base, pattern = doublestar.SplitPattern(uri)
	}
	base = c.absolute(base)
	for _, name := range names {
		rest, below := cutFolder(folder+"/"+name, base)
		switch {
		case !below:
		case pattern != "":
			if ok, err := doublestar.Match(pattern, rest); err == nil && ok {
				return name
			}
		case rest == "" || !hidden(rest):
			return name
		}
	}
	if rest, below := cutFolder(base, folder); below && pattern == "" && ownName(rest) {
		return rest
	}
	return ""
}

// isFile says whether a path with the signs of a glob is a file's own name.
func (c *checker) isFile(uri string) bool {
	name := c.absolute(uri)
	if objects.IsCloud(name) {
		return false
	}
	_, err := os.Lstat(name)
	return err == nil
}

// cutFolder is what is left of path below folder.
func cutFolder(path, folder string) (rest string, below bool) {
	if path == folder {
		return "", true
	}
	return strings.CutPrefix(path, strings.TrimRight(folder, "/")+"/")
}

// hidden says whether a source that is a folder leaves a file below it out.
func hidden(rest string) bool {
	for part := range strings.SplitSeq(rest, "/") {
		if strings.HasPrefix(part, "_") || strings.HasPrefix(part, ".") {
			return true
		}
	}
	return false
}

// outputNames are examples of the names that a run gives to its files (JOB 3).
func outputNames(extension string) []string {
	errorsExtension := extension
	if !strings.HasPrefix(extension, ".jsonl") {
		errorsExtension = ".jsonl"
	}
	var names []string
	for _, below := range []string{"", "limit-10/", "retry-1/"} {
		names = append(names, below+"predictions-00000-of-00001"+extension, below+"errors-00000-of-00001"+errorsExtension)
		for i := range 10 {
			names = append(names, fmt.Sprintf("%spredictions-%05d-of-00010%s", below, i, extension),
				fmt.Sprintf("%serrors-%05d-of-00010%s", below, i, errorsExtension))
		}
		names = append(names, below+"report.json", below+"report.html", below+"_SUCCESS", below+"_FAILED",
			below+"_cpr-batch/plan.jsonl", below+"_cpr-batch/commits/00000-of-00001.json")
	}
	return names
}

var ownPattern = regexp.MustCompile(`^(?:(?:limit|retry)-[0-9]+/)?` +
	`(?:(?:predictions|errors)-[0-9]{5,}-of-[0-9]{5,}\.(?:jsonl|parquet)(?:\.gz|\.zst)?|report\.json|report\.html|_SUCCESS|_FAILED|_cpr-batch(?:/.*)?)$`)

// ownName says whether a name below the output folder is one of the run's own.
func ownName(rest string) bool { return ownPattern.MatchString(rest) }
