package objects_test

import (
	"testing"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/objects/memtest"
)

func TestMem(t *testing.T) {
	t.Parallel()
	for _, root := range []string{"/folder", "folder", "gs://b", "gs://b/a folder/deep"} {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			testStore(t, func(*testing.T) (objects.Store, string) { return memtest.New(), root }, "new\nline")
		})
	}
}
