package dashboard

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// How pages write numbers.

// groups writes a number with its thousands apart: 1,234,567.
func groups(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return sign + b.String()
}

// grouped is groups of an int.
func grouped(n int) string { return groups(int64(n)) }

// dollars writes an amount with two decimals, and more where it has them: $1,234.50.
func dollars(m kinora.Money) string {
	whole, part, _ := strings.Cut(m.String(), ".")
	n, _ := strconv.ParseInt(whole, 10, 64) // digits: no amount is negative
	if len(part) < 2 {
		part += "0"
	}
	return "$" + groups(n) + "." + part
}

// bytesOf writes a size in the unit that says enough.
func bytesOf(n int64) string {
	const kib = 1 << 10
	if n < kib {
		return groups(n) + " B"
	}
	size, unit := float64(n)/kib, 0
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	for size >= 1000 && unit < len(units)-1 {
		size, unit = size/kib, unit+1
	}
	decimals := 0
	if size < 10 {
		decimals = 1
	}
	return strconv.FormatFloat(size, 'f', decimals, 64) + " " + units[unit]
}

// shareOf is how many of a hundred n are of all, which is not 0.
func shareOf(n, all int) string {
	share := 100 * float64(n) / float64(all)
	switch {
	case n > 0 && share < 0.1:
		return "< 0.1 %"
	case share > 0 && share < 10:
		return fmt.Sprintf("%.1f %%", share)
	}
	return fmt.Sprintf("%.0f %%", share)
}

// span is a duration as people read it, to about three digits: 4.2 ms, 340 ms, 2.4 s, 3 min 5 s, 2 h 10 min.
func span(d time.Duration) string {
	number := func(n int, unit string) string { return groups(int64(n)) + " " + unit }
	pair := func(big int, bigUnit string, small int, smallUnit string) string {
		if small == 0 {
			return number(big, bigUnit)
		}
		return number(big, bigUnit) + " " + number(small, smallUnit)
	}
	switch {
	case d <= 0:
		return "0 ms"
	case d < 10*time.Millisecond:
		return strconv.FormatFloat(float64(d.Truncate(100*time.Microsecond).Microseconds())/1000, 'f', -1, 64) + " ms"
	case d < time.Second:
		return number(int(d.Milliseconds()), "ms")
	case d < time.Minute:
		if d < 10*time.Second {
			return strconv.FormatFloat(d.Truncate(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
		}
		return number(int(d/time.Second), "s")
	case d < time.Hour:
		return pair(int(d/time.Minute), "min", int(d/time.Second)%60, "s")
	case d < 48*time.Hour:
		return pair(int(d/time.Hour), "h", int(d/time.Minute)%60, "min")
	}
	return pair(int(d/(24*time.Hour)), "d", int(d/time.Hour)%24, "h")
}
