package runs

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Fault turns a store's error into one that ends the run: which object, why, and what to
// do. What ended the run already (a context's end, a *pipeline.Error) is left as it is.
func Fault(phase pipeline.Phase, verb, name string, err error) error {
	var known *pipeline.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &pipeline.Error{
		Remedy:  pipeline.TryAgain,
		Phase:   phase,
		Message: fmt.Sprintf("%s %s", verb, name),
		Hint:    "Run the same command again: what is committed stays.",
		Err:     err,
	}
	if hint := objects.Hint(err); hint != "" {
		e.Hint = hint
		// Where nothing has been begun, nothing is lost by telling that it is for a person to mend.
		if phase == pipeline.PhasePlan && objects.IsSetup(err) {
			e.Remedy = pipeline.FixConfig
		}
	}
	// The system's error names a path too, perhaps one that was made on the way.
	var errno syscall.Errno
	if errors.As(err, &errno) {
		e.Err = errno
		e.Hint = remedy(errno)
	}
	return e
}

func remedy(errno syscall.Errno) string {
	switch errno {
	case syscall.ENOSPC, syscall.EDQUOT:
		return "make room on the disk that holds the output, then run the same command again: what is committed stays"
	case syscall.EFBIG:
		return "raise the limit on the size of files (ulimit -f), then run the same command again: what is committed stays"
	case syscall.EACCES, syscall.EPERM, syscall.EROFS:
		return "let this user read and write the output folder, or choose another one in the job file's sink"
	case syscall.ENOTDIR, syscall.EISDIR, syscall.EEXIST:
		return "the output has to be a folder: move what is in its place, or choose another one in the job file's sink"
	}
	return "run the same command again: what is committed stays"
}

// broken is a file of the program's own that does not hold what it should.
func broken(what, name string, err error) error {
	return &pipeline.Error{
		Remedy:  pipeline.FixConfig,
		Phase:   pipeline.PhasePlan,
		Message: fmt.Sprintf("read %s: %s is damaged", name, what),
		Hint:    "Run with --overwrite to remove this run's files and begin anew, or choose another output.",
		Err:     err,
	}
}

// otherVersion is a file that another version of the program wrote.
func otherVersion(what, name string, got int) error {
	return &pipeline.Error{
		Remedy:  pipeline.FixConfig,
		Phase:   pipeline.PhasePlan,
		Message: fmt.Sprintf("read %s: %s has format %d, this version of cpr-batch reads format %d", name, what, got, formatVersion),
		Hint:    "Finish the run with the version that began it, or run with --overwrite to remove its files and begin anew.",
	}
}
