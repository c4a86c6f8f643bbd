package values

import "fmt"

// SyntaxError says where a text stops being JSON, in the words of Python's json module.
type SyntaxError struct {
	Offset int // in bytes
	Msg    string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s (byte %d)", e.Msg, e.Offset) }

// Member is one member of an object: the texts of its key, quotes included, and of its
// value.
type Member struct{ Key, Value []byte }

// Members appends the members of the object that text is, in order and with doubled keys
// as they stand, to dst. It checks text as Check does; what is no object is an error too,
// a *SyntaxError.
func Members(dst []Member, text []byte) ([]Member, error) {
	i, empty, err := enter(text, '{', "Expecting an object")
	for !empty && err == nil {
		var m Member
		if m, i, err = member(text, i); err != nil {
			break
		}
		dst = append(dst, m)
		var more bool
		if i, more, err = next(text, i, '}'); err == nil && !more {
			break
		}
	}
	if err == nil {
		err = finish(text, i)
	}
	if err != nil {
		return dst, err
	}
	return dst, nil
}

// member reads the member that begins at i.
func member(text []byte, i int) (Member, int, *SyntaxError) {
	if i == len(text) || text[i] != '"' {
		return Member{}, 0, &SyntaxError{i, "Expecting property name enclosed in double quotes"}
	}
	keyEnd, err := scanString(text, i)
	if err != nil {
		return Member{}, 0, err
	}
	begin, err := scanColon(text, keyEnd)
	if err != nil {
		return Member{}, 0, err
	}
	end, err := scan(text, begin)
	if err != nil {
		return Member{}, 0, err
	}
	return Member{Key: text[i:keyEnd:keyEnd], Value: text[begin:end:end]}, end, nil
}

// Split appends the texts of the elements of the array that text is to dst. It checks
// text as Check does; what is no array is an error too, a *SyntaxError.
func Split(dst [][]byte, text []byte) ([][]byte, error) {
	i, empty, err := enter(text, '[', "Expecting an array")
	for !empty && err == nil {
		begin := i
		if i, err = scan(text, begin); err != nil {
			break
		}
		dst = append(dst, text[begin:i:i])
		var more bool
		if i, more, err = next(text, i, ']'); err == nil && !more {
			break
		}
	}
	if err == nil {
		err = finish(text, i)
	}
	if err != nil {
		return dst, err
	}
	return dst, nil
}

// enter goes into the container that opens text: to its first member, or behind it where
// it is empty.
func enter(text []byte, open byte, otherwise string) (i int, empty bool, err *SyntaxError) {
	i = skipSpace(text, 0)
	if i == len(text) || text[i] != open {
		return i, false, &SyntaxError{i, otherwise}
	}
	i = skipSpace(text, i+1)
	if i < len(text) && text[i] == open+2 {
		return i + 1, true, nil
	}
	return i, false, nil
}

// next goes on behind a member: to the next one, or behind the container.
func next(text []byte, i int, closing byte) (after int, more bool, err *SyntaxError) {
	i = skipSpace(text, i)
	switch {
	case i < len(text) && text[i] == ',':
		return skipSpace(text, i+1), true, nil
	case i < len(text) && text[i] == closing:
		return i + 1, false, nil
	}
	return i, false, &SyntaxError{i, "Expecting ',' delimiter"}
}

func finish(text []byte, i int) *SyntaxError {
	if i = skipSpace(text, i); i != len(text) {
		return &SyntaxError{i, "Extra data"}
	}
	return nil
}
