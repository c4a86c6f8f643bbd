package runs

import "math/bits"

// openSplits are the numbers of the splits that are still to be taken, a bit each.
// The zero bits are the open ones.
type openSplits struct {
	closed []uint64
	count  int // that are open
}

func newOpenSplits(n int) *openSplits {
	o := &openSplits{closed: make([]uint64, (n+63)/64), count: n}
	if rest := n % 64; rest != 0 {
		o.closed[len(o.closed)-1] = ^uint64(0) << rest
	}
	return o
}

func (o *openSplits) has(i int) bool { return o.closed[i/64]&(1<<(i%64)) == 0 }

// close takes number i out, and says whether it was open.
func (o *openSplits) close(i int) bool {
	if !o.has(i) {
		return false
	}
	o.closed[i/64] |= 1 << (i % 64)
	o.count--
	return true
}

func (o *openSplits) reopen(i int) {
	o.closed[i/64] &^= 1 << (i % 64)
	o.count++
}

// without calls f while the numbers given are taken out.
func (o *openSplits) without(numbers []int, f func()) {
	var out []int
	for _, i := range numbers {
		if o.close(i) {
			out = append(out, i)
		}
	}
	f()
	for _, i := range out {
		o.reopen(i)
	}
}

// nth is the number, in order, of open split n, which is less than their count.
func (o *openSplits) nth(n int) int {
	for w, closed := range o.closed {
		free := ^closed
		if in := bits.OnesCount64(free); n >= in {
			n -= in
			continue
		}
		for ; n > 0; n-- {
			free &= free - 1
		}
		return w*64 + bits.TrailingZeros64(free)
	}
	return -1
}

// numbers are all open splits, in order.
func (o *openSplits) numbers() []int {
	numbers := make([]int, 0, o.count)
	for w, closed := range o.closed {
		for free := ^closed; free != 0; free &= free - 1 {
			numbers = append(numbers, w*64+bits.TrailingZeros64(free))
		}
	}
	return numbers
}
