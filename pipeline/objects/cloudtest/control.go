package cloudtest

import (
	"encoding/json"
	"net/http"
)

// control is where programs outside the test's own process reach the server:
//
//	POST /_control/fail      a Fault as JSON
//	POST /_control/heal
//	GET  /_control/requests  what came, as a list of Request
const control = "/_control/"

func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "POST " + control + "fail":
		var f Fault
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&f); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.Fail(f)
	case "POST " + control + "heal":
		s.Heal()
	case "GET " + control + "requests":
		body, err := json.Marshal(s.Requests())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(body)
	default:
		http.NotFound(w, r)
	}
}
