package runs

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// The names in a run's folder (JOB 3).
const (
	successName = "_SUCCESS"
	failedName  = "_FAILED"
	reportName  = "report.json"
	pageName    = "report.html"

	home           = "_cpr-batch"
	planName       = home + "/plan.jsonl"
	verdictName    = home + "/failed.json"
	keptReportName = home + "/report.json"
	segmentsDir    = home + "/segments"
	claimsDir      = home + "/claims"
	commitsDir     = home + "/commits"
	workDir        = home + "/work"
)

// finalPattern matches the names of the files that hold a part.
var finalPattern = regexp.MustCompile(`^(predictions|errors)-[0-9]{5,}-of-[0-9]{5,}\.[a-z]+(\.gz|\.zst)?$`)

// clean gives a folder the form in which a Store lists it.
func clean(folder string) string {
	if strings.Contains(folder, "://") {
		return strings.TrimRight(folder, "/")
	}
	return filepath.Clean(folder)
}

// join names an object in a clean folder.
func join(folder, name string) string {
	return strings.TrimSuffix(folder, "/") + "/" + name
}

// within gives an object's name as seen from a clean folder.
func within(folder, name string) string {
	if !strings.Contains(folder, "://") {
		if rel, err := filepath.Rel(folder, name); err == nil {
			return rel
		}
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, folder), "/")
}

func commitName(folder, split string) string {
	return join(folder, commitsDir+"/"+split+".json")
}

func workName(folder, attempt, name string) string {
	return join(folder, workDir+"/"+attempt+"/"+name)
}

// ownName says whether a name in a run's folder is one that a run makes.
func ownName(name string) bool {
	switch name {
	case successName, failedName, reportName, pageName:
		return true
	}
	return finalPattern.MatchString(name) || strings.HasPrefix(name, home+"/")
}

// listOwn lists a run's folder without the folders that no run makes there: the output may
// stand among a million files.
func listOwn(ctx context.Context, store objects.Store, folder string) iter.Seq2[objects.Object, error] {
	return objects.ListWhere(ctx, store, folder, func(rel string) bool {
		return rel == home || strings.HasPrefix(rel, home+"/")
	})
}

// notOurs says whether an error of a listing is about something that no run has made: a
// link to nowhere, a folder that is closed to this user.
func notOurs(folder string, o objects.Object, err error) bool {
	if err == nil {
		return false
	}
	name := o.Name
	var path *fs.PathError
	if name == "" && errors.As(err, &path) {
		name = path.Path
	}
	if name == "" {
		return false
	}
	rel := within(folder, name)
	return rel != "." && rel != home && !ownName(rel)
}
