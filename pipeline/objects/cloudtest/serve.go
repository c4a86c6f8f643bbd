package cloudtest

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
)

// serve answers one request, or fails at it as it was told.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, control) {
		s.control(w, r)
		return
	}
	c, err := newCall(r)
	if err != nil {
		panic(http.ErrAbortHandler) // the client has gone
	}
	n, f := s.arrive(c.Request)
	if f.Before != nil {
		f.Before(c.Request)
	}
	switch {
	case f.Kind == Reset:
		reset(w)
		return
	case f.Kind == Stall && f.Bytes == 0:
		s.hang(r)
	}
	var rep reply
	if f.Kind == Refuse {
		rep = refusal(f.Status, c)
	} else {
		rep = s.answer(c, f.Deny)
	}
	if c.xml && rep.message != "" {
		rep = rep.inXML()
	}
	if f.Kind == LoseReply {
		panic(http.ErrAbortHandler)
	}
	s.leave(n, rep.status)
	s.send(w, r, f, rep)
}

// answer does what a request asks for.
func (s *Server) answer(c *call, denied []string) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.fake.Backend().GetBucket(c.Bucket); c.Bucket != "" && err != nil {
		return refusal(http.StatusNotFound, c)
	}
	switch c.Op {
	case List:
		return s.list(c)
	case Write, WriteStart, WriteChunk, WriteCancel:
		return s.write(c)
	case Copy:
		return s.copy(c)
	case Compose:
		return s.compose(c)
	case Permissions:
		return permissions(c, denied)
	case Stat, Read, Delete:
		if rep, ok := s.conditions(c); !ok {
			return rep
		}
		rep := s.forward(c.http, c.body)
		if rep.status == http.StatusNotFound {
			return noObject(c.Bucket, c.Name)
		}
		return rep
	}
	return s.forward(c.http, c.body)
}

// forward lets the fake answer.
func (s *Server) forward(r *http.Request, body []byte) reply {
	r = r.Clone(r.Context())
	r.Body = http.NoBody
	if len(body) > 0 {
		r.Body = readCloser{bytes.NewReader(body)}
	}
	rec := httptest.NewRecorder()
	s.fake.HTTPHandler().ServeHTTP(rec, r)
	return reply{status: rec.Code, header: rec.Header(), body: rec.Body.Bytes()}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// send sends a reply, or as much of it as the fault leaves.
func (s *Server) send(w http.ResponseWriter, r *http.Request, f Fault, rep reply) {
	for name, values := range rep.header {
		w.Header()[name] = values
	}
	if r.Method != http.MethodHead || w.Header().Get("Content-Length") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(rep.body)))
	}
	body := rep.body
	if f.Kind == Corrupt && len(body) > 0 {
		body = slices.Clone(body)
		body[min(f.Bytes, len(body)-1)] ^= 1
	}
	cut := f.Kind == Cut || f.Kind == Stall
	if cut {
		body = body[:min(f.Bytes, len(body))]
	}
	w.WriteHeader(rep.status)
	_, _ = w.Write(body) // the client may have gone
	if !cut {
		return
	}
	_ = http.NewResponseController(w).Flush()
	if f.Kind == Stall {
		s.hang(r)
	}
	panic(http.ErrAbortHandler)
}

// hang waits until the client or the server has enough, and gives the connection up.
func (s *Server) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.done:
	}
	panic(http.ErrAbortHandler)
}

// reset ends a connection so that the client sees it reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the connection is closed as well
	}
	_ = conn.Close()
}

// permissions answers which of the permissions asked for one has.
func permissions(c *call, denied []string) reply {
	var r struct {
		Kind        string   `json:"kind"`
		Permissions []string `json:"permissions,omitempty"`
	}
	r.Kind = "storage#testIamPermissionsResponse"
	for _, p := range c.Query["permissions"] {
		if !slices.Contains(denied, p) {
			r.Permissions = append(r.Permissions, p)
		}
	}
	body, err := json.Marshal(r)
	return jsonReply(body, err)
}
