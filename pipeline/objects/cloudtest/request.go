package cloudtest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Op is what a request asks for.
type Op string

// The operations. An operation stands for its parts too: Write for all of an upload.
const (
	Any         Op = ""
	List        Op = "list"
	Stat        Op = "stat"
	Read        Op = "read"
	Write       Op = "write"
	WriteStart  Op = "write.start" // begins a resumable upload
	WriteChunk  Op = "write.chunk" // a piece of it
	WriteCancel Op = "write.cancel"
	Copy        Op = "copy"
	Compose     Op = "compose"
	Delete      Op = "delete"
	Bucket      Op = "bucket"      // looks at a bucket
	Permissions Op = "permissions" // asks which permissions one has
	Other       Op = "other"
)

// UnmarshalText reads an operation, Any also as "any". It refuses an unknown one, which no
// request would ever be.
func (o *Op) UnmarshalText(text []byte) error {
	*o = Op(text)
	if *o == "any" {
		*o = Any
	}
	if !slices.Contains([]Op{Any, List, Stat, Read, Write, WriteStart, WriteChunk, WriteCancel, Copy, Compose, Delete, Bucket, Permissions, Other}, *o) {
		return fmt.Errorf("unknown operation %q", text)
	}
	return nil
}

// Request is one request that came.
type Request struct {
	Op     Op
	Method string
	Bucket string
	Name   string     // the object's; of a listing the prefix; of a copy and a composition the destination's
	From   string     // of a copy: gs://bucket/name of the source
	Query  url.Values // as it was asked
	Status int        // of the reply; 0 where none was sent, or not yet
}

// Requests returns the requests that came until now, in their order.
func (s *Server) Requests() []Request {
	s.log.Lock()
	defer s.log.Unlock()
	return slices.Clone(s.requests)
}

// Count returns how many requests for an operation came until now.
func (s *Server) Count(op Op) int {
	n := 0
	for _, r := range s.Requests() {
		if op.includes(r.Op) {
			n++
		}
	}
	return n
}

func (o Op) includes(other Op) bool {
	return o == Any || o == other || strings.HasPrefix(string(other), string(o)+".")
}

// call is a request that is being answered.
type call struct {
	Request
	http *http.Request
	body []byte
	from [2]string // of a copy: bucket and name of the source
	xml  bool      // came by the XML API
}

func newCall(r *http.Request) (*call, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c := &call{http: r, body: body, Request: Request{Op: Other, Method: r.Method, Query: r.URL.Query()}}
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, "/upload/storage/v1/b/"); ok {
		c.parseUpload(unescape(rest))
	} else if rest, ok := strings.CutPrefix(path, "/download/storage/v1/b/"); ok {
		c.parse(unescape(rest))
		c.Op = Read
	} else if rest, ok := strings.CutPrefix(path, "/storage/v1/b/"); ok {
		c.parse(unescape(rest))
	} else if r.Method == http.MethodGet || r.Method == http.MethodHead {
		c.parsePublic(strings.TrimPrefix(path, "/"))
	}
	return c, nil
}

func unescape(path string) []string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if plain, err := url.PathUnescape(part); err == nil {
			parts[i] = plain
		}
	}
	return parts
}

// parse reads the path of a request to the JSON API, behind /b/.
func (c *call) parse(parts []string) {
	c.Bucket = parts[0]
	isObject := len(parts) >= 3 && parts[1] == "o"
	if isObject {
		c.Name = parts[2]
	}
	get := c.Method == http.MethodGet
	switch {
	case len(parts) == 1 && get:
		c.Op = Bucket
	case len(parts) == 2 && parts[1] == "o" && get:
		c.Op, c.Name = List, c.Query.Get("prefix")
	case len(parts) == 3 && parts[1] == "iam" && parts[2] == "testPermissions" && get:
		c.Op = Permissions
	case isObject && len(parts) == 8 && (parts[3] == "rewriteTo" || parts[3] == "copyTo"):
		c.Op, c.from = Copy, [2]string{parts[0], parts[2]}
		c.From, c.Bucket, c.Name = "gs://"+parts[0]+"/"+parts[2], parts[5], parts[7]
	case isObject && len(parts) == 4 && parts[3] == "compose" && c.Method == http.MethodPost:
		c.Op = Compose
	case isObject && len(parts) == 3 && get && c.Query.Get("alt") == "media":
		c.Op = Read
	case isObject && len(parts) == 3 && get:
		c.Op = Stat
	case isObject && len(parts) == 3 && c.Method == http.MethodDelete:
		c.Op = Delete
	}
}

func (c *call) parseUpload(parts []string) {
	c.Bucket, c.Name = parts[0], c.Query.Get("name")
	switch {
	case c.Query.Has("upload_id") && c.Method == http.MethodDelete:
		c.Op = WriteCancel
	case c.Query.Has("upload_id"):
		c.Op = WriteChunk
	case c.Query.Get("uploadType") == "resumable":
		c.Op = WriteStart
	default:
		c.Op = Write
	}
}

// parsePublic reads the path of a read by the XML API.
func (c *call) parsePublic(path string) {
	bucket, name, ok := strings.Cut(path, "/")
	if !ok || name == "" {
		return
	}
	c.Op, c.Bucket, c.Name, c.xml = Read, bucket, name, true
	if plain, err := url.PathUnescape(name); err == nil {
		c.Name = plain
	}
}
