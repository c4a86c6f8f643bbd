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
const maxNamed = 100

// faults collects what is wrong with an input: the first ones, and how many there are.
type faults struct {
	count    int
	messages []string
	hints    []string        // each once
	remedy   pipeline.Remedy // of the gravest
}

func (f *faults) add(remedy pipeline.Remedy, message, hint string) {
	graver := worse(f.remedy, remedy) != f.remedy
	f.remedy = worse(f.remedy, remedy)
	f.count++
	if f.count > maxNamed && !graver {
		return
	}
	f.messages = append(f.messages, message)
	if !slices.Contains(f.hints, hint) {
		f.hints = append(f.hints, hint)
	}
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

// none says that nothing is wrong so far.
func (f *faults) none() bool { return f.count == 0 }

func (f *faults) err() error {
	if f.none() {
		return nil
	}
	message := "source.jsonl.uris: " + f.messages[0]
	if f.count > 1 {
		message = "source.jsonl.uris:\n  " + strings.Join(f.messages, "\n  ")
	}
	if more := f.count - len(f.messages); more > 0 {
		message += fmt.Sprintf("\n  and %d more", more)
	}
	return &pipeline.Error{Remedy: f.remedy, Phase: pipeline.PhasePlan, Message: message, Hint: strings.Join(f.hints, " ")}
}
