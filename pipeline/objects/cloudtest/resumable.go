package cloudtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// upload is a resumable upload.
type upload struct {
	start    *call // has the conditions
	resource resource
	content  []byte
	done     *reply // once it is finished: repeated to whoever asks again
}

func (s *Server) startUpload(c *call) reply {
	u := &upload{start: c}
	if len(c.body) > 0 {
		if err := json.Unmarshal(c.body, &u.resource); err != nil {
			return failure(http.StatusBadRequest, "parseError", err.Error())
		}
	}
	if u.resource.ContentType == "" {
		u.resource.ContentType = c.http.Header.Get("X-Upload-Content-Type")
	}
	if c.Name == "" {
		c.Name = u.resource.Name
	}
	if objection := checkName(c.Name); objection != "" {
		return failure(http.StatusBadRequest, "invalid", objection)
	}
	if rep, ok := s.conditions(c); !ok {
		return rep
	}
	id := strconv.Itoa(len(s.uploads) + 1)
	for s.uploads[id] != nil {
		id += "0"
	}
	s.uploads[id] = u
	query := url.Values{"uploadType": {"resumable"}, "name": {c.Name}, "upload_id": {id}}
	location := s.URL() + "/upload/storage/v1/b/" + url.PathEscape(c.Bucket) + "/o?" + query.Encode()
	return reply{status: http.StatusOK, header: http.Header{"Location": {location}}}
}

func (s *Server) continueUpload(c *call) reply {
	u := s.uploads[c.Query.Get("upload_id")]
	if u == nil {
		return failure(http.StatusNotFound, "notFound", "Not Found")
	}
	if u.done != nil {
		return *u.done
	}
	from, total, err := contentRange(c.http.Header.Get("Content-Range"))
	if err != nil {
		return failure(http.StatusBadRequest, "badRequest", err.Error())
	}
	if have := int64(len(u.content)); from >= 0 && from <= have {
		u.content = append(slices.Clip(u.content), c.body[min(have-from, int64(len(c.body))):]...)
	}
	if total < 0 || int64(len(u.content)) < total {
		return u.incomplete()
	}
	u.start.http.Header["X-Goog-Hash"] = c.http.Header["X-Goog-Hash"]
	rep := s.insert(u.start, u.resource, u.content)
	u.done = &rep
	return rep
}

// incomplete says how far an upload has come, in the form for clients that send
// X-GUploader-No-308, as Go's does.
func (u *upload) incomplete() reply {
	header := http.Header{"X-Http-Status-Code-Override": {"308"}}
	if len(u.content) > 0 {
		header.Set("Range", fmt.Sprintf("bytes=0-%d", len(u.content)-1))
	}
	return reply{status: http.StatusOK, header: header}
}

// contentRange reads where a piece begins (-1: there is none) and how much the whole is
// (-1: not yet known).
func contentRange(header string) (from, total int64, err error) {
	span, size, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	if header == "" {
		return 0, 0, nil // all in one piece
	}
	if !ok {
		return 0, 0, fmt.Errorf("invalid Content-Range %q", header)
	}
	from, total = -1, -1
	if span != "*" {
		first, _, _ := strings.Cut(span, "-")
		if from, err = strconv.ParseInt(first, 10, 64); err != nil {
			return 0, 0, err
		}
	}
	if size != "*" {
		total, err = strconv.ParseInt(size, 10, 64)
	}
	return from, total, err
}
