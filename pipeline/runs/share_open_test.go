package runs

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOpenSplitsAreASortedSet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 63, 64, 65, 200} {
		open := newOpenSplits(n)
		var model []int
		for i := range n {
			model = append(model, i)
		}
		compare := func(when string) {
			t.Helper()
			got := open.numbers()
			if !slices.Equal(got, model) || open.count != len(model) {
				t.Fatalf("%d splits, %s: %d open (-want +got):\n%s", n, when, open.count, cmp.Diff(model, got))
			}
			for k, i := range model {
				if open.nth(k) != i || !open.has(i) {
					t.Fatalf("%d splits, %s: open split %d is %d; want %d", n, when, k, open.nth(k), i)
				}
			}
		}
		for len(model) > 0 {
			compare("open")
			closed := random.IntN(n)
			k, found := slices.BinarySearch(model, closed)
			all := slices.Clone(model)
			if found {
				model = slices.Delete(model, k, k+1)
			}
			open.without([]int{closed, closed}, func() { compare("without one") })
			model, all = all, model
			compare("with it again")
			if open.close(closed) != found || open.close(closed) {
				t.Fatalf("split %d is closed twice", closed)
			}
			model = all
		}
		compare("closed")
	}
}
