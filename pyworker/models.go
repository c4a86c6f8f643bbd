package pyworker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Models are the model directories and packages that were downloaded from Cloud Storage,
// each in a folder named by the hash of its objects and their generations, with the record
// model.json. Runs copy what they need: nobody writes to what is kept.
//
// The zero value keeps nothing: every run downloads for itself.
type Models struct {
	Dir      string // of all models; "": there is none
	Limit    int64  // bytes that are kept, beside what is in use; 0: no limit
	Log      *slog.Logger
	Progress *Transfer // counts what is downloaded; nil: nobody does
}

// keptModels is the limit of UserModels.
const keptModels = 64 << 30

// UserModels are those in the user's cache folder; where he has none, nothing is kept.
func UserModels(log *slog.Logger) Models {
	m := Models{Limit: keptModels, Log: log}
	if folder, err := os.UserCacheDir(); err == nil {
		m.Dir = filepath.Join(folder, "cpr-batch", "models")
	}
	return m
}

// modelRecord is model.json.
type modelRecord struct {
	record
	URI   string      `json:"uri"`
	Files []modelFile `json:"files"`
}

func (m Models) cache() cache {
	return cache{dir: m.Dir, record: "model.json", prefix: "files-", what: "model", fault: modelsFault, log: m.Log}
}

// cacheFault marks an error of the folder that models are kept in: a run can do without.
type cacheFault struct{ error }

func (f cacheFault) Unwrap() error { return f.error }

func modelsFault(doing string, err error) error {
	e := &pipeline.Error{Remedy: pipeline.FixConfig, Phase: pipeline.PhaseUnpack, Message: doing, Err: cacheFault{err},
		Hint: "Models are kept in the user's cache folder: set HOME, or XDG_CACHE_HOME, to a folder that can be written."}
	if isFull(err) {
		e.Remedy = pipeline.TryAgain
		e.Hint = "Make room on that disk: a model is kept in the user's cache folder (XDG_CACHE_HOME), which `cpr-batch env prune` empties, and copied to TMPDIR."
	}
	return e
}

// isFull tells that a disk, or what the user may have of it, is full.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// fetch puts what was listed into an empty folder: through the cache, or past it where that
// can not be used, within limit.
func (m Models) fetch(ctx context.Context, store objects.Store, l *listing, into string, limit *allowance) error {
	if m.Log == nil {
		m.Log = slog.New(slog.DiscardHandler)
	}
	d := &downloader{store: store, listing: l, progress: m.Progress, limit: *limit}
	if m.Dir != "" && (m.Limit <= 0 || l.size <= m.Limit) {
		err := m.fetchKept(ctx, d, into)
		var cache cacheFault
		// Where another disk than that of the cache is full, no room is made there.
		if isFull(err) && (errors.As(err, &cache) || onOneDisk(m.Dir, into)) && m.makeRoom(ctx, l.size) {
			if err := clearFolder(into); err != nil {
				return stageError("copy "+l.what, err)
			}
			err = m.fetchKept(ctx, d, into)
		}
		if !errors.As(err, &cache) || isFull(err) && onOneDisk(m.Dir, into) {
			return err
		}
		m.Log.Warn("models can not be kept: downloading for this run alone", slog.String("path", m.Dir), slog.Any("error", cache.error))
	}
	d.mode = 0o600
	_, err := m.download(ctx, d, into)
	var disk *diskError
	if errors.As(err, &disk) {
		return stageError(disk.doing, disk.err)
	}
	return err
}

// fetchKept downloads what is not kept yet, and copies it.
func (m Models) fetchKept(ctx context.Context, d *downloader, into string) error {
	c := m.cache()
	var made bool
	folder, lock, err := c.open(ctx, d.listing.hash(), entryMaker{
		whole: func(folder string) bool { return c.holds(folder, d.listing) },
		build: func(ctx context.Context, target string) (recorded, error) {
			made = true
			return m.build(ctx, d, target)
		},
	})
	if err != nil {
		return err
	}
	defer func() { _ = unlock(lock) }()
	if made {
		m.shrink(ctx)
	}
	record, err := readRecord[modelRecord](c, folder)
	if err != nil {
		return modelsFault("read what is kept of "+d.listing.what, err)
	}
	return copyKept(ctx, filepath.Join(folder, record.Folder), record.Files, into, d.limit)
}

// build downloads into the cache.
func (m Models) build(ctx context.Context, d *downloader, target string) (recorded, error) {
	d.mode = 0o400
	files, err := m.download(ctx, d, target)
	var disk *diskError
	if errors.As(err, &disk) {
		return nil, modelsFault(disk.doing, disk.err)
	}
	if err != nil {
		return nil, err
	}
	return modelRecord{record: record{Folder: filepath.Base(target)}, URI: d.listing.uri, Files: files}, nil
}

func (m Models) download(ctx context.Context, d *downloader, into string) ([]modelFile, error) {
	started := time.Now()
	m.Log.Info("downloading", slog.String("what", d.listing.what), slog.Int("files", len(d.listing.files)), slog.Int64("bytes", d.listing.size))
	files, err := d.run(ctx, into)
	if err != nil {
		return nil, err
	}
	m.Log.Info("downloaded", slog.String("what", d.listing.what), slog.Duration("took", time.Since(started).Round(time.Millisecond)))
	return files, nil
}

// holds tells whether a folder's entry is whole: all files of the listing are there, and of
// the sizes that they were written in.
func (c cache) holds(folder string, l *listing) bool {
	r, err := readRecord[modelRecord](c, folder)
	if err != nil || len(r.Files) != len(l.files) {
		return false
	}
	for i, f := range r.Files {
		if f.Name != l.files[i].name {
			return false
		}
		info, err := os.Lstat(filepath.Join(folder, r.Folder, filepath.FromSlash(f.Name)))
		if err != nil || !info.Mode().IsRegular() || info.Size() != f.Size {
			return false
		}
	}
	return true
}

// copyKept copies files into an empty folder, within limit: what was unpacked on its way
// into the cache may have been measured by another.
func copyKept(ctx context.Context, from string, files []modelFile, into string, limit allowance) error {
	for _, f := range files {
		n := node{path: filepath.Join(from, filepath.FromSlash(f.Name)), name: f.Name}
		to := filepath.Join(into, filepath.FromSlash(f.Name))
		var err error
		if n.info, err = os.Stat(n.path); err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o700)
		}
		if err == nil {
			err = copyFile(ctx, n, to, &limit)
		}
		if err != nil {
			return stageError(fmt.Sprintf("copy %q of %s", f.Name, limit.what), err)
		}
	}
	return nil
}

// clearFolder removes what is in a folder.
func clearFolder(folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	return os.Mkdir(folder, 0o700)
}

// onOneDisk tells whether two folders are on one file system, as far as they are there.
func onOneDisk(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	if err != nil {
		return false
	}
	x, ok := first.Sys().(*syscall.Stat_t)
	y, both := second.Sys().(*syscall.Stat_t)
	return ok && both && x.Dev == y.Dev
}
