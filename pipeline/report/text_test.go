package report

import (
	"testing"
	"time"
)

func TestNumbersForPeople(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		number(0): "0", number(999): "999", number(1000): "1,000", number(-1234567): "-1,234,567",
		rate(1562.5): "1,563", rate(0.25): "0.25", rate(9.96): "10", rate(3): "3",
		duration(1400 * time.Millisecond): "1.4s", duration(12 * time.Second): "12s", duration(192 * time.Second): "3m12s",
		duration(2*time.Hour + 5*time.Minute): "2h05m", duration(27 * time.Hour): "1d03h", duration(-time.Second): "0.0s",
		share(0, 0): "0 %", share(1, 1_000_000): "below 0.01 %", share(5, 1000): "0.5 %", share(129, 300_000): "0.043 %",
		share(999_999, 1_000_000): "over 99.99 %", share(7, 7): "100 %", share(2, 3): "66.6 %",
		counted(1, "part"): "1 part", counted(1700, "part"): "1,700 parts",
		line("a\r\n\tb\x00\u202ec"): "a b\uFFFD\uFFFDc",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
