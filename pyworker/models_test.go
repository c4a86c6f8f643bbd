package pyworker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

var someModel = map[string]string{"gs://b/m/weights": "heavy", "gs://b/m/sub/": "", "gs://b/m/sub/deep/x": "x", "gs://b/m/empty": "", "gs://b/mm/other": "no"}

// someFiles is what a Predictor finds of someModel.
var someFiles = map[string]string{"weights": "heavy", "sub/deep/x": "x", "empty": ""}

func models(t *testing.T) (Models, *journal) {
	t.Helper()
	j := &journal{}
	return Models{Dir: filepath.Join(t.TempDir(), "models"), Log: slog.New(slog.NewTextHandler(j, nil)), Progress: &Transfer{}}, j
}

// fetched finds the model directory gs://b/m, stages it, and returns where it is.
func fetched(t *testing.T, b *bucket, m Models, maxSize pipeline.Bytes) (string, error) {
	t.Helper()
	return stagedFrom(t.Context(), t, b, m, ModelConfig{Origin: "gs://b/m/", MaxSize: maxSize})
}

func stagedFrom(ctx context.Context, t *testing.T, b *bucket, m Models, cfg ModelConfig) (string, error) {
	t.Helper()
	found, err := FindModel(ctx, b, "/job", cfg)
	if err != nil {
		return "", err
	}
	s, err := found.Stage(ctx, m, t.TempDir())
	if err != nil {
		return "", err
	}
	return s.ModelDir, nil
}

// texts are the files below a folder.
func texts(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantTexts(t *testing.T, root string, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, texts(t, root)); diff != "" {
		t.Error(diff)
	}
}

func mustFetch(t *testing.T, b *bucket, m Models) string {
	t.Helper()
	dir, err := fetched(t, b, m, 0)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// kept lists what is kept.
func kept(t *testing.T, m Models) []ModelInfo {
	t.Helper()
	all, err := m.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantUnpackError(t *testing.T, err error, remedy pipeline.Remedy, words ...string) {
	t.Helper()
	var fault *pipeline.Error
	if !errors.As(err, &fault) {
		t.Fatalf("error %v is no *pipeline.Error", err)
	}
	if fault.Remedy != remedy || fault.Phase != pipeline.PhaseUnpack {
		t.Errorf("remedy %d, phase %q; want %d, unpack", fault.Remedy, fault.Phase, remedy)
	}
	for _, word := range words {
		if text := fault.Error() + "\n" + fault.Hint; !strings.Contains(text, word) {
			t.Errorf("the error does not say %q:\n%s", word, text)
		}
	}
}

func TestModelIsDownloadedOnceForAllRuns(t *testing.T) {
	t.Parallel()
	b := newBucket(someModel)
	m, j := models(t)
	var first sync.Once
	begun, gate := make(chan struct{}), make(chan struct{})
	b.onOpen = func(context.Context, string) error {
		first.Do(func() { close(begun) })
		<-gate
		return nil
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			dir, err := fetched(t, b, m, 6)
			if err != nil {
				t.Error(err)
				return
			}
			wantTexts(t, dir, someFiles)
		})
	}
	<-begun
	eventually(t, 10*time.Second, "two runs wait", func() bool { return j.count("waiting for it") >= 2 })
	if total, done := m.Progress.Total.Load(), m.Progress.Done.Load(); total != 6 || done != 0 {
		t.Errorf("%d of %d bytes", done, total)
	}
	close(gate)
	all.Wait()
	mustFetch(t, b, m)
	if n := b.opens(); n != 3 {
		t.Errorf("3 objects were opened %d times", n)
	}
	if total, done := m.Progress.Total.Load(), m.Progress.Done.Load(); total != 6 || done != 6 {
		t.Errorf("%d of %d bytes", done, total)
	}
	if all := kept(t, m); len(all) != 1 || !all[0].Whole || all[0].URI != "gs://b/m" || all[0].Size < 6 || time.Since(all[0].LastUsed) > time.Minute {
		t.Errorf("kept %+v", all)
	}
}

