package objects

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Found is an object that a URI of a job file stands for.
type Found struct {
	Object Object
	URI    string // as the job file has it, with the name found
}

// ErrPattern says that a URI with wildcards is not well formed.
var ErrPattern = errors.New("is not a valid pattern")

// Match lists what a path of a job file in the folder dir stands for, ordered by name:
//
//   - an object of exactly that name, whatever characters are in it;
//   - else all that is below a folder of exactly that name, at any depth, without names
//     that begin with "_" or "." and what is below such a folder;
//   - else what it matches as a pattern: * and ? within a name, [] a class, {a,b} one of
//     these, ** any number of folders, \ before what shall not be special. A pattern
//     matches whole names of objects, hidden ones too where it is so written; what is
//     below a folder it matches needs /** behind it.
//
// Nothing found is no error. What was found is returned beside an error, which may join
// several.
func Match(ctx context.Context, store Store, dir, uri string) ([]Found, error) {
	var found []Found
	var errs []error
	for f, err := range MatchEach(ctx, store, dir, uri) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, f)
	}
	return found, errors.Join(errs...)
}

// MatchEach yields what Match lists, one by one as it is found, in the order of the bytes
// of the objects' names; it holds no more of them than the store's List does. An error is
// yielded with a zero Found; the matching goes on behind it for as long as the caller does,
// and the listing can.
func MatchEach(ctx context.Context, store Store, dir, uri string) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		name := Join(dir, uri)
		if bucket, _ := splitName(name); IsCloud(name) && hasMeta(bucket) {
			yield(Found{}, fmt.Errorf("%s: %w: a bucket is named as it is", uri, ErrPattern))
			return
		}
		o, err := store.Stat(ctx, name)
		switch {
		case err == nil:
			yield(Found{Object: o, URI: uri}, nil)
			return
		case !errors.Is(err, ErrNotExist):
			yield(Found{}, err)
			return
		}
		below := listed{folder: name, shown: strings.TrimRight(uri, "/") + "/", matches: isShown}
		if below.each(listWhere(ctx, store, name, where{enter: isShown, deep: true}), yield) || !hasMeta(uri) {
			return
		}
		matchPattern(ctx, store, dir, uri, yield)
	}
}

