package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// maxNamed is how many faults an error names.
const maxNamed = 50

// faults collects what is wrong with an input.
type faults struct {
	list   []fault
	remedy pipeline.Remedy // of the gravest
}

type fault struct {
	message, hint string
}

func (f *faults) add(remedy pipeline.Remedy, message, hint string) {
	f.list = append(f.list, fault{message, hint})
	f.remedy = worse(f.remedy, remedy)
}

// worse prefers what the user has to mend, first in the job file, to what may pass.
func worse(a, b pipeline.Remedy) pipeline.Remedy {
	for _, r := range []pipeline.Remedy{pipeline.FixConfig, pipeline.FixInput, pipeline.TryAgain} {
		if a == r || b == r {
			return r
		}
	}
	return b
}

func (f *faults) unreadable(uri string, err error) {
	switch hint := objects.Hint(err); {
	case objects.IsSetup(err):
		f.add(pipeline.FixConfig, fmt.Sprintf("%s can not be read: %v", uri, err), hint)
	case hint != "":
		f.add(pipeline.TryAgain, fmt.Sprintf("%s can not be read: %v", uri, err), hint)
	case errors.Is(err, fs.ErrPermission):
		f.add(pipeline.FixInput, fmt.Sprintf("%s can not be read: %v", uri, err), "Give the user who runs this the right to read it.")
	case errors.Is(err, fs.ErrNotExist):
		f.add(pipeline.FixInput, fmt.Sprintf("%s can not be read: %v", uri, err), "A link leads nowhere: put its file there, or remove the link.")
	default:
		f.add(pipeline.TryAgain, fmt.Sprintf("%s can not be read: %v", uri, err), "Look at the file and at the disk or connection that it is on, and run again.")
	}
}

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	var messages, hints []string
	for i, p := range f.list {
		if i == maxNamed {
			messages = append(messages, fmt.Sprintf("and %d more", len(f.list)-maxNamed))
			break
		}
		messages = append(messages, p.message)
		if !slices.Contains(hints, p.hint) {
			hints = append(hints, p.hint)
		}
	}
	message := "source.jsonl.uris: " + messages[0]
	if len(messages) > 1 {
		message = "source.jsonl.uris:\n  " + strings.Join(messages, "\n  ")
	}
	return &pipeline.Error{Remedy: f.remedy, Phase: pipeline.PhasePlan, Message: message, Hint: strings.Join(hints, " ")}
}
