package cloudtest

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// maxSources is how many objects the real service composes by one request.
const maxSources = 32

// composition is the body of a request to compose.
type composition struct {
	Sources []struct {
		Name       string `json:"name"`
		Generation int64  `json:"generation,string"`
		Conditions struct {
			Generation *int64 `json:"ifGenerationMatch,string"`
		} `json:"objectPreconditions"`
	} `json:"sourceObjects"`
	Destination resource `json:"destination"`
}

// compose answers a request to make an object of others, of which the fake overlooks the
// generations, the conditions and the sum.
func (s *Server) compose(c *call) reply {
	var asked composition
	if err := json.Unmarshal(c.body, &asked); err != nil {
		return failure(http.StatusBadRequest, "parseError", err.Error())
	}
	switch n := len(asked.Sources); {
	case n == 0:
		return failure(http.StatusBadRequest, "required", "You must provide at least one source component.")
	case n > maxSources:
		return failure(http.StatusBadRequest, "invalid",
			fmt.Sprintf("The number of source components provided (%d) exceeds the maximum (%d)", n, maxSources))
	}
	var content []byte
	for _, source := range asked.Sources {
		o, err := s.fake.GetObject(c.Bucket, source.Name)
		if err != nil || source.Generation != 0 && source.Generation != o.Generation {
			return noObject(c.Bucket, source.Name)
		}
		if g := source.Conditions.Generation; g != nil && *g != o.Generation {
			return refusal(http.StatusPreconditionFailed, c)
		}
		content = append(content, o.Content...)
	}
	asked.Destination.Name = ""
	return s.insert(c, asked.Destination, content)
}
