package objects

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"
)

// pageSize is how many objects one call of a listing gives.
const pageSize = 1000

// List yields the objects below a folder. The empty objects that stand for folders are
// none.
func (c *Cloud) List(ctx context.Context, folder string) iter.Seq2[Object, error] {
	return c.listWhere(ctx, folder, everything)
}

// listWhere is List of what is wanted: folder by folder, unless most are entered.
func (c *Cloud) listWhere(ctx context.Context, folder string, wanted where) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		bucket, root := splitName(folder)
		if root != "" {
			root = strings.TrimRight(root, "/") + "/"
		}
		l := cloudListing{cloud: c, bucket: bucket, root: root, wanted: wanted, yield: yield}
		l.folder(ctx, root+wanted.prefix)
	}
}

// cloudListing is one listing under way.
type cloudListing struct {
	cloud  *Cloud
	bucket string
	root   string // of names, with its slash; "" for the bucket
	wanted where
	yield  func(Object, error) bool
}

// folder yields what begins with prefix; it reports whether to go on.
func (l *cloudListing) folder(ctx context.Context, prefix string) bool {
	for token, first := "", true; first || token != ""; first = false {
		page, err := l.page(ctx, prefix, token)
		if err != nil {
			l.yield(Object{}, l.cloud.explain(ctx, "list", cloudScheme+l.bucket+"/"+prefix, err))
			return false
		}
		for _, a := range page.items {
			if !l.item(ctx, a) {
				return false
			}
		}
		token = page.next
	}
	return true
}

// item yields an object, or what is in a folder.
func (l *cloudListing) item(ctx context.Context, a *storage.ObjectAttrs) bool {
	switch {
	case a.Prefix != "":
		if !l.wanted.enter(strings.TrimSuffix(strings.TrimPrefix(a.Prefix, l.root), "/")) {
			return true
		}
		return l.folder(ctx, a.Prefix)
	case a.Size == 0 && strings.HasSuffix(a.Name, "/"):
		return true
	}
	a.Bucket = l.bucket
	return l.yield(describeAttrs(a), nil)
}

// listPage is what one call gives: objects and folders, ordered by name.
type listPage struct {
	items []*storage.ObjectAttrs
	next  string // "" behind the last page
}

func (l *cloudListing) page(ctx context.Context, prefix, token string) (listPage, error) {
	query := &storage.Query{Prefix: prefix}
	if !l.wanted.deep {
		query.Delimiter = "/"
	}
	if err := query.SetAttrSelection([]string{"Name", "Size", "Generation", "CRC32C", "ContentEncoding", "Created"}); err != nil {
		return listPage{}, err
	}
	page, err := call(ctx, l.cloud, func(ctx context.Context) (page listPage, err error) {
		found := l.cloud.client.Bucket(l.bucket).Objects(ctx, query)
		info := found.PageInfo()
		info.MaxSize, info.Token = pageSize, token
		// The first one brings the page, and the others are there then.
		for more := true; more; more = info.Remaining() > 0 {
			a, err := found.Next()
			if errors.Is(err, iterator.Done) {
				break
			}
			if err != nil {
				return listPage{}, err
			}
			page.items = append(page.items, a)
		}
		page.next = info.Token
		return page, nil
	})
	slices.SortFunc(page.items, func(a, b *storage.ObjectAttrs) int {
		return strings.Compare(a.Name+a.Prefix, b.Name+b.Prefix) // one of the two is empty
	})
	return page, err
}
