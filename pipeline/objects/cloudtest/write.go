package cloudtest

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

// resource is what a request says of the object it makes.
type resource struct {
	Name               string            `json:"name"`
	ContentType        string            `json:"contentType"`
	ContentEncoding    string            `json:"contentEncoding"`
	ContentDisposition string            `json:"contentDisposition"`
	ContentLanguage    string            `json:"contentLanguage"`
	CacheControl       string            `json:"cacheControl"`
	StorageClass       string            `json:"storageClass"`
	Metadata           map[string]string `json:"metadata"`
	CRC32C             string            `json:"crc32c"`
	MD5                string            `json:"md5Hash"`
}

// write answers a request of an upload.
func (s *Server) write(c *call) reply {
	switch c.Op {
	case WriteStart:
		return s.startUpload(c)
	case WriteChunk:
		return s.continueUpload(c)
	case WriteCancel:
		delete(s.uploads, c.Query.Get("upload_id"))
		return failure(499, "clientClosedRequest", "Upload cancelled.")
	}
	r, content, err := oneShot(c)
	if err != nil {
		return failure(http.StatusBadRequest, "invalid", err.Error())
	}
	return s.insert(c, r, content)
}

// oneShot takes an upload of one request apart.
func oneShot(c *call) (resource, []byte, error) {
	r := resource{Name: c.Query.Get("name"), ContentType: c.http.Header.Get("Content-Type")}
	switch c.Query.Get("uploadType") {
	case "media":
		return r, c.body, nil
	case "multipart":
	default:
		return r, nil, errors.New("invalid uploadType")
	}
	_, params, err := mime.ParseMediaType(r.ContentType)
	if err != nil {
		return r, nil, err
	}
	reader := multipart.NewReader(bytes.NewReader(c.body), params["boundary"])
	about, err := reader.NextPart()
	if err != nil {
		return r, nil, err
	}
	r.ContentType = ""
	if err := json.NewDecoder(about).Decode(&r); err != nil {
		return r, nil, err
	}
	media, err := reader.NextPart()
	if err != nil {
		return r, nil, err
	}
	if r.ContentType == "" {
		r.ContentType = media.Header.Get("Content-Type")
	}
	content, err := io.ReadAll(media)
	return r, content, err
}

// insert makes an object, under the conditions of the call.
func (s *Server) insert(c *call, r resource, content []byte) reply {
	if c.Name == "" {
		c.Name = r.Name
	}
	if objection := checkName(c.Name); objection != "" {
		return failure(http.StatusBadRequest, "invalid", objection)
	}
	if rep, ok := s.conditions(c); !ok {
		return rep
	}
	if objection := checkSums(r, c.http.Header.Values("X-Goog-Hash"), content); objection != "" {
		return failure(http.StatusBadRequest, "invalid", objection)
	}
	s.store(fakestorage.Object{
		ObjectAttrs: fakestorage.ObjectAttrs{
			BucketName: c.Bucket, Name: c.Name, StorageClass: r.StorageClass,
			ContentType: r.ContentType, ContentEncoding: r.ContentEncoding, ContentDisposition: r.ContentDisposition,
			ContentLanguage: r.ContentLanguage, CacheControl: r.CacheControl, Metadata: r.Metadata,
		},
		Content: content,
	})
	return s.describe(c)
}

// describe is the object that a call made.
func (s *Server) describe(c *call) reply {
	path := "/storage/v1/b/" + url.PathEscape(c.Bucket) + "/o/" + url.PathEscape(c.Name)
	r, err := http.NewRequestWithContext(c.http.Context(), http.MethodGet, s.URL()+path+"?projection=full", http.NoBody)
	if err != nil {
		return failure(http.StatusInternalServerError, "internalError", err.Error())
	}
	return s.forward(r, nil)
}

// checkName says what is wrong with a name, by the rules of
// https://cloud.google.com/storage/docs/objects#naming.
func checkName(name string) string {
	if name == "" {
		return "Required"
	}
	if len(name) > 1024 || !utf8.ValidString(name) || strings.ContainsAny(name, "\r\n") || name == "." || name == ".." {
		return "Invalid object name"
	}
	return ""
}

// checkSums compares the checksums that a client sent with the content that came, and
// says which is wrong.
func checkSums(r resource, hashes []string, content []byte) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)))
	digest := md5.Sum(content)
	crc, md := base64.StdEncoding.EncodeToString(sum), base64.StdEncoding.EncodeToString(digest[:])
	for _, hash := range strings.Split(strings.Join(hashes, ","), ",") {
		if v, ok := strings.CutPrefix(hash, "crc32c="); ok {
			r.CRC32C = v
		}
	}
	if r.CRC32C != "" && r.CRC32C != crc {
		return fmt.Sprintf("Provided CRC32C %q doesn't match calculated CRC32C %q.", r.CRC32C, crc)
	}
	if r.MD5 != "" && r.MD5 != md {
		return fmt.Sprintf("Provided MD5 hash %q doesn't match calculated MD5 hash %q.", r.MD5, md)
	}
	return ""
}
