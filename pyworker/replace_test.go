package pyworker

import (
	"context"
	"errors"
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

func TestPoolReplacesAWorkerWhoseAnswerIsBroken(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"too many predictions", "an exception that is no JSON"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := startPool(t, hostileConfig(t, way))
			again := newTestCall("1")
			again.Worker = callError(t, p, newTestCall("1")).Worker
			if _, err := p.Predict(context.Background(), again); !errors.Is(err, pipeline.ErrWorkerGone) {
				t.Errorf("the worker is there still: %v", err)
			}
		})
	}
}
