package cloudtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// reply is a whole reply.
type reply struct {
	status  int
	header  http.Header
	body    []byte
	message string // of a failure
}

func jsonReply(body []byte, err error) reply {
	if err != nil {
		return failure(http.StatusInternalServerError, "internalError", err.Error())
	}
	return reply{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, body: body}
}

// failure is an error as the JSON API words it.
func failure(status int, reason, message string) reply {
	type item struct {
		Message string `json:"message"`
		Domain  string `json:"domain"`
		Reason  string `json:"reason"`
	}
	var e struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Errors  []item `json:"errors"`
		} `json:"error"`
	}
	e.Error.Code, e.Error.Message = status, message
	e.Error.Errors = []item{{Message: message, Domain: "global", Reason: reason}}
	body, err := json.Marshal(e)
	if err != nil {
		body = []byte(err.Error())
	}
	return reply{status: status, header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, body: body, message: message}
}

// inXML is a failure as the XML API words it.
func (r reply) inXML() reply {
	code, message := "InternalError", "We encountered an internal error. Please try again."
	switch {
	case r.status == http.StatusUnauthorized:
		code, message = "AuthenticationRequired", "Authentication required."
	case r.status == http.StatusForbidden:
		code, message = "AccessDenied", "Access denied."
	case r.status == http.StatusNotFound && r.message == noBucket:
		code, message = "NoSuchBucket", r.message
	case r.status == http.StatusNotFound:
		code, message = "NoSuchKey", "The specified key does not exist."
	case r.status == http.StatusPreconditionFailed:
		code, message = "PreconditionFailed", r.message
	case r.status == http.StatusTooManyRequests:
		code, message = "SlowDown", r.message
	case r.status == http.StatusServiceUnavailable:
		code, message = "ServiceUnavailable", r.message
	}
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	body := "<?xml version='1.0' encoding='UTF-8'?><Error><Code>" + code + "</Code><Message>" + escape.Replace(message) +
		"</Message><Details>" + escape.Replace(r.message) + "</Details></Error>"
	return reply{
		status: r.status,
		header: http.Header{"Content-Type": {"application/xml; charset=UTF-8"}},
		body:   []byte(body),
	}
}

const noBucket = "The specified bucket does not exist."

// account is who asks, in the words of a refusal.
const account = "batch@example.iam.gserviceaccount.com"

// refusal is an error that the real service may answer a request with.
func refusal(status int, c *call) reply {
	switch status {
	case http.StatusUnauthorized:
		return failure(status, "required", "Anonymous caller does not have "+access(c.Op))
	case http.StatusForbidden:
		return failure(status, "forbidden", account+" does not have "+access(c.Op))
	case http.StatusNotFound:
		return failure(status, "notFound", noBucket)
	case http.StatusPreconditionFailed:
		return failure(status, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
	case http.StatusTooManyRequests:
		return failure(status, "rateLimitExceeded", fmt.Sprintf("The object %s/%s exceeded the rate limit for object mutation operations "+
			"(create, update, and delete). Please reduce your rate of requests.", c.Bucket, c.Name))
	case http.StatusServiceUnavailable:
		return failure(status, "backendError", "Service is temporarily unavailable. Please try again.")
	}
	return failure(status, "backendError", "We encountered an internal error. Please try again.")
}

func noObject(bucket, name string) reply {
	return failure(http.StatusNotFound, "notFound", "No such object: "+bucket+"/"+name)
}

// access is the end of the sentence that refuses an operation.
func access(op Op) string {
	permission, resource := "storage.objects.get", "object"
	switch {
	case op == List:
		permission, resource = "storage.objects.list", "bucket"
	case op == Bucket || op == Permissions:
		permission, resource = "storage.buckets.get", "bucket"
	case Write.includes(op) || op == Copy || op == Compose:
		permission = "storage.objects.create"
	case op == Delete:
		permission = "storage.objects.delete"
	}
	return fmt.Sprintf("%s access to the Google Cloud Storage %s. Permission '%s' denied on resource (or it may not exist).", permission, resource, permission)
}
