package sources

import (
	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

// manyFields is from how many fields on doubled ones are looked for with a map.
const manyFields = 32

// compose writes what the Predictor sees of a row that was divided, and what the output
// shows of it, from the texts of its fields.
func (a *arranger) compose(in *pipeline.Instance, b *pipeline.Batch) {
	if len(a.shown) > 0 {
		in.Shown = a.composeShown(b)
	}
	array := a.rows.Instance.InstanceType == "array"
	switch {
	case a.isArrayAlready(in.Echo):
	case array && len(a.included) > 0:
		in.Input = composeArray(b, a.chosenValues())
	case array:
		in.Input = composeArray(b, a.unique(a.kept))
	case len(a.kept) < len(a.row) && len(a.included) > 0:
		for i, m := range a.kept {
			a.kept[i].Value = a.chosen[a.included[string(a.nameOf(m))]].Value
		}
		in.Input = composeObject(b, a.kept)
	case len(a.kept) < len(a.row):
		in.Input = composeObject(b, a.unique(a.kept))
	}
}

// composeShown writes the shown fields that the row has.
func (a *arranger) composeShown(b *pipeline.Batch) []byte {
	begin := len(b.Buffer)
	b.Buffer = append(b.Buffer, '{')
	for i, value := range a.echoed {
		if value == nil {
			continue
		}
		if len(b.Buffer) > begin+1 {
			b.Buffer = append(b.Buffer, ',')
		}
		b.Buffer = append(append(append(b.Buffer, a.labels[i]...), ':'), value...)
	}
	b.Buffer = append(b.Buffer, '}')
	return b.Buffer[begin:len(b.Buffer):len(b.Buffer)]
}

// chosenValues are the included fields without the key.
func (a *arranger) chosenValues() []values.Member {
	a.kept = a.kept[:0]
	for _, m := range a.chosen {
		if m.Key != nil {
			a.kept = append(a.kept, m)
		}
	}
	return a.kept
}

// unique leaves of fields of one name the last value in the first one's place, as Python
// does. It works in place.
func (a *arranger) unique(members []values.Member) []values.Member {
	if len(members) < manyFields {
		return a.uniqueFew(members)
	}
	places := make(map[string]int, len(members))
	n := 0
	for _, m := range members {
		name := a.nameOf(m)
		if i, ok := places[string(name)]; ok {
			members[i].Value = m.Value
			continue
		}
		places[string(name)] = n
		members[n] = m
		n++
	}
	return members[:n]
}

func (a *arranger) uniqueFew(members []values.Member) []values.Member {
	n := 0
next:
	for _, m := range members {
		name := a.nameOf(m)
		for i := range n {
			if values.KeyIs(members[i].Key, string(name)) {
				members[i].Value = m.Value
				continue next
			}
		}
		members[n] = m
		n++
	}
	return members[:n]
}

func composeObject(b *pipeline.Batch, members []values.Member) []byte {
	begin := len(b.Buffer)
	b.Buffer = append(b.Buffer, '{')
	for i, m := range members {
		if i > 0 {
			b.Buffer = append(b.Buffer, ',')
		}
		b.Buffer = append(append(append(b.Buffer, m.Key...), ':'), m.Value...)
	}
	b.Buffer = append(b.Buffer, '}')
	return b.Buffer[begin:len(b.Buffer):len(b.Buffer)]
}

func composeArray(b *pipeline.Batch, members []values.Member) []byte {
	begin := len(b.Buffer)
	b.Buffer = append(b.Buffer, '[')
	for i, m := range members {
		if i > 0 {
			b.Buffer = append(b.Buffer, ',')
		}
		b.Buffer = append(b.Buffer, m.Value...)
	}
	b.Buffer = append(b.Buffer, ']')
	return b.Buffer[begin:len(b.Buffer):len(b.Buffer)]
}
