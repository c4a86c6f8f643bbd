package objects

import "hash/crc32"

// JoinSums returns the CRC-32C of a content of CRC-32C a with one of CRC-32C b, which is n
// bytes long, behind it: a times x to the power of 8n, plus b, among polynomials.
func JoinSums(a, b uint32, n int64) uint32 {
	for square := uint32(1) << (31 - 8); n > 0; n >>= 1 {
		if n&1 != 0 {
			a = multiply(a, square)
		}
		square = multiply(square, square)
	}
	return a ^ b
}

// multiply multiplies polynomials modulo that of CRC-32C; the highest bit is that of x to
// the power of 0.
func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a>>31 != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= crc32.Castagnoli
		}
	}
	return product
}