// matchPattern yields what a pattern matches.
func matchPattern(ctx context.Context, store Store, dir, uri string, yield func(Found, error) bool) {
	if !doublestar.ValidatePattern(uri) {
		yield(Found{}, fmt.Errorf("%s: %w", uri, ErrPattern))
		return
	}
	base, pattern := doublestar.SplitPattern(uri)
	shown := strings.TrimSuffix(uri, pattern)
	if strings.Contains(shown, `\`) {
		shown = base + "/" // the name, not how it is written in a pattern
	}
	l := listed{folder: Join(dir, base), shown: shown, matches: matching(pattern)}
	w := where{enter: leadsTo(pattern), prefix: literal(pattern), deep: strings.Contains(pattern, "**")}
	l.each(listWhere(ctx, store, l.folder, w), yield)
}

// meta are the characters that mean something in a pattern.
const meta = `*?[{\`

func hasMeta(uri string) bool { return strings.ContainsAny(uri, meta) }

// literal is what all names begin with that pattern matches, as far as it is plain.
func literal(pattern string) string {
	if i := strings.IndexAny(pattern, meta); i >= 0 {
		return pattern[:i]
	}
	return pattern // what was escaped stands before the slash
}

// isShown is false for what a folder's name does not stand for.
func isShown(rel string) bool {
	for part := range strings.SplitSeq(rel, "/") {
		if strings.HasPrefix(part, "_") || strings.HasPrefix(part, ".") {
			return false
		}
	}
	return true
}

// where says what of a listing is wanted.
type where struct {
	enter  func(rel string) bool // which folders; they are named relative to the one listed
	prefix string                // with which all names begin, relative to the folder
	deep   bool                  // most folders are entered: one listing serves for all
}

var everything = where{enter: func(string) bool { return true }, deep: true}

// ListWhere is store.List for those who need not know what is in the folders that enter
// refuses; they are named relative to folder. A store that can spare itself these does.
func ListWhere(ctx context.Context, store Store, folder string, enter func(rel string) bool) iter.Seq2[Object, error] {
	return listWhere(ctx, store, folder, where{enter: enter})
}

func listWhere(ctx context.Context, store Store, folder string, w where) iter.Seq2[Object, error] {
	if s, ok := store.(interface {
		listWhere(context.Context, string, where) iter.Seq2[Object, error]
	}); ok {
		return s.listWhere(ctx, folder, w)
	}
	return store.List(ctx, folder)
}

// listed is what is wanted of a folder that is listed.
type listed struct {
	folder  string
	shown   string // stands before the names relative to folder
	matches func(rel string) bool
}

// each yields what is wanted of a listing, and reports whether there was any, or an error.
func (l listed) each(listing iter.Seq2[Object, error], yield func(Found, error) bool) (some bool) {
	for o, err := range listing {
		rel := relative(l.folder, o.Name)
		unnamed := err != nil && o.Name == ""
		if !unnamed && !l.matches(rel) {
			continue
		}
		some = true
		f := Found{Object: o, URI: l.shown + rel}
		if err != nil {
			f = Found{}
		}
		if !yield(f, err) {
			break
		}
	}
	return some
}

// relative names what is listed below folder.
func relative(folder, name string) string {
	if folder == "." {
		return name
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, folder), "/")
}

// matching returns whether a pattern matches a name: element by element where it can be
// taken apart, so that a class such as [!a] never stands for a slash, which it does for
// the library.
func matching(pattern string) func(rel string) bool {
	elements := strings.Split(pattern, "/")
	for _, e := range elements {
		if e != "**" && !isOneElement(e) {
			return func(rel string) bool { return doublestar.MatchUnvalidated(pattern, rel) }
		}
	}
	return func(rel string) bool { return matchElements(elements, strings.Split(rel, "/")) }
}

// matchElements goes back to the last ** only, which is enough: what is before it matched
// as early as it could.
func matchElements(elements, parts []string) bool {
	e, p, again, from := 0, 0, -1, 0
	for p < len(parts) {
		switch {
		case e < len(elements) && elements[e] == "**":
			again, from = e, p
			e++
		case e < len(elements) && doublestar.MatchUnvalidated(elements[e], parts[p]):
			e++
			p++
		case again >= 0:
			from++
			e, p = again+1, from
		default:
			return false
		}
	}
	for e < len(elements) && elements[e] == "**" {
		e++
	}
	return e == len(elements)
}

// leadsTo returns whether what pattern matches may be below a folder. It judges element
// by element, up to one that may stand for several.
func leadsTo(pattern string) func(rel string) bool {
	elements := strings.Split(pattern, "/")
	fixed := 0
	for fixed < len(elements) && isOneElement(elements[fixed]) {
		fixed++
	}
	return func(rel string) bool {
		parts := strings.Split(rel, "/")
		if fixed == len(elements) && len(parts) >= fixed {
			return false
		}
		for i, part := range parts[:min(len(parts), fixed)] {
			if !doublestar.MatchUnvalidated(elements[i], part) {
				return false
			}
		}
		return true
	}
}

// isOneElement is false where a part of a pattern between slashes may match a slash, or
// is cut out of something that does.
func isOneElement(element string) bool {
	if strings.Count(element, "*") > 1 { // two may come to stand side by side: {*,a}*
		for _, beside := range []string{"**", "*{", "}*", "}{"} {
			if strings.Contains(element, beside) {
				return false
			}
		}
	}
	return doublestar.ValidatePattern(element) && !strings.ContainsAny(element, `\`)
}
