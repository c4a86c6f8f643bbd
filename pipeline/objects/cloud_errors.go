package objects

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
)

// AccessError says that this account may not do something. It is an fs.ErrPermission.
type AccessError struct {
	URI        string
	Permission string // storage.objects.get
	Unknown    bool   // whoever asks: the credentials are missing, or not valid any more
	Err        error  // in the service's words
}

func (e *AccessError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("%s: the credentials are not accepted (for %s): %v", e.URI, e.Permission, e.Err)
	}
	return fmt.Sprintf("%s: no permission %s: %v", e.URI, e.Permission, e.Err)
}

// Unwrap returns the service's own error.
func (e *AccessError) Unwrap() error { return e.Err }

// Is says that it is an fs.ErrPermission.
func (e *AccessError) Is(target error) bool { return target == fs.ErrPermission }

// CredentialsError says that there is nothing to show to Cloud Storage. It is an
// fs.ErrPermission.
type CredentialsError struct{ Err error }

func (e *CredentialsError) Error() string {
	return "no credentials for Cloud Storage: " + e.Err.Error()
}

// Unwrap returns the client's own error.
func (e *CredentialsError) Unwrap() error { return e.Err }

// Is says that it is an fs.ErrPermission.
func (e *CredentialsError) Is(target error) bool { return target == fs.ErrPermission }

// BucketError says that a bucket does not exist.
type BucketError struct{ Bucket string }

func (e *BucketError) Error() string { return "there is no bucket gs://" + e.Bucket }

// limitError is a call that the service did not answer in time, however often it was made.
type limitError struct {
	limit time.Duration
	times int
	last  error
}

func (e *limitError) Error() string {
	text := fmt.Sprintf("no answer within %s", e.limit)
	if e.times > 1 {
		text += fmt.Sprintf(", %d times", e.times)
	}
	var reply *googleapi.Error
	var network *net.OpError
	switch {
	case errors.As(e.last, &reply):
		text += fmt.Sprintf("; the last one was %d %s", reply.Code, http.StatusText(reply.Code))
	case errors.As(e.last, &network):
		text += "; the last try: " + network.Error()
	}
	return text
}

// unsettledError is an error of a call that may yet be carried out. It is an ErrUnsettled.
type unsettledError struct{ err error }

func (e *unsettledError) Error() string { return e.err.Error() }

// Unwrap returns the call's error.
func (e *unsettledError) Unwrap() error { return e.err }

// Is says that it is an ErrUnsettled.
func (e *unsettledError) Is(target error) bool { return target == ErrUnsettled }

// isRefusal says whether an error is a reply by which the service has done nothing, and will
// do nothing.
func isRefusal(err error) bool {
	var reply *googleapi.Error
	return errors.As(err, &reply) && reply.Code/100 == 4 && !mayPass(err)
}

// IsSetup says whether an error of a store is cured by a change of what is around the
// program only, and not by trying again: access, credentials, a bucket.
func IsSetup(err error) bool {
	var access *AccessError
	var credentials *CredentialsError
	var bucket *BucketError
	return errors.As(err, &access) || errors.As(err, &credentials) || errors.As(err, &bucket)
}

// Hint says what to do about an error of Cloud Storage; "" where this package does not
// know.
func Hint(err error) string {
	var access *AccessError
	var credentials *CredentialsError
	var bucket *BucketError
	var limit *limitError
	var reply *googleapi.Error
	switch {
	case errors.As(err, &credentials):
		return "Sign in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file; on Google Cloud, give the machine or the job a service account."
	case errors.As(err, &access) && access.Unknown:
		return "The credentials are not valid, or not any more: sign in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS."
	case errors.As(err, &access):
		name, _ := splitName(access.URI)
		return fmt.Sprintf("Grant %s on gs://%s to the account that runs this: %s has it.", access.Permission, name, roleOf(access.Permission))
	case errors.As(err, &bucket):
		return "Correct the bucket's name, or make the bucket."
	case errors.As(err, &limit), errors.As(err, &reply), errors.Is(err, errSum):
		return "The service or the network is at fault: run the same command again, what is committed stays."
	}
	return ""
}

// roleOf is the least role that holds a permission, of those that one grants for a bucket.
func roleOf(permission string) string {
	if permission == "storage.objects.get" || permission == "storage.objects.list" {
		return "the role roles/storage.objectViewer"
	}
	return "the role roles/storage.objectUser"
}

// permissionOf is what a call needs, where the service does not say.
var permissionOf = map[string]string{
	"stat": "storage.objects.get", "read": "storage.objects.get", "list": "storage.objects.list",
	"create": "storage.objects.create", "write": "storage.objects.create", "copy": "storage.objects.create",
	"compose": "storage.objects.create",
	"remove":  "storage.objects.delete",
}

var permissionPattern = regexp.MustCompile(`storage\.[a-z]+\.[a-zA-Z]+`)

// explain says what an error of the client means, in our words.
func (c *Cloud) explain(ctx context.Context, verb, name string, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		if late := (*limitError)(nil); errors.As(cause, &late) {
			return fmt.Errorf("%s %s: %w", verb, name, late)
		}
		return cause
	}
	bucket, _ := splitName(name)
	if errors.Is(err, storage.ErrBucketNotExist) {
		return fmt.Errorf("%s %s: %w", verb, name, &BucketError{Bucket: bucket})
	}
	var reply *googleapi.Error
	if errors.As(err, &reply) {
		said := words(reply)
		switch {
		case reply.Code == http.StatusUnauthorized, reply.Code == http.StatusForbidden:
			return fmt.Errorf("%s %w", verb, &AccessError{
				URI: name, Permission: cmp.Or(permissionPattern.FindString(said), permissionOf[verb]),
				Unknown: reply.Code == http.StatusUnauthorized, Err: errors.New(said),
			})
		case reply.Code == http.StatusNotFound && strings.Contains(said, "bucket does not exist"):
			return fmt.Errorf("%s %s: %w", verb, name, &BucketError{Bucket: bucket})
		case reply.Code == http.StatusNotFound:
			return fmt.Errorf("%s %s: %w", verb, name, ErrNotExist)
		case reply.Code == http.StatusPreconditionFailed:
			return fmt.Errorf("%s %s: %w", verb, name, ErrExist)
		}
		return fmt.Errorf("%s %s: %w", verb, name, &replyError{reply: reply, said: said})
	}
	if errors.Is(err, storage.ErrObjectNotExist) {
		return fmt.Errorf("%s %s: %w", verb, name, ErrNotExist)
	}
	return fmt.Errorf("%s %s: %w", verb, name, err)
}

// replyError is a reply of the service as one line.
type replyError struct {
	reply *googleapi.Error
	said  string
}

func (e *replyError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("the service answers %d %s: %s", e.reply.Code, http.StatusText(e.reply.Code), e.said), ": ")
}

// Unwrap returns the client's own error.
func (e *replyError) Unwrap() error { return e.reply }

// words is what the service says in a reply, of the JSON API or the XML API.
func words(reply *googleapi.Error) string {
	if reply.Message != "" {
		return strings.Join(strings.Fields(reply.Message), " ")
	}
	var body struct{ Message, Details string }
	if xml.Unmarshal([]byte(reply.Body), &body) != nil {
		return ""
	}
	return strings.Join(strings.Fields(cmp.Or(body.Details, body.Message)), " ")
}
