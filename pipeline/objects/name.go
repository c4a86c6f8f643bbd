package objects

import (
	"path"
	"path/filepath"
	"strings"
)

// cloudScheme begins the names of objects in Cloud Storage.
const cloudScheme = "gs://"

// IsCloud says whether a name is that of an object, or a folder, in Cloud Storage.
func IsCloud(name string) bool { return strings.HasPrefix(name, cloudScheme) }

// Join returns the name by which a store knows what a job file in the folder dir calls
// name. Both may be in Cloud Storage. A slash at the end is left out.
func Join(dir, name string) string {
	switch {
	case IsCloud(name):
		return strings.TrimRight(name, "/")
	case filepath.IsAbs(name):
		return filepath.Clean(name)
	case IsCloud(dir):
		bucket, folder := splitName(dir)
		return strings.TrimRight(cloudScheme+bucket+path.Join("/", folder, name), "/")
	}
	return filepath.Join(dir, name)
}

// Dir is the folder of an object, or file.
func Dir(name string) string {
	if !IsCloud(name) {
		return filepath.Dir(name)
	}
	bucket, object := splitName(name)
	folder, _ := path.Split(object)
	return strings.TrimRight(cloudScheme+bucket+"/"+folder, "/")
}

// splitName takes gs://bucket/object apart; object is "" for a bucket.
func splitName(name string) (bucket, object string) {
	bucket, object, _ = strings.Cut(strings.TrimPrefix(name, cloudScheme), "/")
	return bucket, object
}
