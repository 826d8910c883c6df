package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// Duration is a time.Duration that reads "90s", "1h30m" and also days of 24 hours, "30d" or
// "1d12h". It is never negative.
type Duration time.Duration

// Std returns the standard library's form.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// errDuration and errSize do not repeat the text: it may be a secret in the wrong place.
var (
	errDuration = errors.New("is not a duration such as 90s, 2h or 30d")
	errSize     = errors.New("is not a size such as 1048576, 20MB or 4GB")
)

// maxDays keeps a duration far from overflow: about a hundred years.
const maxDays = 36500

// UnmarshalText reads a duration: days, Go's units, or days and then Go's units ("1d12h").
func (d *Duration) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	days, rest, found := strings.Cut(s, "d")
	if !found {
		days, rest = "0", s
	}
	n, err := strconv.ParseFloat(days, 64)
	// ParseFloat also takes signs, exponents, hexadecimal digits, "inf" and "nan".
	if err != nil || strings.Trim(days, ".0123456789") != "" || n > maxDays {
		return errDuration
	}
	total := time.Duration(n * 24 * float64(time.Hour))
	if rest != "" || !found {
		v, err := time.ParseDuration(rest)
		if err != nil || v < 0 || v > maxDays*24*time.Hour || found && strings.HasPrefix(rest, "+") {
			return errDuration
		}
		total += v
	}
	*d = Duration(total)
	return nil
}

// MarshalText writes the shortest form that reads back.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string {
	const day = 24 * time.Hour
	v, days := time.Duration(d), ""
	if v >= day {
		days, v = strconv.Itoa(int(v/day))+"d", v%day
	}
	if v == 0 && days != "" {
		return days
	}
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return days + s
}

// Size is a number of bytes that reads "1048576", "20MB" and "4GB": powers of 1,024, also
// written "20MiB". It is never negative.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	t := strings.ToUpper(strings.TrimSpace(string(text)))
	unit := int64(1)
	t = strings.Replace(t, "IB", "B", 1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(t, u.suffix); ok {
			t, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || strings.Trim(t, "0123456789") != "" || n > (1<<62)/unit {
		return errSize
	}
	*s = Size(n * unit)
	return nil
}

// MarshalText writes the shortest form that reads back.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string {
	for _, u := range sizeUnits {
		if int64(s) >= u.bytes && int64(s)%u.bytes == 0 && u.bytes > 1 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// USD is an amount of US dollars such as 0.35, with at most six decimals.
type USD kinora.Money

// UnmarshalText reads an amount.
func (u *USD) UnmarshalText(text []byte) error { return (*kinora.Money)(u).UnmarshalText(text) }

// MarshalText writes the shortest form that reads back.
func (u USD) MarshalText() ([]byte, error) { return kinora.Money(u).MarshalText() }

func (u USD) String() string { return kinora.Money(u).String() }

// Secret is a value that shows itself nowhere: not in logs, errors, JSON or YAML.
type Secret string

const redacted = "[redacted]"

// Reveal returns the secret itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString keeps %#v quiet too.
func (s Secret) GoString() string { return s.String() }

// Format keeps every verb quiet.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText covers JSON and text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML covers YAML.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue covers slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
