package pyworker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fill fetches models of ten bytes, used one after the other, and returns their folders.
func fill(t *testing.T, b *bucket, m Models, names ...string) map[string]string {
	t.Helper()
	folders := map[string]string{}
	for i, name := range names {
		b.put("gs://b/"+name+"/w", "ten bytes.")
		if _, err := stagedFrom(t.Context(), t, b, m, ModelConfig{Origin: "gs://b/" + name}); err != nil {
			t.Fatal(err)
		}
		for _, info := range kept(t, m) {
			if info.URI == "gs://b/"+name {
				folders[name] = info.Path
				used := time.Now().Add(time.Duration(i-100) * time.Hour)
				if err := os.Chtimes(filepath.Join(info.Path, "model.json"), used, used); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return folders
}

// hold locks an entry as a run does that copies it.
func hold(t *testing.T, folder string) {
	t.Helper()
	lock, err := lockPath(t.Context(), filepath.Join(folder, "lock"), syscall.LOCK_SH, func() error { return errInUse })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unlock(lock) })
}

func TestOverTheLimitTheOldestUnusedModelsGo(t *testing.T) {
	t.Parallel()
	b := newBucket(nil)
	m, _ := models(t)
	folders := fill(t, b, m, "oldest", "older", "old", "late")
	hold(t, folders["oldest"])
	var size int64
	for _, info := range kept(t, m) {
		size += info.Size
	}
	half := filepath.Join(m.Dir, strings.Repeat("0", 32))
	if err := errors.Join(os.MkdirAll(filepath.Join(half, "files-1"), 0o700), os.WriteFile(filepath.Join(half, "files-1", "w"), []byte("1"), 0o600)); err != nil {
		t.Fatal(err)
	}
	m.Limit = size + 20 // so that the next one is too much by one; records differ by a few bytes
	fill(t, b, m, "next")
	var left []string
	for _, info := range kept(t, m) {
		left = append(left, info.URI)
	}
	for name, stays := range map[string]bool{"oldest": true, "older": false, "old": true, "late": true, "next": true} {
		if found := strings.Contains(strings.Join(left, " ")+" ", "gs://b/"+name+" "); found != stays {
			t.Errorf("%s is kept: %v; all: %q", name, found, left)
		}
	}
	if exists(half) {
		t.Error("a half-made entry stays")
	}
}

func TestAModelThatFillsTheLimitStaysWhileItIsCopied(t *testing.T) {
	t.Parallel()
	b := newBucket(someModel)
	m, _ := models(t)
	m.Limit = 6 // with its record it is over that
	wantTexts(t, mustFetch(t, b, m), someFiles)
	if n := b.opens(); n != 3 || len(kept(t, m)) != 1 {
		t.Errorf("3 objects were opened %d times; kept %+v", n, kept(t, m))
	}
}

func TestFullDiskMakesRoomOnce(t *testing.T) {
	t.Parallel()
	b := newBucket(nil)
	m, _ := models(t)
	folders := fill(t, b, m, "old", "held")
	hold(t, folders["held"])
	full := 1
	b.onOpen = func(context.Context, string) error {
		if full--; full >= 0 {
			return fmt.Errorf("write: %w", syscall.ENOSPC)
		}
		return nil
	}
	fill(t, b, m, "new")
	if exists(folders["old"]) || !exists(folders["held"]) {
		t.Errorf("kept %+v", kept(t, m))
	}
	full = 9
	b.put("gs://b/m/w", "x")
	_, err := fetched(t, b, m, 0)
	if !errors.Is(err, syscall.ENOSPC) || full != 7 {
		t.Errorf("%v, after %d tries", err, 9-full)
	}
}

func TestPrunedModelsAreThoseNobodyUses(t *testing.T) {
	t.Parallel()
	b := newBucket(nil)
	m, _ := models(t)
	folders := fill(t, b, m, "old", "held", "late")
	hold(t, folders["held"])
	removed, err := m.Prune(t.Context(), time.Now().Add(-99*time.Hour+time.Minute))
	if err != nil || len(removed) != 1 || removed[0].URI != "gs://b/old" || exists(folders["old"]) {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if all := kept(t, m); len(all) != 2 {
		t.Errorf("kept %+v", all)
	}
	if all, err := (Models{}).List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}
