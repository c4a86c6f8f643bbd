package objects

import (
	"time"

	"cloud.google.com/go/storage"
)

// NewCloudWithin is NewCloud with other limits: of one attempt, and of a piece in bytes.
func NewCloudWithin(client *storage.Client, limit time.Duration, piece int) *Cloud {
	c := NewCloud(client)
	c.limit, c.piece = limit, piece
	return c
}