func TestWritesOfAPredictorStayInItsRun(t *testing.T) {
	t.Parallel()
	b := newBucket(someModel)
	m, _ := models(t)
	dir := mustFetch(t, b, m)
	for _, name := range []string{"weights", "sub/deep/x", "sub/new"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "empty")); err != nil {
		t.Error(err)
	}
	wantTexts(t, mustFetch(t, b, m), someFiles)
	if n := b.opens(); n != 3 {
		t.Errorf("3 objects were opened %d times", n)
	}
	names, err := filepath.Glob(filepath.Join(kept(t, m)[0].Path, "files-*", "*"))
	if err != nil || len(names) != 3 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Mode().IsRegular() && info.Mode().Perm() != 0o400 {
			t.Errorf("%s can be written: %v, %v", name, info, err)
		}
	}
}

func TestAModelIsKeptAfterItsLastUse(t *testing.T) {
	t.Parallel()
	b := newBucket(nil)
	m, _ := models(t)
	fill(t, b, m, "m") // used long ago
	mustFetch(t, b, m)
	if all := kept(t, m); len(all) != 1 || time.Since(all[0].LastUsed) > time.Minute {
		t.Errorf("kept %+v", all)
	}
	if n := b.opens(); n != 1 {
		t.Errorf("one object was opened %d times", n)
	}
}

func TestOtherGenerationIsDownloaded(t *testing.T) {
	t.Parallel()
	b := newBucket(someModel)
	m, _ := models(t)
	mustFetch(t, b, m)
	b.put("gs://b/m/weights", "light")
	dir := mustFetch(t, b, m)
	if text, err := os.ReadFile(filepath.Join(dir, "weights")); err != nil || string(text) != "light" {
		t.Errorf("%q, %v", text, err)
	}
	if all := kept(t, m); len(all) != 2 {
		t.Errorf("kept %+v", all)
	}
}

func TestSpoiltEntriesAreDownloadedAnew(t *testing.T) {
	t.Parallel()
	b := newBucket(someModel)
	m, _ := models(t)
	mustFetch(t, b, m)
	entry := kept(t, m)[0].Path
	weights := func() string {
		found, err := filepath.Glob(filepath.Join(entry, "files-*", "weights"))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		return found[0]
	}
	for name, spoil := range map[string]func() error{
		"killed before it was whole": func() error { return os.Remove(filepath.Join(entry, "model.json")) },
		"a record that is cut off":   func() error { return os.Truncate(filepath.Join(entry, "model.json"), 30) },
		"a file that is gone":        func() error { return os.Remove(weights()) },
		"a file that lost its end":   func() error { return errors.Join(os.Chmod(weights(), 0o600), os.Truncate(weights(), 2)) },
		"a link in the file's place": func() error {
			name := weights()
			return errors.Join(os.Remove(name), os.Symlink("/etc/hosts", name))
		},
		"a record of fewer files": func() error {
			return os.WriteFile(filepath.Join(entry, "model.json"), fmt.Appendf(nil, `{"folder": %q}`, filepath.Base(filepath.Dir(weights()))), 0o600)
		},
		"a record of other files": func() error {
			text, err := os.ReadFile(filepath.Join(entry, "model.json"))
			text = bytes.Replace(text, []byte("sub/deep/x"), []byte("sub/../sub/deep/x"), 1)
			return errors.Join(err, os.WriteFile(filepath.Join(entry, "model.json"), text, 0o600))
		},
		"a record that leads round a corner": func() error {
			text, err := os.ReadFile(filepath.Join(entry, "model.json"))
			text = bytes.Replace(text, []byte(`"files-`), []byte(`"files-/../files-`), 1)
			return errors.Join(err, os.WriteFile(filepath.Join(entry, "model.json"), text, 0o600))
		},
	} {
		before := b.opens()
		if err := spoil(); err != nil {
			t.Fatal(name, err)
		}
		wantTexts(t, mustFetch(t, b, m), someFiles)
		if n := b.opens(); n != before+3 {
			t.Errorf("%s: opened %d objects", name, n-before)
		}
		if left, err := filepath.Glob(filepath.Join(entry, "files-*")); err != nil || len(left) != 1 {
			t.Errorf("%s: left %q, %v", name, left, err)
		}
	}
}

func TestStoppedDownloadLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBucket(someModel)
	m, _ := models(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("stopped")
	b.onOpen = func(ctx context.Context, name string) error {
		if name != "gs://b/m/weights" {
			return nil
		}
		cancel(cause)
		<-ctx.Done()
		return ctx.Err()
	}
	if _, err := stagedFrom(ctx, t, b, m, ModelConfig{Origin: "gs://b/m"}); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	if all := kept(t, m); len(all) != 1 || all[0].Whole || all[0].Size != 0 {
		t.Errorf("kept %+v", all)
	}
	if total, done := m.Progress.Total.Load(), m.Progress.Done.Load(); total != 0 || done != 0 {
		t.Errorf("%d of %d bytes", done, total)
	}
	b.onOpen = nil
	wantTexts(t, mustFetch(t, b, m), someFiles)
}

func TestDownloadsThatFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil  func(b *bucket)
		remedy pipeline.Remedy
		want   []string
	}{
		"an object was replaced since": {func(b *bucket) { b.put("gs://b/m/weights", "light") }, pipeline.TryAgain,
			[]string{`download "weights" of model directory "gs://b/m/"`, "has changed", "run again"}},
		"an object was removed since": {func(b *bucket) { delete(b.held, "gs://b/m/weights") }, pipeline.TryAgain,
			[]string{`"weights"`, "does not exist", "run again"}},
		"the store says at the end that it is another": {func(b *bucket) {
			b.onContent = func(name string, content []byte) io.Reader {
				if name != "gs://b/m/weights" {
					return bytes.NewReader(content)
				}
				return io.MultiReader(bytes.NewReader(content), iotest.ErrReader(errors.New("read gs://b/m/weights: damaged")))
			}
		}, pipeline.TryAgain, []string{`"weights"`, "gs://b/m/weights: damaged"}},
		"the store says when it is closed that it is another": {func(b *bucket) {
			b.onClose = errors.New("read gs://b/m/weights: damaged")
		}, pipeline.TryAgain, []string{"download ", "gs://b/m/weights: damaged"}},
		"the connection ends": {func(b *bucket) {
			b.onContent = func(_ string, _ []byte) io.Reader { return iotest.ErrReader(errors.New("connection reset")) }
		}, pipeline.TryAgain, []string{"connection reset"}},
		"it may not be read": {func(b *bucket) {
			b.onOpen = func(_ context.Context, name string) error { return fmt.Errorf("open %s: %w", name, fs.ErrPermission) }
		}, pipeline.FixConfig, []string{"permission denied"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(someModel)
			m, _ := models(t)
			found, err := FindModel(t.Context(), b, "/job", ModelConfig{Origin: "gs://b/m/"})
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(b)
			_, err = found.Stage(t.Context(), m, t.TempDir())
			wantUnpackError(t, err, c.remedy, c.want...)
			if all := kept(t, m); len(all) != 1 || all[0].Whole || all[0].Size != 0 {
				t.Errorf("kept %+v", all)
			}
		})
	}
}

func TestModelsWithoutACacheFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	shut := t.TempDir()
	if err := os.Chmod(shut, 0o500); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir   string
		limit int64
		says  string
	}{
		"there is none":              {"", 0, ""},
		"it can not be made":         {filepath.Join(file, "models"), 0, "models can not be kept"},
		"the model is over its size": {filepath.Join(t.TempDir(), "models"), 5, ""},
		"it can not be written":      {filepath.Join(shut, "models"), 0, ""}, // root can
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(someModel)
			m, j := models(t)
			m.Dir, m.Limit = c.dir, c.limit
			dir := mustFetch(t, b, m)
			wantTexts(t, dir, someFiles)
			if err := os.WriteFile(filepath.Join(dir, "weights"), nil, 0o600); err != nil {
				t.Error(err)
			}
			if c.says != "" && j.count(c.says) != 1 {
				t.Errorf("log:\n%s", j.text.String())
			}
			if n := b.opens(); n != 3 {
				t.Errorf("3 objects were opened %d times", n)
			}
			if left, err := filepath.Glob(filepath.Join(c.dir, "*", "model.json")); err != nil || c.limit > 0 && len(left) != 0 {
				t.Errorf("kept %q, %v", left, err)
			}
		})
	}
}
