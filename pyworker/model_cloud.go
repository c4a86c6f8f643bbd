package pyworker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
)

// listing is a folder, or one archive, in Cloud Storage, as it was listed.
type listing struct {
	what    string // in errors
	uri     string
	files   []remote // in the order of names
	size    int64    // of all that is stored
	archive bool     // kept as it is stored, whatever its Content-Encoding
}

// remote is one object of a listing.
type remote struct {
	name   string // below the folder, with slashes: a local path
	object objects.Object
}

// maxPartBytes is the longest name of a file or folder that disks take.
const maxPartBytes = 255

// listFolder lists the model directory.
func (m *Model) listFolder(ctx context.Context, what, name string, except []string) (*listing, error) {
	l := &listing{what: what, uri: name}
	names := newNameSet(&allowance{what: what, limit: m.maxSize})
	for o, err := range m.store.List(ctx, name) {
		if err != nil {
			return nil, storeError(ctx, "list "+what, err)
		}
		rel, below := strings.CutPrefix(o.Name, name+"/")
		if !below {
			return nil, storeError(ctx, "list "+what, fmt.Errorf("%s does not lie in %s", o.Name, name))
		}
		placeholder := o.Size == 0 && (rel == "" || strings.HasSuffix(rel, "/"))
		if placeholder || slices.ContainsFunc(except, func(e string) bool { return strings.HasPrefix(o.Name, e+"/") }) {
			continue
		}
		if err := names.add(rel, o.Size); err != nil {
			return nil, err
		}
		l.files = append(l.files, remote{name: rel, object: o})
		l.size += o.Size
	}
	if len(l.files) > 0 {
		return l, nil
	}
	if _, err := m.store.Stat(ctx, name); err == nil {
		return nil, faulty("Set model.origin to the folder that holds it: the Predictor is given a folder.", "%s is not a folder but an object", what)
	} else if !errors.Is(err, objects.ErrNotExist) {
		return nil, storeError(ctx, "open "+what, err)
	}
	return nil, faulty("Set model.origin to the folder that holds the model's files; names in the job file are relative to its folder.",
		"%s does not exist: no object whose name begins with %s/", what, name)
}

// findArchive looks at a package in Cloud Storage, which the job file calls uri.
func (m *Model) findArchive(ctx context.Context, what, name, uri string) (*listing, error) {
	o, err := m.store.Stat(ctx, name)
	if err != nil && !errors.Is(err, objects.ErrNotExist) {
		return nil, storeError(ctx, "open "+what, err)
	}
	if err != nil || strings.HasSuffix(uri, "/") {
		for _, err := range m.store.List(ctx, name) {
			if err != nil {
				return nil, storeError(ctx, "open "+what, err)
			}
			return nil, faulty("Name the .tar.gz source distribution (`python3 -m build --sdist` makes one).", "%s is a folder: in Cloud Storage a package is a .tar.gz archive", what)
		}
		if err == nil {
			return nil, faulty("Leave out the slash at its end.", "%s does not exist: no folder, but an object %s", what, name)
		}
		return nil, faulty("Name a .tar.gz source distribution; names in the job file are relative to its folder.", "%s does not exist: no object %s", what, name)
	}
	base := path.Base(name)
	if fault := badName(base); fault != "" {
		return nil, faulty("Give it another name.", "%s: its name %s", what, fault)
	}
	// What it unpacks to is bounded when it is unpacked.
	if m.maxSize > 0 && o.Size-maxHeaders > m.maxSize {
		return nil, faulty("Raise model.max_size in the job file, or leave out what the Predictor does not need.",
			"%s: over model.max_size, which is %s: %d bytes, compressed", what, pipeline.Bytes(m.maxSize), o.Size)
	}
	return &listing{what: what, uri: name, size: o.Size, archive: true, files: []remote{{name: base, object: o}}}, nil
}

// nameSet are the names of a listing, as they will be on disk.
type nameSet struct {
	limit          *allowance
	files, folders map[string]bool
}

