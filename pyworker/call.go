package pyworker

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

// longestText is how much of a message and of a traceback is kept.
const longestText = 64 << 10

// call is one predict call on its way through the pool.
type call struct {
	frame    []byte // whole but for the sequence
	count    int
	limit    time.Duration
	worker   pipeline.WorkerID // 0: any
	sequence uint64            // on the worker that has it
	start    uint64            // before how many bytes sent to it; the largest number: not sent
	done     chan reply        // takes one reply
}

// reply is what became of a call: an answer or raised frame of a worker, or an error.
type reply struct {
	worker *worker
	frame  frame
	harmed bool // the worker had failed a call before, and predicted nothing since
	err    error
}

// newCall makes the frame of c, so that c's own memory is not needed any more. Its
// payload is the limit in seconds (float64), the length of kwargs and of each instance
// (uint32), the text of kwargs, and that of each instance followed by a line feed.
func newCall(c pipeline.Call) (*call, error) {
	n := len(c.Instances)
	size := 12 + 4*int64(n) + int64(len(c.Kwargs))
	for i := range c.Instances {
		size += int64(len(c.Instances[i].Input)) + 1
	}
	if n == 0 || size > math.MaxUint32 {
		return nil, fmt.Errorf("predict %d instances of %d bytes: a call has 1 instance or more and less than 4 GiB", n, size)
	}
	b := make([]byte, headerSize, headerSize+size)
	putHeader(b, header{kind: kindPredict, count: uint32(n), length: uint32(size)})
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(seconds(c.Limit)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Kwargs)))
	for i := range c.Instances {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Instances[i].Input)))
	}
	b = append(b, c.Kwargs...)
	for i := range c.Instances {
		b = append(b, c.Instances[i].Input...)
		b = append(b, '\n')
	}
	return &call{frame: b, count: n, limit: c.Limit, worker: c.Worker, done: make(chan reply, 1)}, nil
}

// number gives the call its sequence on a worker.
func (k *call) number(sequence uint64) {
	k.sequence, k.start = sequence, math.MaxUint64
	binary.LittleEndian.PutUint64(k.frame[8:], sequence)
}

// readAnswer reads the payload of an answer to c: nanoseconds of decode, predict and
// encode (uint64), the number of failures (uint32), each failure as place and length
// (uint32) and a text, told; and then a JSON array of the predictions of all others.
func readAnswer(c pipeline.Call, f frame, as values.NonFinite) ([]pipeline.Outcome, pipeline.Times, error) {
	var times pipeline.Times
	p := f.payload
	if len(p) < 28 {
		return nil, times, fmt.Errorf("%w: answer of %d bytes", errBroken, len(p))
	}
	times.Decode = nanoseconds(p)
	times.Predict = nanoseconds(p[8:])
	times.Encode = nanoseconds(p[16:])
	failures := binary.LittleEndian.Uint32(p[24:])
	outcomes := make([]pipeline.Outcome, len(c.Instances))
	p, err := readFailures(outcomes, c, int(failures), p[28:])
	if err != nil {
		return nil, times, err
	}
	if as != 0 && f.flags&flagNonFinite != 0 {
		if _, err := values.Split(nil, p); err != nil {
			return nil, times, fmt.Errorf("%w: predictions: %w", errBroken, err)
		}
		p = values.ReplaceNonFinite(make([]byte, 0, len(p)+len(p)/8), p, as)
	}
	texts, err := values.Split(make([][]byte, 0, len(outcomes)), p)
	if err != nil {
		return nil, times, fmt.Errorf("%w: predictions: %w", errBroken, err)
	}
	if len(texts)+int(failures) != len(outcomes) {
		return nil, times, fmt.Errorf("%w: %d predictions and %d failures for %d instances", errBroken, len(texts), failures, len(outcomes))
	}
	for i := range outcomes {
		if outcomes[i].Failure == nil {
			outcomes[i].Prediction = texts[0]
			texts = texts[1:]
		}
	}
	return outcomes, times, nil
}

// predicts says whether an answer holds a prediction.
func predicts(f frame) bool {
	return len(f.payload) >= 28 && binary.LittleEndian.Uint32(f.payload[24:]) < f.count
}

// readFailures puts n failures into their places and returns what stands behind them.
func readFailures(outcomes []pipeline.Outcome, c pipeline.Call, n int, p []byte) ([]byte, error) {
	for last := -1; n > 0; n-- {
		if len(p) < 8 {
			return nil, fmt.Errorf("%w: answer ends inside a failure", errBroken)
		}
		place := int64(binary.LittleEndian.Uint32(p))
		length := int64(binary.LittleEndian.Uint32(p[4:]))
		p = p[8:]
		if place <= int64(last) || place >= int64(len(outcomes)) || length > int64(len(p)) {
			return nil, fmt.Errorf("%w: failure of %d bytes at place %d of %d", errBroken, length, place, len(outcomes))
		}
		t, err := readTold(p[:length])
		if err != nil {
			return nil, err
		}
		p = p[length:]
		last = int(place)
		failure := t.failure()
		if failure.Phase != pipeline.PhaseRead && failure.Phase != pipeline.PhaseEncode {
			return nil, fmt.Errorf("%w: failure of phase %q in an answer", errBroken, failure.Phase)
		}
		if failure.Type == pipeline.TypeInvalidJSON {
			failure.NotJSON, failure.Text = true, shownText(&c.Instances[place])
		}
		outcomes[place].Failure = &failure
	}
	return p, nil
}

// shownText is the row itself as a string, where it is not JSON.
func shownText(in *pipeline.Instance) string {
	text := in.Echo
	if text == nil {
		text = in.Input
	}
	return values.Repair(text)
}

func readTold(payload []byte) (told, error) {
	var t told
	if err := json.Unmarshal(payload, &t); err != nil {
		return t, fmt.Errorf("%w: %w", errBroken, err)
	}
	return t, nil
}

func (t told) failure() pipeline.Failure {
	return pipeline.Failure{
		Phase: pipeline.Phase(t.Phase), Type: cut(t.Type), Message: cut(t.Message), Traceback: cut(t.Traceback),
	}
}

// callError is the error of a call that raised. A hostile worker may write any kind: what
// is not known is a plain exception.
func (t told) callError(w *worker) *pipeline.CallError {
	e := &pipeline.CallError{Kind: pipeline.Raised, Worker: w.id, Failure: t.failure(), Stderr: w.output.tail()}
	switch t.Kind {
	case "retry":
		e.Kind = pipeline.Retry
	case "memory":
		e.Kind = pipeline.Memory
	}
	return e
}

// cut shortens text to longestText bytes, between two characters.
func cut(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= longestText {
		return text
	}
	end := longestText - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

func nanoseconds(b []byte) time.Duration {
	return time.Duration(min(binary.LittleEndian.Uint64(b), math.MaxInt64))
}
