package configs

import "strings"

// set puts one --set argument, path.to.key=YAML, into the job file's tree.
func set(root *node, arg string, p *problems) {
	const flag = "--set"
	path, value, ok := strings.Cut(arg, "=")
	keys := strings.Split(strings.TrimSpace(path), ".")
	for _, k := range keys {
		ok = ok && k != ""
	}
	if !ok {
		p.add(Problem{File: flag, Value: quote(arg), Message: "write path.to.key=VALUE: batch.size=100"})
		return
	}
	var own problems
	n := parse([]byte(value), flag, &own)
	for _, q := range own.list {
		q.Line, q.Column, q.Key = 0, 0, join(strings.Join(keys, "."), q.Key)
		p.add(q)
	}
	if n == nil || len(own.list) > 0 {
		return
	}
	at := place{file: flag}
	relocate(n, at)
	parent := root
	for i, k := range keys[:len(keys)-1] {
		child := parent.get(k)
		switch {
		case child == nil:
			child = &node{kind: kindMapping, at: at, key: at}
			parent.fields = append(parent.fields, field{name: k, at: at, kind: kindText, value: child})
		case child.empty():
			*child = node{kind: kindMapping, at: at, key: at}
		case child.kind != kindMapping:
			p.add(Problem{File: flag, Key: strings.Join(keys, "."),
				Message: strings.Join(keys[:i+1], ".") + " is " + child.kind.String() + " in the job file: set it as a whole"})
			return
		}
		parent = child
	}
	last := keys[len(keys)-1]
	for i := range parent.fields {
		if parent.fields[i].name == last {
			parent.fields[i].at, parent.fields[i].value = at, n
			return
		}
	}
	parent.fields = append(parent.fields, field{name: last, at: at, kind: kindText, value: n})
}

// relocate makes errors about n name the command line.
func relocate(n *node, at place) {
	n.at, n.key = at, at
	for _, item := range n.items {
		relocate(item, at)
	}
	for i := range n.fields {
		n.fields[i].at = at
		relocate(n.fields[i].value, at)
	}
}
