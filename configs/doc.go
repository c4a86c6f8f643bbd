// Package configs is the job file: one struct composed of the packages' own configs, its
// defaults, strict decoding, validation and JSON Schema.
package configs
