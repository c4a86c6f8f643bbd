package objects

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func TestSumsAreJoined(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 1<<17)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	cuts := []int{0, 1, 2, 3, 4, 5, 8, 255, 256, 65535, 65536, len(content) - 1, len(content)}
	for range 50 {
		cuts = append(cuts, random.IntN(len(content)))
	}
	want := crc32.Checksum(content, castagnoli)
	for _, cut := range cuts {
		a, b := crc32.Checksum(content[:cut], castagnoli), crc32.Checksum(content[cut:], castagnoli)
		if got := JoinSums(a, b, int64(len(content)-cut)); got != want {
			t.Errorf("cut at %d: %08x; want %08x", cut, got, want)
		}
	}
}

func TestSumsOfAllMustBeKnown(t *testing.T) {
	t.Parallel()
	known := Object{Size: 3, Sum: "364b3fb7"} // of "abc"
	if size, sum, ok := joined([]Object{known, {Sum: "00000000"}}); size != 3 || sum != 0x364b3fb7 || !ok {
		t.Errorf("%d, %08x, %v", size, sum, ok)
	}
	if size, _, ok := joined([]Object{known, {Size: 4}}); size != 7 || ok {
		t.Errorf("%d, %v", size, ok)
	}
}
