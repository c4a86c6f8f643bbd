package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pyworker"
)

// maxWorkerLog bounds each of the two files in which a worker's last lines are kept.
const maxWorkerLog = 1 << 20

// workerLogs keeps what the workers write: the last lines of each, in
// worker-<number>.log, with those before them in worker-<number>.log.1.
type workerLogs struct {
	folder string
	temp   *pyworker.TempDir // that the folder is; nil: it is the run's own
	log    *slog.Logger

	mu    sync.Mutex
	files map[int]*workerLog
}

type workerLog struct {
	path string
	file *os.File // nil: it can not be written
	size int
}

func newWorkerLogs(folder string, log *slog.Logger) *workerLogs {
	return &workerLogs{folder: folder, log: log, files: map[int]*workerLog{}}
}

// write keeps one line, and logs it at level debug.
func (l *workerLogs) write(line pyworker.Line) {
	line.Text = pipeline.Quote(line.Text) // it may hold an instance
	l.log.Debug(line.Text, "worker", line.Worker, "stream", string(line.Stream))
	l.mu.Lock()
	defer l.mu.Unlock()
	file, there := l.files[line.Worker]
	if !there {
		file = l.open(line.Worker)
		l.files[line.Worker] = file
	}
	file.append(line.Text)
}

func (l *workerLogs) open(worker int) *workerLog {
	f := &workerLog{path: filepath.Join(l.folder, fmt.Sprintf("worker-%d.log", worker))}
	if err := os.MkdirAll(l.folder, 0o777); err != nil {
		l.log.Warn("workers' output is not kept", "reason", err)
		return f
	}
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666)
	if err != nil {
		l.log.Warn("a worker's output is not kept", "reason", err)
		return f
	}
	f.file = file
	return f
}

// append writes a line; a log that can not be written is given up, not the run.
func (f *workerLog) append(text string) {
	if f.file == nil {
		return
	}
	if f.size > maxWorkerLog {
		f.rotate()
	}
	n, err := f.file.WriteString(text + "\n")
	f.size += n
	if err != nil {
		_ = f.file.Close()
		f.file = nil
	}
}

func (f *workerLog) rotate() {
	if os.Rename(f.path, f.path+".1") != nil {
		return
	}
	if file, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666); err == nil {
		_ = f.file.Close()
		f.file, f.size = file, 0
	}
}

// Close closes the files.
func (l *workerLogs) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		if f.file != nil {
			_ = f.file.Close()
		}
	}
}

// openLogs says where the workers' output is kept: with the run, or, where that is in Cloud
// Storage, in a temporary folder until keepLogs.
func (r *jobRun) openLogs() (*workerLogs, error) {
	if !objects.IsCloud(r.folder) {
		return newWorkerLogs(filepath.Join(r.folder, "_cpr-batch", "logs"), r.log), nil
	}
	temp, err := pyworker.NewTempDir()
	if err != nil {
		return nil, err
	}
	logs := newWorkerLogs(temp.Path, r.log)
	logs.temp = temp
	return logs, nil
}

// keepLogs closes the logs, and leaves those of a temporary folder with the run. What can
// not be kept is not worth the run.
func (r *jobRun) keepLogs(ctx context.Context, logs *workerLogs) {
	logs.Close()
	if logs.temp == nil {
		return
	}
	for _, name := range logs.names() {
		text, err := os.ReadFile(filepath.Join(logs.folder, name))
		if err == nil {
			err = r.run.Keep(ctx, "logs/"+r.run.Attempt()+"/"+name, text)
		}
		if err != nil {
			r.log.Warn("a worker's output is not kept", "reason", err)
			break
		}
	}
	if err := logs.temp.Close(); err != nil {
		r.log.Warn("the next start removes what is left", "error", err)
	}
}

// names are those of the files that there are.
func (l *workerLogs) names() []string {
	var names []string
	for worker := range l.files {
		name := fmt.Sprintf("worker-%d.log", worker)
		for _, name := range []string{name, name + ".1"} {
			if _, err := os.Stat(filepath.Join(l.folder, name)); err == nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}
