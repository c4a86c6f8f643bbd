// Package runs is what makes a run durable: its plan, its digest, the commit records of
// its parts, publishing and finishing. It does not know what is in a part.
package runs
