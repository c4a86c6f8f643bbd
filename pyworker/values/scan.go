package values

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Kind is the kind of a JSON value.
type Kind int

// The kinds of values; Invalid is no value at all.
const (
	Invalid Kind = iota
	Null
	Bool
	Number // NaN, Infinity and -Infinity too
	String
	Array
	Object
)

// String names a kind with its article, for messages.
func (k Kind) String() string {
	return [...]string{"no value", "null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// KindOf tells from its first byte behind white space what kind of value a text holds.
// It does not check the rest.
func KindOf(text []byte) Kind {
	i := skipSpace(text, 0)
	if i == len(text) {
		return Invalid
	}
	switch c := text[i]; {
	case c == '{':
		return Object
	case c == '[':
		return Array
	case c == '"':
		return String
	case c == 'n':
		return Null
	case c == 't', c == 'f':
		return Bool
	case c == '-', c == 'N', c == 'I', isDigit(c):
		return Number
	}
	return Invalid
}

// Check reports whether text is one JSON value with nothing but white space around it,
// as Python's json.loads takes it from a str after strict decoding of UTF-8: NaN,
// Infinity and -Infinity are values. Depth and digits have no limit here. The error is a
// *SyntaxError.
func Check(text []byte) error {
	if len(text) >= 3 && text[0] == 0xEF && text[1] == 0xBB && text[2] == 0xBF {
		return &SyntaxError{Offset: 0, Msg: "Unexpected UTF-8 BOM (decode using utf-8-sig)"}
	}
	end, err := Scan(text, 0)
	if err != nil {
		return err
	}
	if end = skipSpace(text, end); end != len(text) {
		return &SyntaxError{Offset: end, Msg: "Extra data"}
	}
	return nil
}

// Scan passes over one value that begins at pos, or behind white space at pos, and
// returns where it ends. What follows is not looked at: of "01" it passes over "0". It
// does not recurse and, up to 1,000 levels of nesting, does not allocate. The error is
// a *SyntaxError.
func Scan(text []byte, pos int) (int, error) {
	end, err := scan(text, skipSpace(text, pos))
	if err != nil {
		return 0, err // not returned as it is: a nil *SyntaxError is no nil error
	}
	return end, nil
}

// scan passes over the value that begins at i.
func scan(text []byte, i int) (int, *SyntaxError) {
	var open nesting
	var err *SyntaxError
	for {
		if i == len(text) {
			return 0, &SyntaxError{i, "Expecting value"}
		}
		switch c := text[i]; c {
		case '{', '[':
			i = skipSpace(text, i+1)
			switch {
			case i < len(text) && text[i] == c+2: // '}' is '{'+2, ']' is '['+2
				i++
			case c == '[':
				open.push(0)
				continue
			default:
				open.push(1)
				if i, err = scanKey(text, i); err != nil {
					return 0, err
				}
				continue
			}
		case '"':
			if i, err = scanString(text, i); err != nil {
				return 0, err
			}
		default:
			if i, err = scanScalar(text, i); err != nil {
				return 0, err
			}
		}
		if i, err = open.leave(text, i); err != nil || open.depth == 0 {
			return i, err
		}
	}
}

// nesting is the stack of open containers, a bit each: 1 for an object.
type nesting struct {
	depth int
	bits  uint64     // the innermost ones
	outer [16]uint64 // those around, 64 a word
	rest  []uint64   // where outer does not suffice
}

func (n *nesting) push(object uint64) {
	if word := n.depth >> 6; n.depth&63 == 0 && n.depth > 0 {
		if word <= len(n.outer) {
			n.outer[word-1] = n.bits
		} else {
			n.rest = append(n.rest, n.bits)
		}
	}
	n.bits = n.bits<<1 | object
	n.depth++
}

func (n *nesting) pop() {
	n.bits >>= 1
	n.depth--
	if word := n.depth >> 6; n.depth&63 == 0 && n.depth > 0 {
		if word <= len(n.outer) {
			n.bits = n.outer[word-1]
		} else {
			n.bits = n.rest[len(n.rest)-1]
			n.rest = n.rest[:len(n.rest)-1]
		}
	}
}

// leave goes on behind a value that ends at i: out of the containers that end there, to
// where the next value begins, or, with depth 0, to the end of all.
func (n *nesting) leave(text []byte, i int) (int, *SyntaxError) {
	for n.depth > 0 {
		i = skipSpace(text, i)
		object := n.bits & 1
		switch {
		case i == len(text):
			return 0, &SyntaxError{i, "Expecting ',' delimiter"}
		case text[i] == ',':
			i = skipSpace(text, i+1)
			if object == 1 {
				return scanKey(text, i)
			}
			return i, nil
		case text[i] == closing[object]:
			n.pop()
			i++
		default:
			return 0, &SyntaxError{i, "Expecting ',' delimiter"}
		}
	}
	return i, nil
}

var closing = [2]byte{']', '}'}

// scanKey passes over a key, its colon and the white space behind it.
func scanKey(text []byte, i int) (int, *SyntaxError) {
	if i == len(text) || text[i] != '"' {
		return 0, &SyntaxError{i, "Expecting property name enclosed in double quotes"}
	}
	i, err := scanString(text, i)
	if err != nil {
		return 0, err
	}
	return scanColon(text, i)
}

func scanColon(text []byte, i int) (int, *SyntaxError) {
	i = skipSpace(text, i)
	if i == len(text) || text[i] != ':' {
		return 0, &SyntaxError{i, "Expecting ':' delimiter"}
	}
	return skipSpace(text, i+1), nil
}

// scanScalar passes over a number or a word.
func scanScalar(text []byte, i int) (int, *SyntaxError) {
	switch c := text[i]; {
	case c == '-', isDigit(c):
		if end := scanNumber(text, i); end > i {
			return end, nil
		}
		if hasPrefix(text[i:], "-Infinity") {
			return i + len("-Infinity"), nil
		}
	default:
		for _, word := range [...]string{"true", "false", "null", "NaN", "Infinity"} {
			if c == word[0] && hasPrefix(text[i:], word) {
				return i + len(word), nil
			}
		}
	}
	return 0, &SyntaxError{i, "Expecting value"}
}

func hasPrefix(text []byte, word string) bool {
	return len(text) >= len(word) && string(text[:len(word)]) == word
}

// scanNumber returns the end of the number at i, or i where there is none.
func scanNumber(text []byte, i int) int {
	begin := i
	if text[i] == '-' {
		i++
	}
	switch {
	case i == len(text) || !isDigit(text[i]):
		return begin
	case text[i] == '0':
		i++
	default:
		i = skipDigits(text, i+1)
	}
	if i+1 < len(text) && text[i] == '.' && isDigit(text[i+1]) {
		i = skipDigits(text, i+2)
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		j := i + 1
		if j < len(text) && (text[j] == '+' || text[j] == '-') {
			j++
		}
		if j < len(text) && isDigit(text[j]) {
			i = skipDigits(text, j+1)
		}
	}
	return i
}

func isDigit(c byte) bool { return c-'0' < 10 }

func skipDigits(text []byte, i int) int {
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	return i
}

func skipSpace(text []byte, i int) int {
	for i < len(text) {
		if c := text[i]; c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			break
		}
		i++
	}
	return i
}

// scanString passes over the string whose opening quote is at begin.
func scanString(text []byte, begin int) (int, *SyntaxError) {
	i := begin + 1
	for {
		i = skipPlain(text, i)
		if i == len(text) {
			return 0, &SyntaxError{begin, "Unterminated string starting at"}
		}
		switch c := text[i]; {
		case c == '"':
			return i + 1, nil
		case c == '\\':
			n, err := scanEscape(text, begin, i)
			if err != nil {
				return 0, err
			}
			i += n
		case c < 0x20:
			return 0, &SyntaxError{i, "Invalid control character at"}
		default:
			for i < len(text) && text[i] >= utf8.RuneSelf {
				r, n := utf8.DecodeRune(text[i:])
				if r == utf8.RuneError && n == 1 {
					return 0, &SyntaxError{i, "Invalid UTF-8"}
				}
				i += n
			}
		}
	}
}

// skipPlain passes over bytes that mean themselves in a string: ASCII but for control
// characters, quote and backslash. Eight at a time: in each mask the lowest set bit is
// exact, those above it may be carried over.
func skipPlain(text []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for i+8 <= len(text) {
		w := binary.LittleEndian.Uint64(text[i:])
		quote, slash := w^('"'*ones), w^('\\'*ones)
		special := (w | (w-' '*ones)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops
		if special != 0 {
			return i + bits.TrailingZeros64(special)>>3
		}
		i += 8
	}
	for i < len(text) {
		if c := text[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			break
		}
		i++
	}
	return i
}

// scanEscape returns the length of the escape at i, in the string that begins at begin.
func scanEscape(text []byte, begin, i int) (int, *SyntaxError) {
	if i+1 == len(text) {
		return 0, &SyntaxError{begin, "Unterminated string starting at"}
	}
	switch text[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
		if _, ok := hex4(text, i+2); !ok || i+6 == len(text) { // it also wants what is behind them
			return 0, &SyntaxError{i + 1, `Invalid \uXXXX escape`}
		}
		return 6, nil
	}
	return 0, &SyntaxError{i, `Invalid \escape`}
}

// hex4 reads four hexadecimal digits at i.
func hex4(text []byte, i int) (rune, bool) {
	if i+4 > len(text) {
		return 0, false
	}
	var r rune
	for _, c := range text[i : i+4] {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
