// Package pyworker runs Predictors in Python subprocesses: it stages model and packages,
// starts and supervises the workers, and speaks with them in frames. What a failed call
// means for its batch is decided in pipeline.
package pyworker
