// Package cloudtest is a Cloud Storage inside the process, for tests: it can be told to
// fail in the ways in which the real one does. It does what the official client asks of
// it, not all that there is.
package cloudtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/fsouza/fake-gcs-server/fakestorage"
	"google.golang.org/api/option"
)

// Server is a Cloud Storage on a port of the loopback interface.
type Server struct {
	http *httptest.Server
	fake *fakestorage.Server // holds the objects
	done chan struct{}       // closed by Close: nothing waits any longer
	stop sync.Once

	mu         sync.Mutex // one request at a time comes to the objects
	generation int64      // the newest one
	uploads    map[string]*upload
	pageSize   int

	log      sync.Mutex // guards what is below
	requests []Request
	faults   []*Fault
}

// New starts a server that has these buckets; Close ends it.
func New(buckets ...string) (*Server, error) {
	s := &Server{
		done:       make(chan struct{}),
		generation: time.Now().UnixMicro(),
		uploads:    map[string]*upload{},
		pageSize:   maxPage,
	}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	host := s.http.Listener.Addr().String()
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener:  true,
		Scheme:      "http",
		ExternalURL: "http://" + host,
		PublicHost:  host,
		Writer:      io.Discard,
	})
	if err != nil {
		s.http.Close()
		return nil, err
	}
	s.fake = fake
	for _, name := range buckets {
		fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: name})
	}
	s.http.Start() // the last: a port that is used again may be asked at once
	return s, nil
}

// Start starts a server that ends with the test.
func Start(t testing.TB, buckets ...string) *Server {
	t.Helper()
	s, err := New(buckets...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Close ends the server, and all that hangs on it. It may be called twice.
func (s *Server) Close() {
	s.stop.Do(func() {
		close(s.done)
		s.http.CloseClientConnections()
		s.http.Close()
		s.fake.Stop()
	})
}

// URL is where the server is: http://127.0.0.1:port.
func (s *Server) URL() string { return s.http.URL }

// Host is URL without the scheme, as the variable STORAGE_EMULATOR_HOST has it.
func (s *Server) Host() string { return strings.TrimPrefix(s.http.URL, "http://") }

// Client returns a client of the server, which is closed with the test. Its reads go by the
// XML API, as those of a client without options do; storage.WithJSONReads changes that,
// but such a client can not read what is stored compressed as it is stored.
func (s *Server) Client(t testing.TB, options ...option.ClientOption) *storage.Client {
	t.Helper()
	options = append([]option.ClientOption{
		option.WithEndpoint(s.URL() + "/storage/v1/"), option.WithoutAuthentication(),
	}, options...)
	client, err := storage.NewClient(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}
