package pyworker_test

import (
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker"
)

func TestUnreadableFileOfAModelIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, dir, map[string]string{"m/sub/weights": "-> /proc/self/mem"}) // which nobody may read at 0, root neither
	_, err := stage(t.Context(), dir, pyworker.ModelConfig{Origin: "m"}, t.TempDir())
	wantFault(t, err, pipeline.TryAgain, pipeline.PhaseUnpack, `copy "sub/weights" of model directory "m"`, "input/output error")
}
