package pyworker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// Model is the model directory and the packages of a job as FindModel found them. What is
// in Cloud Storage has been listed: Fingerprint and Stage hold to these generations.
type Model struct {
	store    objects.Store
	maxSize  int64
	origin   *place // nil: none
	packages []place
}

// place is where the model directory or one package is: one of folder, archive and cloud.
type place struct {
	key     string // of the job file: model.origin, model.package_uris[0]
	what    string // in errors
	folder  *tree
	archive string   // a file on disk
	cloud   *listing // a folder, or one archive
}

// FindModel looks for the model directory and the packages of cfg; names are relative to
// dir, and both may be in Cloud Storage. The folders named by except (the run's own
// output) are left out where they lie inside of what is found.
//
// Its errors are *pipeline.Error of phase unpack, or the context's.
func FindModel(ctx context.Context, store objects.Store, dir string, cfg ModelConfig, except ...string) (*Model, error) {
	m := &Model{store: store, maxSize: int64(cfg.MaxSize)}
	if cfg.Origin != "" {
		origin, err := m.findOrigin(ctx, objects.Join(dir, cfg.Origin), cfg.Origin, except)
		if err != nil {
			return nil, err
		}
		m.origin = &origin
	}
	for i, uri := range cfg.PackageURIs {
		found, err := m.findPackage(ctx, objects.Join(dir, uri), uri, except)
		if err != nil {
			return nil, err
		}
		found.key = fmt.Sprintf("model.package_uris[%d]", i)
		m.packages = append(m.packages, found)
	}
	return m, nil
}

// findOrigin looks at the model directory, which the job file calls uri.
func (m *Model) findOrigin(ctx context.Context, name, uri string, except []string) (place, error) {
	p := place{key: "model.origin", what: "model directory " + strconv.Quote(uri)}
	if objects.IsCloud(name) {
		var err error
		p.cloud, err = m.listFolder(ctx, p.what, name, except)
		return p, err
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, faulty("Set model.origin to the folder that holds the model's files; paths in the job file are relative to its folder.",
			"%s does not exist: no folder %s", p.what, name)
	case err != nil:
		return p, stageError("open "+p.what, err)
	case !info.IsDir():
		return p, faulty("Set model.origin to the folder that holds it: the Predictor is given a folder.",
			"%s is not a folder but %s", p.what, kindOf(info.Mode()))
	}
	p.folder = &tree{what: p.what, root: name, except: except}
	return p, nil
}

// findPackage looks at a package, which the job file calls uri.
func (m *Model) findPackage(ctx context.Context, name, uri string, except []string) (place, error) {
	p := place{what: "package " + strconv.Quote(uri)}
	if objects.IsCloud(name) {
		var err error
		p.cloud, err = m.findArchive(ctx, p.what, name, uri)
		return p, err
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, faulty("Paths in the job file are relative to its folder.", "%s does not exist: no file or folder %s", p.what, name)
	case err != nil:
		return p, stageError("open "+p.what, err)
	case info.IsDir():
		p.folder = &tree{what: p.what, root: name, skip: skipInPackage, except: except}
	case info.Mode().IsRegular():
		p.archive = name
	default:
		return p, faulty("Name a .tar.gz source distribution, or a folder.", "%s is neither a file nor a folder: %s", p.what, kindOf(info.Mode()))
	}
	return p, nil
}
