// Package values is how values travel between Go and Python: JSON text exactly as
// CPython's json module reads and writes it.
package values
