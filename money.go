package kinora

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Money is an amount in millionths of a US dollar. Sums of it are exact.
type Money int64

// MaxMoney bounds what may be configured: a thousand million dollars. Sums of such prices
// stay far from overflow.
const MaxMoney = Money(1e15)

var errMoney = errors.New("is not an amount of US dollars such as 0.35, with at most six decimals")

// ParseMoney reads dollars as a decimal number, "0.35". It is never negative.
func ParseMoney(text string) (Money, error) {
	whole, part, _ := strings.Cut(text, ".")
	if len(part) > 6 || len(whole) > 10 || strings.Trim(whole+part, "0123456789") != "" || whole == "" ||
		strings.HasSuffix(text, ".") {
		return 0, errMoney
	}
	n, err := strconv.ParseInt(whole+(part + "000000")[:6], 10, 64)
	if err != nil || Money(n) > MaxMoney {
		return 0, errMoney
	}
	return Money(n), nil
}

// String is the amount in dollars with as many decimals as it needs, at least one: "0.35",
// "12.0". It is a JSON number too.
func (m Money) String() string {
	sign, n := "", uint64(m)
	if m < 0 {
		sign, n = "-", -n
	}
	part := strconv.FormatUint(1e6+n%1e6, 10)[1:]
	part = part[:1] + strings.TrimRight(part[1:], "0")
	return sign + strconv.FormatUint(n/1e6, 10) + "." + part
}

// MarshalText writes the form that ParseMoney reads.
func (m Money) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what ParseMoney takes.
func (m *Money) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMoney(strings.TrimSpace(string(text)))
	return err
}

// MarshalJSON writes a JSON number of dollars (generations API contract 12).
func (m Money) MarshalJSON() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalJSON reads a JSON number of dollars.
func (m *Money) UnmarshalJSON(text []byte) error {
	v, err := ParseMoney(string(text))
	if err != nil {
		// Another writer's number, such as 1e3 or 0.10000000000000001.
		f, wrong := strconv.ParseFloat(string(text), 64)
		if wrong != nil || f < 0 || f > float64(MaxMoney)/1e6 || math.Abs(f*1e6-math.Round(f*1e6)) > 1e-3 {
			return err
		}
		v = Money(math.Round(f * 1e6))
	}
	*m = v
	return nil
}
