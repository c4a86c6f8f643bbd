package values

import "bytes"

// NonFinite says what stands for NaN, Infinity and -Infinity, which are not JSON.
type NonFinite int

// The ways to write what is not finite.
const (
	AsNull NonFinite = iota + 1
	AsString
)

// ReplaceNonFinite appends text (checked) to dst with each NaN, Infinity and -Infinity
// that is a value as null or as a string of that name. What strings hold stays.
func ReplaceNonFinite(dst, text []byte, as NonFinite) []byte {
	if !bytes.Contains(text, []byte("NaN")) && !bytes.Contains(text, []byte("Infinity")) {
		return append(dst, text...)
	}
	for i := 0; i < len(text); {
		begin := i
		switch text[i] {
		case '"':
			i = skipString(text, i)
			dst = append(dst, text[begin:i]...)
			continue
		case 'N':
			i += len("NaN")
		case 'I':
			i += len("Infinity")
		case '-':
			if text[i+1] == 'I' {
				i += len("-Infinity")
			}
		}
		if i == begin {
			dst = append(dst, text[i])
			i++
			continue
		}
		if as == AsNull {
			dst = append(dst, "null"...)
			continue
		}
		dst = append(dst, '"')
		dst = append(dst, text[begin:i]...)
		dst = append(dst, '"')
	}
	return dst
}

// skipString returns the end of the string (checked) that begins at i.
func skipString(text []byte, i int) int {
	for i++; ; i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
}
