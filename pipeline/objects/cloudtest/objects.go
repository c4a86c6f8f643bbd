package cloudtest

import (
	"slices"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

// Object is an object as a test puts it there.
type Object struct {
	Bucket, Name    string
	Content         []byte // as it is stored: compressed where ContentEncoding says so
	ContentEncoding string
	ContentType     string
	Metadata        map[string]string
}

// Put stores an object, over one that is there, past all faults, and returns its generation.
func (s *Server) Put(t testing.TB, o Object) int64 {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store(fakestorage.Object{
		ObjectAttrs: fakestorage.ObjectAttrs{
			BucketName: o.Bucket, Name: o.Name, ContentEncoding: o.ContentEncoding, ContentType: o.ContentType, Metadata: o.Metadata,
		},
		Content: slices.Clone(o.Content),
	})
}

// Remove removes an object, past all faults.
func (s *Server) Remove(t testing.TB, bucket, name string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fake.Backend().DeleteObject(bucket, name); err != nil {
		t.Fatalf("remove gs://%s/%s: %v", bucket, name, err)
	}
}

// Content returns what is stored, which fails the test where there is nothing.
func (s *Server) Content(t testing.TB, bucket, name string) []byte {
	t.Helper()
	return s.Object(t, bucket, name).Content
}

// Object returns an object, which fails the test where there is none.
func (s *Server) Object(t testing.TB, bucket, name string) Object {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.fake.GetObject(bucket, name)
	if err != nil {
		t.Fatalf("read gs://%s/%s: %v", bucket, name, err)
	}
	return Object{
		Bucket: bucket, Name: name, Content: o.Content,
		ContentEncoding: o.ContentEncoding, ContentType: o.ContentType, Metadata: o.Metadata,
	}
}

// Names returns the names of all objects in a bucket, ordered.
func (s *Server) Names(bucket string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := s.fake.ListObjectsWithOptionsPaginated(bucket, fakestorage.ListOptions{})
	if err != nil {
		return nil
	}
	var names []string
	for _, o := range list.Objects {
		names = append(names, o.Name)
	}
	return names
}

// Uploads returns how many resumable uploads are begun and neither finished nor cancelled.
func (s *Server) Uploads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := 0
	for _, u := range s.uploads {
		if u.done == nil {
			open++
		}
	}
	return open
}

// store keeps an object under a new generation. s.mu is held.
func (s *Server) store(o fakestorage.Object) int64 {
	s.generation++
	o.Generation = s.generation
	s.fake.CreateObject(o)
	return o.Generation
}

// live returns the generation of an object, 0 where there is none. s.mu is held.
func (s *Server) live(bucket, name string) int64 {
	o, err := s.fake.GetObjectStreaming(bucket, name)
	if err != nil {
		return 0
	}
	_ = o.Close() // a buffer in memory
	return o.Generation
}