func newNameSet(limit *allowance) nameSet {
	return nameSet{limit: limit, files: map[string]bool{}, folders: map[string]bool{}}
}

// add adds an object of size bytes, within the limit.
func (s nameSet) add(name string, size int64) error {
	if fault := badName(name); fault != "" {
		return faulty("Copy the object to another name, or move it out of the folder.", "%s: the name %q %s", s.limit.what, shorten(name), fault)
	}
	if s.files[name] || s.folders[name] {
		return s.twofold(name)
	}
	for folder := path.Dir(name); folder != "." && !s.folders[folder]; folder = path.Dir(folder) {
		if s.files[folder] {
			return s.twofold(folder)
		}
		s.folders[folder] = true
		if err := s.limit.enter(folder); err != nil {
			return err
		}
	}
	s.files[name] = true
	if err := s.limit.enter(name); err != nil {
		return err
	}
	return s.limit.take(size, name)
}

func (s nameSet) twofold(name string) error {
	return faulty("Copy the object to another name, or move it out of the folder.", "%s: %q is both an object and a folder with objects, which no disk can hold", s.limit.what, name)
}

// badName says why an object's name can not be a path below a folder; "": it can.
func badName(name string) string {
	if strings.ContainsRune(name, 0) {
		return "holds a zero byte"
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return "has an empty part: two slashes, or one at its end"
		case part == "." || part == "..":
			return fmt.Sprintf("has the part %q", part)
		case len(part) > maxPartBytes:
			return fmt.Sprintf("has a part longer than %d bytes", maxPartBytes)
		}
	}
	return ""
}

// hash names what is downloaded: the objects at their generations.
func (l *listing) hash() string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "1 %q %v\n", l.uri, l.archive)
	for _, f := range l.files {
		_, _ = fmt.Fprintf(h, "%q %q %q %d %v\n", f.name, f.object.Generation, f.object.Sum, f.object.Size, f.object.Gzipped)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// sum is the fingerprint: names, sizes and checksums, of which a copy has the same, without
// what Python compiled.
func (l *listing) sum() string {
	sources := map[string][]string{} // of each folder
	for _, f := range l.files {
		sources[path.Dir(f.name)] = append(sources[path.Dir(f.name)], path.Base(f.name))
	}
	all := sha256.New()
	for _, f := range l.files {
		parts := strings.Split(f.name, "/")
		if slices.Contains(parts, "__pycache__") || strings.HasSuffix(f.name, ".pyc") && skipCompiled(path.Base(f.name), sources[path.Dir(f.name)]) {
			continue
		}
		sum := f.object.Sum
		if sum == "" {
			sum = "generation " + f.object.Generation
		}
		name := f.name
		if l.archive {
			name = "" // a copy may have another
		}
		record := fmt.Sprintf("%d %s gzipped=%v", f.object.Size, sum, f.object.Gzipped)
		addRecord(all, name, record)
	}
	return hex.EncodeToString(all.Sum(nil))
}

// storeError is an error of the store, met while doing something.
func storeError(ctx context.Context, doing string, err error) error {
	var known *pipeline.Error
	switch {
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	e := &pipeline.Error{Remedy: pipeline.TryAgain, Phase: pipeline.PhaseUnpack, Message: doing, Err: err, Hint: objects.Hint(err)}
	var unpacking *objects.UnpackError
	switch {
	case errors.As(err, &unpacking):
		e.Remedy = pipeline.FixInput
		e.Hint = "Upload it again, or clear its metadata (`gcloud storage objects update --clear-content-encoding`) if it is not compressed."
	case errors.Is(err, objects.ErrChanged), errors.Is(err, objects.ErrNotExist):
		e.Hint = "It was replaced or removed while this run was at it: run again, when nobody writes there any more."
	case objects.IsSetup(err), errors.Is(err, fs.ErrPermission):
		e.Remedy = pipeline.FixConfig
	}
	return e
}
