package pyworker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Print is the fingerprint of the model directory or of one package.
type Print struct {
	Name string // the key of the job file: model.origin, model.package_uris[0]
	Sum  string // SHA-256 over names and contents, in hexadecimal digits
}

// Fingerprint hashes the model directory and the packages: their names and contents,
// without times, modes and what Python compiled. A copy has the same prints. Of what is in
// Cloud Storage the listing tells sizes and checksums: nothing is downloaded.
//
// Its errors are those of Stage.
func (m *Model) Fingerprint(ctx context.Context) ([]Print, error) {
	var prints []Print
	if m.origin != nil {
		sum, err := m.origin.sum(ctx, &allowance{what: m.origin.what, limit: m.maxSize})
		if err != nil {
			return nil, err
		}
		prints = append(prints, Print{Name: m.origin.key, Sum: sum})
	}
	limit := &allowance{limit: m.maxSize} // of all packages together
	for _, p := range m.packages {
		limit.what = "the packages up to" + strings.TrimPrefix(p.what, "package")
		sum, err := p.sum(ctx, limit)
		if err != nil {
			return nil, err
		}
		prints = append(prints, Print{Name: p.key, Sum: sum})
	}
	return prints, nil
}

func (p place) sum(ctx context.Context, limit *allowance) (string, error) {
	switch {
	case p.cloud != nil:
		return p.cloud.sum(), nil
	case p.folder != nil:
		t := *p.folder
		t.skip = func(name string, dir []string) bool {
			return skipCompiled(name, dir) || p.folder.skip != nil && p.folder.skip(name, dir)
		}
		return t.sum(ctx, limit)
	}
	return archiveSum(ctx, p.what, p.archive, limit)
}

// archiveSum hashes what is in an archive.
func archiveSum(ctx context.Context, what, name string, limit *allowance) (string, error) {
	file, err := openArchive(what, name)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	// As in a folder, the last of two entries of one name counts.
	sums := map[string]string{}
	err = readArchive(ctx, what, file, limit, func(e archiveEntry) error {
		if slices.Contains(strings.Split(e.name, "/"), "__pycache__") {
			return nil
		}
		h := sha256.New()
		if _, err := io.Copy(h, e.body); err != nil {
			return err
		}
		sums[e.name] = string(e.kind) + strconv.Quote(e.link) + hex.EncodeToString(h.Sum(nil))
		return nil
	})
	if err != nil {
		return "", err
	}
	all := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		addRecord(all, name, sums[name])
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// skipCompiled leaves out what Python makes of sources: __pycache__, and x.pyc beside x.py.
func skipCompiled(name string, dir []string) bool {
	source, compiled := strings.CutSuffix(name, ".pyc")
	return name == "__pycache__" || compiled && slices.Contains(dir, source+".py")
}

// sum hashes the tree, some files side by side.
func (t tree) sum(ctx context.Context, limit *allowance) (string, error) {
	var nodes []node
	err := t.walk(ctx, func(n node) error {
		nodes = append(nodes, n)
		if err := limit.enter(n.name); err != nil || n.info.IsDir() {
			return err
		}
		return limit.take(n.info.Size(), n.name)
	})
	if err != nil {
		return "", err
	}
	sums := make([]string, len(nodes))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, n := range nodes {
		if n.info.IsDir() {
			continue
		}
		group.Go(func() (err error) {
			sums[i], err = fileSum(ctx, n.path)
			if err != nil {
				return stageError(fmt.Sprintf("read %q of %s", n.name, t.what), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	all := sha256.New()
	for i, n := range nodes {
		addRecord(all, n.name, sums[i])
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// addRecord adds one name to a sum; quoting keeps neighbours apart.
func addRecord(all hash.Hash, name, sum string) {
	_, _ = fmt.Fprintf(all, "%q %s\n", filepath.ToSlash(name), sum)
}

func fileSum(ctx context.Context, name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	h := sha256.New()
	for {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		n, err := io.CopyN(h, file, copyChunk)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", fmt.Errorf("after %d bytes: %w", n, err)
		}
	}
}
