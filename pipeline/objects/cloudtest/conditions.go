package cloudtest

import (
	"net/http"
	"strconv"
)

// conditions checks the conditions of a request against the object it names, and returns
// the refusal where one is not met.
func (s *Server) conditions(c *call) (reply, bool) {
	live := s.live(c.Bucket, c.Name)
	meta := int64(0)
	if live != 0 {
		meta = 1 // nobody changes the metadata of an object
	}
	for _, cond := range []struct {
		name, header string
		actual       int64
		equal        bool
	}{
		{"ifGenerationMatch", "X-Goog-If-Generation-Match", live, true},
		{"ifGenerationNotMatch", "X-Goog-If-Generation-Not-Match", live, false},
		{"ifMetagenerationMatch", "X-Goog-If-Metageneration-Match", meta, true},
		{"ifMetagenerationNotMatch", "X-Goog-If-Metageneration-Not-Match", meta, false},
	} {
		asked := c.Query.Get(cond.name)
		if asked == "" {
			asked = c.http.Header.Get(cond.header)
		}
		if asked == "" {
			continue
		}
		wanted, err := strconv.ParseInt(asked, 10, 64)
		if err != nil {
			return failure(http.StatusBadRequest, "invalid", "Invalid value for "+cond.name), false
		}
		if (wanted == cond.actual) == cond.equal {
			continue
		}
		if !cond.equal && (c.Op == Read || c.Op == Stat) {
			return reply{status: http.StatusNotModified}, false
		}
		return refusal(http.StatusPreconditionFailed, c), false
	}
	return reply{}, true
}
