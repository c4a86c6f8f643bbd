// Package sinks keeps outcomes: each sink has its own config and parts. When a part is
// committed, and by whom, is decided in pipeline/runs.
package sinks
