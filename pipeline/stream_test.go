package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// stream is a source without end: a split is what arrived until its window was full or
// old. It shows that the engine's one loop serves streams as it serves files.
type stream struct {
	messages chan string // closed: the stream is at its end
	most     int         // messages of a window
	age      time.Duration

	windows int
	acked   []string
	nacked  []string
}

// Next waits for the first message of a window.
func (s *stream) Next(ctx context.Context) (pipeline.Split, error) {
	select {
	case m, ok := <-s.messages:
		if !ok {
			return nil, io.EOF
		}
		s.windows++
		return &window{stream: s, id: pipeline.SplitID(fmt.Sprintf("window-%d", s.windows)), first: m, closes: time.Now().Add(s.age)}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *stream) Close() error { return nil }

type window struct {
	stream *stream
	id     pipeline.SplitID
	first  string
	closes time.Time
	held   []string
	closed bool
}

func (w *window) ID() pipeline.SplitID { return w.id }

// Read fills a batch until it is full, its first message has waited long enough, or the
// window ends. A stopped stream closes its window: what it holds is finished.
func (w *window) Read(ctx context.Context, b *pipeline.Batch) error {
	if w.first != "" {
		w.add(b, w.first)
		w.first = ""
	}
	patience := time.NewTimer(time.Until(w.closes))
	defer patience.Stop()
	for !w.closed && len(b.Instances) < b.Limits.Instances && len(w.held) < w.stream.most {
		if len(b.Instances) == 1 {
			patience.Reset(min(b.Limits.Wait, time.Until(w.closes)))
		}
		select {
		case m, ok := <-w.stream.messages:
			if !ok {
				w.closed = true
				break
			}
			w.add(b, m)
			continue
		case <-patience.C:
			w.closed = !time.Now().Before(w.closes)
		case <-ctx.Done():
			w.closed = true
		}
		if w.closed || len(b.Instances) > 0 {
			break
		}
	}
	if len(b.Instances) == 0 {
		return io.EOF
	}
	return nil
}

func (w *window) add(b *pipeline.Batch, m string) {
	w.held = append(w.held, m)
	addLine(b, m, 0)
	b.Instances[len(b.Instances)-1].Origin = pipeline.Origin{MessageID: m}
}

// Skip has nothing to pass over: a window is never opened again.
func (w *window) Skip(context.Context, int64) error { return nil }

func (w *window) Locate(context.Context, *pipeline.Origin) error { return nil }

func (w *window) Settle(_ context.Context, err error) error {
	if err != nil {
		w.stream.nacked = append(w.stream.nacked, w.held...)
		return nil
	}
	w.stream.acked = append(w.stream.acked, w.held...)
	return nil
}

func streamJob(s *stream, sink pipeline.Sink, pool pipeline.Pool) *pipeline.Job {
	job := newJob(s, sink, pool)
	job.Splits = 1 // the fake stream has no lock
	job.Batch = pipeline.Limits{Instances: 4, Bytes: 1 << 20, Wait: 100 * time.Millisecond}
	return job
}

func TestAStreamIsTakenByTheSameLoop(t *testing.T) {
	t.Parallel()
	t.Run("windows close when full or old, and are acknowledged when stored", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &stream{messages: make(chan string), most: 10, age: time.Second}
			go func() {
				defer close(s.messages)
				for i := range 25 {
					s.messages <- fmt.Sprintf("m%02d", i)
				}
				<-time.After(3 * time.Second)
				s.messages <- "late"
			}()
			sink := &memorySink{}
			pool := newFakePool(2, healthy)
			result, err := streamJob(s, sink, pool).Run(t.Context(), t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if result.Done != 4 || result.Committed.Predicted != 26 {
				t.Errorf("result %+v", result)
			}
			sizes := []int{len(sink.parts["window-1"]), len(sink.parts["window-2"]), len(sink.parts["window-3"]), len(sink.parts["window-4"])}
			if diff := cmp.Diff([]int{10, 10, 5, 1}, sizes); diff != "" {
				t.Error(diff)
			}
			if len(s.acked) != 26 || len(s.nacked) != 0 {
				t.Errorf("acked %v, nacked %v", s.acked, s.nacked)
			}
		})
	})
	t.Run("stopped, it finishes and acknowledges what it holds", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			stopped := errors.New("stopped")
			fetch, stop := context.WithCancelCause(t.Context())
			s := &stream{messages: make(chan string), most: 100, age: time.Hour}
			pool := newFakePool(2, healthy)
			pool.delay = func([]string) time.Duration { return 10 * time.Second }
			go func() {
				for i := range 6 {
					s.messages <- fmt.Sprintf("m%d", i)
				}
				stop(stopped)
			}()
			sink := &memorySink{}
			result, err := streamJob(s, sink, pool).Run(t.Context(), fetch)
			if !errors.Is(err, stopped) || result.Done != 1 {
				t.Errorf("error %v, result %+v", err, result)
			}
			if len(s.acked) != 6 || len(sink.parts["window-1"]) != 6 {
				t.Errorf("acked %v, stored %v", s.acked, sink.parts)
			}
		})
	})
	t.Run("a sink that fails leaves the messages to be delivered again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &stream{messages: make(chan string, 6), most: 3, age: time.Second}
			for i := range 6 {
				s.messages <- fmt.Sprintf("m%d", i)
			}
			away := errors.New("sink is away")
			sink := &memorySink{onOpen: func(id pipeline.SplitID) error {
				if id == "window-2" {
					return away
				}
				return nil
			}}
			if _, err := streamJob(s, sink, newFakePool(1, healthy)).Run(t.Context(), t.Context()); !errors.Is(err, away) {
				t.Errorf("error %v", err)
			}
			if len(s.acked) != 3 || len(sink.parts) != 1 {
				t.Errorf("acked %v, stored %v", s.acked, sink.parts)
			}
		})
	})
}
