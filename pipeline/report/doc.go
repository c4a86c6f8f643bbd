// Package report tells people and programs what a run did: report.json, the closing
// summary, and progress while it goes on.
package report
