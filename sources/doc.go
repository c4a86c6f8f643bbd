// Package sources reads instances: each source has its own config, plan, splits and
// decoder. It does not predict and does not write.
package sources
