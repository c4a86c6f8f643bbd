package pipeline

import (
	"fmt"
	"strconv"
)

// Piece is a stretch of one object or file that belongs to a split.
type Piece struct {
	URI        string `json:"uri"`            // as the job file has it, with the name found
	Name       string `json:"name,omitempty"` // where it is opened, when that differs from URI
	Generation string `json:"generation"`     // pins the content that was planned
	Size       int64  `json:"size"`           // of the whole object
	Sum        string `json:"sum,omitempty"`  // of the whole object, where its store keeps one
	Start      int64  `json:"start"`          // bytes; lines that begin in [Start, End) belong to the piece
	End        int64  `json:"end"`
}

// PlannedSplit is one split of a plan: one stretch of a large file, or some small files.
type PlannedSplit struct {
	ID     SplitID `json:"id"`
	Pieces []Piece `json:"pieces"`
	// Limit, when not 0, ends the split behind so many instances.
	Limit int64 `json:"limit,omitempty"`
	// Failures, when not nil, is a whole file of failure lines: of the pieces' instances
	// only those are read that it names, in its order, which is theirs.
	Failures *Piece `json:"failures,omitempty"`
}

// NewSplitID names split number i (from 0) of a plan of total splits: five digits or
// more, one width a plan.
func NewSplitID(i, total int) SplitID {
	width := max(5, len(strconv.Itoa(total)))
	return SplitID(fmt.Sprintf("%0*d-of-%0*d", width, i, width, total))
}
