package dashboard

import (
	"testing"

	"github.com/kinora/kinora"
)

func TestNumbersAsPagesWriteThem(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := groups(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
	for m, want := range map[kinora.Money]string{0: "$0.00", 350_000: "$0.35", 1_234_500_000: "$1,234.50", 1: "$0.000001"} {
		if got := dollars(m); got != want {
			t.Errorf("%d is written %s", m, got)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1,023 B", 1536: "1.5 KiB", 20 << 20: "20 MiB", 1_000 << 20: "1.0 GiB"} {
		if got := bytesOf(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
}
