package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator writes JSON Lines with all that JSON has, that it nearly has, and that it has
// not.
type generator struct {
	*rand.Rand
	deepest int // nesting that no Python can follow is of no use where Go looks into rows
}

func (g *generator) pick(from ...string) string { return from[g.IntN(len(from))] }

// oddly makes a few of many places special.
func (g *generator) oddly(n int) bool { return g.IntN(n) == 0 }

// file returns about n lines.
func (g *generator) file(n int) []byte {
	var b bytes.Buffer
	if g.oddly(2) {
		b.WriteString("\ufeff")
	}
	for i := range n {
		for _, line := range g.lines() {
			b.WriteString(g.pick("", "", "", "", " ", "\t", " \r"))
			b.Write(line)
			b.WriteString(g.pick("", "", "", "", " ", "\t", "\r", "\r\r "))
			if i < n-1 || g.oddly(2) {
				b.WriteByte('\n')
			}
		}
	}
	return b.Bytes()
}

// lines returns one line, or some that belong together.
func (g *generator) lines() [][]byte {
	switch k := g.IntN(1000); {
	case k < 40:
		return [][]byte{[]byte(g.pick("", " ", "\t", "\r", " \t \r", "\v", "\f", "\u00a0", "\x00", "\ufeff"))}
	case k < 100: // broken ones that would parse together
		pairs := [][]string{{"[1,", "2]"}, {"[", "]"}, {`{"id":`, "1}"}, {`"a`, `b"`}, {"[[", "],", "[]]"}, {`{"id":1,"a":2`, "}"}, {"1 2", "["}, {"-", "1"}, {"1", ".5"}, {"[1", ",2]"}}
		var all [][]byte
		for _, line := range pairs[g.IntN(len(pairs))] {
			all = append(all, []byte(line))
		}
		return all
	case k < 105:
		return [][]byte{[]byte("[" + strings.Repeat(g.number()+",", g.IntN(4000)) + "0]")}
	case k < 110:
		return [][]byte{[]byte(g.deep())}
	case k < 114: // longer than a line may be, some of it blanks only
		return [][]byte{[]byte(g.pick(`"`, " ", "") + strings.Repeat(g.pick("x", "é", " ", "\xff", "1"), longestLine/2+g.IntN(longestLine)))}
	case k < 118:
		return [][]byte{fmt.Appendf(nil, `{"id":%s,"a":%s,"b":%s}`, g.digits(), g.number(), g.digits())}
	case k < 350:
		return [][]byte{g.broken([]byte(g.value(0)))}
	case k < 600:
		return [][]byte{[]byte(g.row())}
	}
	return [][]byte{[]byte(g.value(0))}
}

