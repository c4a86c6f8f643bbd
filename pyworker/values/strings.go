package values

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// KeyIs reports whether the string whose text is raw (checked, quotes included) is name.
func KeyIs(raw []byte, name string) bool {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner) == name
	}
	var room [64]byte
	return string(AppendUnquoted(room[:0], raw)) == name
}

// AppendUnquoted appends what the string whose text is raw (checked, quotes included)
// stands for. A surrogate that is not half of a pair, which UTF-8 does not have, is
// appended as if it had it (ED A0..BF 80..BF): AppendString turns it back.
func AppendUnquoted(dst, raw []byte) []byte {
	raw = raw[1 : len(raw)-1]
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		switch c := raw[i+1]; c {
		case 'u':
			r, n := unescape(raw[i:])
			dst = appendRune(dst, r)
			raw = raw[i+n:]
			continue
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		default:
			dst = append(dst, c)
		}
		raw = raw[i+2:]
	}
}

// unescape reads the \uXXXX that raw begins with, or two that are a surrogate pair.
func unescape(raw []byte) (rune, int) {
	r, _ := hex4(raw, 2)
	if r>>10 == 0xD800>>10 && len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		if low, _ := hex4(raw, 8); low>>10 == 0xDC00>>10 {
			return 0x10000 + (r-0xD800)<<10 + (low - 0xDC00), 12
		}
	}
	return r, 6
}

// appendRune is utf8.AppendRune, surrogates included.
func appendRune(dst []byte, r rune) []byte {
	if r>>11 == 0xD800>>11 {
		return append(dst, 0xED, 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
	}
	return utf8.AppendRune(dst, r)
}

// AppendString appends s as a JSON string, written as Python's
// json.dumps(s, ensure_ascii=False) writes it. A surrogate (ED A0..BF 80..BF) is escaped;
// other bytes that are not UTF-8 become U+FFFD as Repair has them.
func AppendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	begin := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		n := 1
		if c >= utf8.RuneSelf {
			var whole bool
			if n, whole = runeLength(s, i); whole {
				i += n
				continue
			}
		}
		dst = append(dst, s[begin:i]...)
		switch {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case isSurrogate(s, i):
			n = 3
			dst = append(dst, '\\', 'u', 'd', hex[8|s[i+1]>>2&7], hex[s[i+1]&3<<2|s[i+2]>>4&3], hex[s[i+2]&15])
		default:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
		i += n
		begin = i
	}
	dst = append(dst, s[begin:]...)
	return append(dst, '"')
}

func isSurrogate[T ~string | ~[]byte](s T, i int) bool {
	return i+3 <= len(s) && s[i] == 0xED && s[i+1] >= 0xA0 && s[i+1] <= 0xBF && s[i+2]&0xC0 == 0x80
}

// runeLength returns the length of the character at i, which is not ASCII. Where it is
// not whole, that is the length of what stands in for it, as Python and the Unicode
// standard have it: the longest begin of a character, or one byte.
func runeLength[T ~string | ~[]byte](s T, i int) (n int, whole bool) {
	low, high, length := byte(0x80), byte(0xBF), 0
	switch c := s[i]; {
	case c >= 0xC2 && c <= 0xDF:
		length = 2
	case c == 0xE0:
		low, length = 0xA0, 3
	case c == 0xED:
		high, length = 0x9F, 3
	case c >= 0xE1 && c <= 0xEF:
		length = 3
	case c == 0xF0:
		low, length = 0x90, 4
	case c >= 0xF1 && c <= 0xF3:
		length = 4
	case c == 0xF4:
		high, length = 0x8F, 4
	default:
		return 1, false
	}
	for n = 1; n < length; n++ {
		if i+n == len(s) || s[i+n] < low || s[i+n] > high {
			return n, false
		}
		low, high = 0x80, 0xBF
	}
	return n, true
}

// Repair returns text as UTF-8: what is not becomes U+FFFD, as in Python's
// bytes.decode(errors="replace").
func Repair(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	var b strings.Builder
	begin := 0
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf {
			i++
			continue
		}
		n, whole := runeLength(text, i)
		if !whole {
			b.Write(text[begin:i])
			b.WriteRune(utf8.RuneError)
			begin = i + n
		}
		i += n
	}
	b.Write(text[begin:])
	return b.String()
}
