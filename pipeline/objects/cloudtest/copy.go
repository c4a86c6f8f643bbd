package cloudtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// copy answers a rewrite. A request that says anything of the new object takes nothing
// over but the content, as the real service has it.
func (s *Server) copy(c *call) reply {
	o, err := s.fake.GetObject(c.from[0], c.from[1])
	if err != nil {
		if _, err := s.fake.Backend().GetBucket(c.from[0]); err != nil {
			return refusal(http.StatusNotFound, c)
		}
		return noObject(c.from[0], c.from[1])
	}
	actual := strconv.FormatInt(o.Generation, 10)
	if g := c.Query.Get("sourceGeneration"); g != "" && g != actual {
		return noObject(c.from[0], c.from[1])
	}
	if g := c.Query.Get("ifSourceGenerationMatch"); g != "" && g != actual {
		return refusal(http.StatusPreconditionFailed, c)
	}
	var r resource
	if len(c.body) > 0 {
		if err := json.Unmarshal(c.body, &r); err != nil {
			return failure(http.StatusBadRequest, "parseError", err.Error())
		}
	}
	r.Name = ""
	if isEmpty(r) {
		r = resource{
			ContentType: o.ContentType, ContentEncoding: o.ContentEncoding, ContentDisposition: o.ContentDisposition,
			ContentLanguage: o.ContentLanguage, CacheControl: o.CacheControl, StorageClass: o.StorageClass, Metadata: o.Metadata,
		}
	}
	rep := s.insert(c, r, o.Content)
	if rep.status != http.StatusOK {
		return rep
	}
	return jsonReply(fmt.Appendf(nil, `{"kind":"storage#rewriteResponse","totalBytesRewritten":"%d","objectSize":"%[1]d","done":true,"resource":%s}`,
		len(o.Content), rep.body), nil)
}

func isEmpty(r resource) bool {
	return r.ContentType == "" && r.ContentEncoding == "" && r.ContentDisposition == "" && r.ContentLanguage == "" &&
		r.CacheControl == "" && r.StorageClass == "" && len(r.Metadata) == 0
}
