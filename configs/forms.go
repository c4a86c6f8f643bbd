package configs

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// wholeNumber is the value of an integer; 1.5 and 1e3 are none.
func wholeNumber(n *node) (int64, bool) {
	if n.kind != kindInteger && !(n.substituted && scalarKind(n.text) == kindInteger) {
		return 0, false
	}
	i, ok := bigInt(n.text)
	if !ok || !i.IsInt64() {
		return 0, false
	}
	return i.Int64(), true
}

// bigInt reads an integer as YAML 1.2 writes it: 12, -012 (decimal), 0o17, 0x1f.
func bigInt(s string) (*big.Int, bool) {
	switch {
	case strings.HasPrefix(s, "0x"):
		return new(big.Int).SetString(s[2:], 16)
	case strings.HasPrefix(s, "0o"):
		return new(big.Int).SetString(s[2:], 8)
	}
	return new(big.Int).SetString(s, 10)
}

// number is the value of a finite number.
func number(n *node) (float64, bool) {
	k := n.kind
	if n.substituted {
		k = scalarKind(n.text)
	}
	switch {
	case k == kindInteger:
		i, ok := bigInt(n.text)
		if !ok {
			return 0, false
		}
		f, _ := i.Float64()
		return f, true
	case k == kindFloat && !strings.HasSuffix(strings.ToLower(n.text), ".inf") && !strings.EqualFold(n.text, ".nan"):
		f, err := strconv.ParseFloat(n.text, 64)
		return f, err == nil
	}
	return 0, false
}

func (d *decoder) duration(n *node, to *time.Duration, path string) {
	v, err := time.ParseDuration(n.text)
	switch {
	case n.kind == kindInteger && n.text != "0" && !n.substituted && len(n.text) < 10:
		d.fail(n, path, "write a duration with its unit: "+n.text+"s, 10m, 1h30m, 500ms")
	case err != nil || n.kind == kindList || n.kind == kindMapping:
		d.fail(n, path, "write a duration with its unit: 90s, 10m, 1h30m, 500ms")
	default:
		if d.inRange(n, v.Seconds(), path) {
			*to = v
		}
	}
}

var sizePattern = regexp.MustCompile(`^(?:[0-9]+|[0-9]+(?:\.[0-9]+)? ?[KMGT]i?B|[0-9]+ ?B)$`)

func (d *decoder) size(n *node, to *pipeline.Bytes, path string) {
	var v pipeline.Bytes
	if n.kind == kindList || n.kind == kindMapping || !sizePattern.MatchString(n.text) || v.UnmarshalText([]byte(n.text)) != nil {
		d.fail(n, path, "write a size with its unit: 64MiB, 10GB (KiB MiB GiB TiB, KB MB GB TB)")
		return
	}
	if d.inRange(n, float64(v), path) {
		*to = v
	}
}

func (d *decoder) count(n *node, to *pipeline.Count, path string) {
	if n.text == "auto" {
		*to = 0
		return
	}
	i, ok := wholeNumber(n)
	if !ok || i < 1 || int64(int(i)) != i {
		d.fail(n, path, "write auto, or a whole number of 1 or more")
		return
	}
	*to = pipeline.Count(i)
}

func (d *decoder) echo(n *node, to *pipeline.Echo, path string) {
	const allowed = "write full, none, or a list of fields"
	switch {
	case n.kind == kindList && len(n.items) == 0:
		d.fail(n, path, "the list is empty: "+allowed)
	case n.kind == kindList:
		fields := d.texts(n, path)
		if i := duplicate(fields); i >= 0 {
			d.fail(n.items[i], path, "the field is there twice")
		}
		*to = pipeline.Echo{Fields: fields}
	case n.text == "full":
		*to = pipeline.Echo{}
	case n.text == "none":
		*to = pipeline.Echo{None: true}
	default:
		d.fail(n, path, allowed)
	}
}

// duplicate is where s has a name a second time, or -1.
func duplicate(s []string) int {
	seen := make(map[string]bool, len(s))
	for i, name := range s {
		if seen[name] && name != "" {
			return i
		}
		seen[name] = true
	}
	return -1
}
