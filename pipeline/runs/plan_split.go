package runs

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// plannedSplit is a split as the plan's file has it.
type plannedSplit struct {
	ID     pipeline.SplitID `json:"id"`
	Pieces []piece          `json:"pieces"`
	Limit  int64            `json:"limit,omitempty"`
}

// piece is a piece as the plan's file has it. JSON has no place for a name that is not
// UTF-8, and file systems know such names: their bytes stand beside.
type piece struct {
	pipeline.Piece
	URIBytes  []byte `json:"uri_bytes,omitempty"`
	NameBytes []byte `json:"name_bytes,omitempty"`
}

func encodeSplit(encoder *json.Encoder, s *pipeline.PlannedSplit) error {
	out := plannedSplit{ID: s.ID, Limit: s.Limit, Pieces: make([]piece, len(s.Pieces))}
	for i, p := range s.Pieces {
		out.Pieces[i] = piece{Piece: p, URIBytes: unlessText(p.URI), NameBytes: unlessText(p.Name)}
	}
	return encoder.Encode(&out)
}

func unlessText(name string) []byte {
	if utf8.ValidString(name) {
		return nil
	}
	return []byte(name)
}

func decodeSplit(decoder *json.Decoder) (pipeline.PlannedSplit, error) {
	var in plannedSplit
	if err := decoder.Decode(&in); err != nil {
		return pipeline.PlannedSplit{}, err
	}
	s := pipeline.PlannedSplit{ID: in.ID, Limit: in.Limit}
	if in.Pieces != nil {
		s.Pieces = make([]pipeline.Piece, len(in.Pieces))
	}
	for i, p := range in.Pieces {
		s.Pieces[i] = p.Piece
		if p.URIBytes != nil {
			s.Pieces[i].URI = string(p.URIBytes)
		}
		if p.NameBytes != nil {
			s.Pieces[i].Name = string(p.NameBytes)
		}
	}
	return s, nil
}