// row is an object with fields that the arrangements look for, mostly.
func (g *generator) row() string {
	var fields []string
	for range 2 + g.IntN(5) {
		name := g.pick(`"id"`, `"id"`, `"a"`, `"a"`, `"b"`, `"b"`, `"i\u0064"`, `"\u0061"`, `"c"`, `""`, `"é"`, `"\ud800"`, `"a\""`)
		fields = append(fields, g.space()+name+g.space()+":"+g.value(3))
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func (g *generator) space() string {
	return g.pick("", "", "", "", "", " ", "\t", "\r", "  ")
}

func (g *generator) value(depth int) string {
	k := g.IntN(10)
	if depth > 5 {
		k = 2 + g.IntN(8)
	}
	var parts []string
	switch {
	case k == 0:
		for range g.IntN(5) {
			parts = append(parts, g.value(depth+1))
		}
		return g.space() + "[" + strings.Join(parts, ",") + g.space() + "]" + g.space()
	case k == 1:
		for range g.IntN(5) {
			parts = append(parts, g.space()+g.pick(`"a"`, `"b"`, `"id"`, g.text())+g.space()+":"+g.value(depth+1))
		}
		return g.space() + "{" + strings.Join(parts, ",") + g.space() + "}" + g.space()
	case k < 5:
		return g.space() + g.number() + g.space()
	case k < 8:
		return g.space() + g.text() + g.space()
	}
	return g.space() + g.pick("true", "false", "null", "true", "null", "NaN", "Infinity", "-Infinity") + g.space()
}

func (g *generator) number() string {
	digits := func() string { return fmt.Sprint(g.Uint64() >> g.IntN(64)) }
	switch g.IntN(12) {
	case 0:
		return g.pick("0", "-0", "0.0", "-0.0", "0e0", "-0E-0", "1e400", "-1e400", "1e-400", "1E+308", "1.7976931348623157e308", "1.7976931348623159e308",
			"5e-324", "2e-324", "4.9406564584124654e-324", "9007199254740993", "9007199254740993.0", "1e23", "1e22", "1e16", "123456789012345680.0", "1e99999999999")
	case 1:
		return g.pick("", "-") + strings.Repeat(g.pick("1", "9", "10", "37"), 1+g.IntN(150))
	case 2:
		return "0." + strings.Repeat(g.pick("0", "1", "9"), g.IntN(400)) + digits()
	case 3, 4:
		return g.pick("", "-") + digits() + "." + digits()
	case 5:
		return g.pick("", "-") + digits() + g.pick("e", "E") + g.pick("", "+", "-") + fmt.Sprint(g.IntN(330))
	case 6:
		return g.pick("", "-") + fmt.Sprint(g.IntN(10)) + "." + digits() + g.pick("e", "E") + g.pick("", "+", "-") + fmt.Sprintf("%03d", g.IntN(330))
	}
	return g.pick("", "-") + digits()
}

// digits is an integer at the border of what Python reads.
func (g *generator) digits() string { return g.pick("", "-") + strings.Repeat("7", 4290+g.IntN(20)) }

func (g *generator) text() string {
	var b strings.Builder
	b.WriteByte('"')
	for range g.IntN(8) {
		switch g.IntN(8) {
		case 0:
			b.WriteString(g.pick(`\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`))
		case 1:
			fmt.Fprintf(&b, g.pick(`\u%04x`, `\u%04X`), g.IntN(0x10000))
		case 2:
			b.WriteString(g.pick(`\ud83d\ude00`, `\ud83d`, `\ude00`, `\ude00\ud83d`, `\ud83d\ud83d\ude00`, `\ud83d\n`, `\ud83dx`, `\uD83D\uDE00`))
		case 3:
			b.WriteString(string(rune(g.IntN(0x10FFFF))))
		case 4:
			b.WriteString(g.pick("\x7f", "\u2028", "\u2029", "\ufeff", "\u0085", "\ufffd", "😀", "é", "\u00a0"))
		default:
			b.WriteString(g.pick("a", "NaN", "Infinity", "[1,", "]", "}", " ", "the quick brown fox", "null", "\\\\"))
		}
	}
	b.WriteByte('"')
	return b.String()
}

// deep is nested as Python can, or as it surely can not.
func (g *generator) deep() string {
	n := min([]int{100, 500, 900, 3000, 100000}[g.IntN(5)], g.deepest)
	open, end := "[", "]"
	if g.oddly(2) {
		open, end = `{"a":`, "}"
	}
	if n > 10000 {
		n = longestLine/len(open+end) - 10
	}
	return strings.Repeat(open, n) + g.pick("1", `"x"`, "[]") + strings.Repeat(end, n-g.IntN(20)/19)
}

// broken spoils a text, in most cases.
func (g *generator) broken(text []byte) []byte {
	text = bytes.Clone(text)
	for range 1 + g.IntN(3) {
		at := 0
		if len(text) > 0 {
			at = g.IntN(len(text))
		}
		switch g.IntN(4) {
		case 0: // cut
			text = text[:at]
		case 1: // leave a byte out
			text = append(text[:at:at], text[min(at+1, len(text)):]...)
		case 2: // any byte
			text = append(append(text[:at:at], byte(g.IntN(256))), text[min(at+1, len(text)):]...)
		case 3: // something wrong
			wrong := g.pick("01", "1.", ".5", "+1", "-", "-NaN", "nan", "True", "1e", "1e+", "'a'", "\"\x00\"", "\"\x1f\"", `"\q"`, `"\u12"`, `"\u12g4"`, "\"\xff\"",
				"\"\xed\xa0\x80\"", "\"\xc0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82", "\ufeff", "\v", "\f", "\u00a0", ",", ":", "]", "}", "[", "{", `"`, `\`, "١", "1_0", "0x1", "//", "\x00")
			text = append(append(text[:at:at], wrong...), text[at:]...)
		}
	}
	return text
}
