package cloudtest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxPage is how many results the real service gives at most in one page.
const maxPage = 1000

// PageSize sets how many results a page of a listing has at most.
func (s *Server) PageSize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageSize = n
}

// entry is an object in a listing, or a prefix that stands for several.
type entry struct {
	key    string
	object json.RawMessage // nil for a prefix
}

// page is a page of a listing.
type page struct {
	Kind     string            `json:"kind"`
	Items    []json.RawMessage `json:"items,omitempty"`
	Prefixes []string          `json:"prefixes,omitempty"`
	Next     string            `json:"nextPageToken,omitempty"`
}

func (s *Server) list(c *call) reply {
	if c.Query.Get("matchGlob") != "" {
		return failure(http.StatusBadRequest, "invalid", "matchGlob is not supported here")
	}
	entries, err := s.entries(c)
	if err != nil {
		return failure(http.StatusInternalServerError, "internalError", err.Error())
	}
	after, err := base64.URLEncoding.DecodeString(c.Query.Get("pageToken"))
	if err != nil {
		return failure(http.StatusBadRequest, "invalid", "Invalid pageToken")
	}
	limit := s.pageSize
	if n, err := strconv.Atoi(c.Query.Get("maxResults")); err == nil && n > 0 {
		limit = min(limit, n)
	}
	p := page{Kind: "storage#objects"}
	last := ""
	for _, e := range entries {
		if e.key <= string(after) {
			continue
		}
		if len(p.Items)+len(p.Prefixes) == limit {
			p.Next = base64.URLEncoding.EncodeToString([]byte(last))
			break
		}
		last = e.key
		if e.object == nil {
			p.Prefixes = append(p.Prefixes, e.key)
		} else {
			p.Items = append(p.Items, e.object)
		}
	}
	body, err := json.Marshal(p)
	return jsonReply(body, err)
}

// entries returns all that a listing is asked for, ordered. The fake repeats prefixes in
// every page, so it is asked for the objects only.
func (s *Server) entries(c *call) ([]entry, error) {
	query := url.Values{"prefix": {c.Name}, "projection": {"full"}}
	r, err := http.NewRequestWithContext(c.http.Context(), http.MethodGet,
		s.URL()+"/storage/v1/b/"+url.PathEscape(c.Bucket)+"/o?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	var all struct{ Items []json.RawMessage }
	if err := json.Unmarshal(s.forward(r, nil).body, &all); err != nil {
		return nil, err
	}
	first, end, delimiter := c.Query.Get("startOffset"), c.Query.Get("endOffset"), c.Query.Get("delimiter")
	var entries []entry
	for _, item := range all.Items {
		var o struct{ Name string }
		if err := json.Unmarshal(item, &o); err != nil {
			return nil, err
		}
		if o.Name < first || end != "" && o.Name >= end {
			continue
		}
		prefix, isBelow := folder(o.Name, c.Name, delimiter)
		if isBelow && (len(entries) == 0 || entries[len(entries)-1].key != prefix) {
			entries = append(entries, entry{key: prefix})
		}
		if !isBelow || prefix == o.Name && c.Query.Get("includeTrailingDelimiter") == "true" {
			entries = append(entries, entry{key: o.Name, object: item})
		}
	}
	return entries, nil
}

// folder returns the prefix that stands for an object in a listing with a delimiter.
func folder(name, prefix, delimiter string) (string, bool) {
	if delimiter == "" {
		return "", false
	}
	i := strings.Index(name[len(prefix):], delimiter)
	if i < 0 {
		return "", false
	}
	return name[:len(prefix)+i+len(delimiter)], true
}
