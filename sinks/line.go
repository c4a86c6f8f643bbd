package sinks

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// maxText is where the texts of a failure line are cut, in bytes.
const maxText = 64 << 10

// appendPrediction appends the line of an instance that was predicted. Text that would
// not be one whole line is a fault of the program: an error, and never a broken line.
func appendPrediction(dst []byte, in *pipeline.Instance, prediction []byte, echo pipeline.Echo) ([]byte, error) {
	if err := checkText("prediction", prediction); err != nil {
		return dst, err
	}
	switch {
	case in.Key != nil:
		if err := checkText("key", in.Key); err != nil {
			return dst, err
		}
		dst = append(append(dst, `{"key":`...), in.Key...)
	case echo.None:
		return append(append(dst, prediction...), '\n'), nil
	default:
		if err := checkText("instance", in.Shown); err != nil {
			return dst, err
		}
		dst = append(append(dst, `{"instance":`...), in.Shown...)
	}
	dst = append(append(dst, `,"prediction":`...), prediction...)
	return append(dst, "}\n"...), nil
}

// checkText refuses what can not be the text of one JSON value on a line.
func checkText(what string, text []byte) error {
	if len(text) == 0 {
		return fmt.Errorf("the text of its %s is empty", what)
	}
	if bytes.IndexByte(text, '\n') >= 0 {
		return fmt.Errorf("the text of its %s has a line break", what)
	}
	return nil
}

// appendFailure appends the line of an instance that has no prediction.
func appendFailure(dst []byte, in *pipeline.Instance, f *pipeline.Failure) ([]byte, error) {
	if f.Phase == "" || f.Type == "" {
		return dst, errors.New("its failure has no phase or no type")
	}
	switch {
	case f.NotJSON || in.Echo == nil:
		dst = appendString(append(dst, `{"instance":null,"text":`...), f.Text)
	default:
		if err := checkText("instance", in.Echo); err != nil {
			return dst, err
		}
		dst = append(append(dst, `{"instance":`...), in.Echo...)
	}
	if in.Key != nil {
		if err := checkText("key", in.Key); err != nil {
			return dst, err
		}
		dst = append(append(dst, `,"key":`...), in.Key...)
	}
	dst = appendString(append(dst, `,"error":{"phase":`...), string(f.Phase))
	dst = appendString(append(dst, `,"type":`...), f.Type)
	dst = appendString(append(dst, `,"message":`...), cut(f.Message))
	if f.Traceback != "" {
		dst = appendString(append(dst, `,"traceback":`...), cut(f.Traceback))
	}
	dst = appendOrigin(append(dst, `},"source":`...), &in.Origin)
	return append(dst, "}\n"...), nil
}

func appendOrigin(dst []byte, o *pipeline.Origin) []byte {
	if o.MessageID != "" {
		dst = appendString(append(dst, `{"message_id":`...), o.MessageID)
		return append(dst, '}')
	}
	dst = appendString(append(dst, `{"uri":`...), o.URI)
	if o.Line > 0 {
		dst = strconv.AppendInt(append(dst, `,"line":`...), o.Line, 10)
	}
	if o.Offset >= 0 {
		dst = strconv.AppendInt(append(dst, `,"offset":`...), o.Offset, 10)
	}
	return append(dst, '}')
}

// cutMark ends a text that was cut.
const cutMark = "…"

// cut shortens s to maxText bytes, between two characters.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText - len(cutMark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + cutMark
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string, with the escapes of Python's
// json.dumps(s, ensure_ascii=False). Bytes that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
