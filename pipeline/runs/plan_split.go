package runs

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// plannedSplit is a split as the plan's file has it. Its place there is its number.
type plannedSplit struct {
	Pieces   []piece `json:"pieces"`
	Limit    int64   `json:"limit,omitempty"`
	Failures *piece  `json:"failures,omitempty"`
}

// piece is a piece as the plan's file has it. JSON has no place for a name that is not
// UTF-8, and file systems know such names: their bytes stand beside.
type piece struct {
	pipeline.Piece
	URIBytes  []byte `json:"uri_bytes,omitempty"`
	NameBytes []byte `json:"name_bytes,omitempty"`
}

func encodePiece(p pipeline.Piece) piece {
	return piece{Piece: p, URIBytes: unlessText(p.URI), NameBytes: unlessText(p.Name)}
}

func (p *piece) decoded() pipeline.Piece {
	out := p.Piece
	if p.URIBytes != nil {
		out.URI = string(p.URIBytes)
	}
	if p.NameBytes != nil {
		out.Name = string(p.NameBytes)
	}
	return out
}

func encodeSplit(encoder *json.Encoder, s *pipeline.PlannedSplit) error {
	out := plannedSplit{Limit: s.Limit, Pieces: make([]piece, len(s.Pieces))}
	for i, p := range s.Pieces {
		out.Pieces[i] = encodePiece(p)
	}
	if s.Failures != nil {
		failures := encodePiece(*s.Failures)
		out.Failures = &failures
	}
	return encoder.Encode(&out)
}

func unlessText(name string) []byte {
	if utf8.ValidString(name) {
		return nil
	}
	return []byte(name)
}

func decodeSplit(line []byte) (pipeline.PlannedSplit, error) {
	var in plannedSplit
	if err := json.Unmarshal(line, &in); err != nil {
		return pipeline.PlannedSplit{}, err
	}
	s := pipeline.PlannedSplit{Limit: in.Limit}
	if in.Pieces != nil {
		s.Pieces = make([]pipeline.Piece, len(in.Pieces))
	}
	for i := range in.Pieces {
		s.Pieces[i] = in.Pieces[i].decoded()
	}
	if in.Failures != nil {
		failures := in.Failures.decoded()
		s.Failures = &failures
	}
	return s, nil
}
