package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Duration is a length of time in Go's syntax, plus "d" for days of 24 hours: 90s, 15m,
// 1d12h, 30d.
type Duration time.Duration

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

var errDuration = errors.New("not a duration")

// ParseDuration reads a Duration. A number without a unit is refused, but for 0.
func ParseDuration(text string) (Duration, error) {
	text = strings.TrimSpace(text)
	days, rest, found := strings.Cut(text, "d")
	if !found {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, errDuration
		}
		return Duration(d), nil
	}
	n, err := strconv.ParseFloat(days, 64)
	// ParseFloat also takes hexadecimal numbers, exponents, underscores, "inf" and "nan".
	if err != nil || strings.Trim(days, "+-.0123456789") != "" || math.Abs(n) > 1e5 {
		return 0, errDuration
	}
	d := time.Duration(n * float64(day))
	if rest == "" {
		return Duration(d), nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || n < 0 || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") || more > math.MaxInt64-d {
		return 0, errDuration
	}
	return Duration(d + more), nil
}

// String writes d as ParseDuration reads it, without parts that are zero: 30d, 1d12h, 15m, 0s.
func (d Duration) String() string {
	std := time.Duration(d)
	if std < 0 {
		return std.String()
	}
	var text string
	if n := std / day; n > 0 {
		text, std = strconv.FormatInt(int64(n), 10)+"d", std%day
	}
	if std == 0 && text != "" {
		return text
	}
	rest := std.String()
	if std >= time.Minute {
		rest = strings.TrimSuffix(rest, "0s")
		if strings.HasSuffix(rest, "h0m") {
			rest = strings.TrimSuffix(rest, "0m")
		}
	}
	return text + rest
}

// MarshalText writes String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// MarshalYAML writes String.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// UnmarshalYAML is ParseDuration, with the line in its error.
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	return scalar(node, "config.Duration", d.UnmarshalText)
}

// Size is a number of bytes: 65536, 20MiB, 1.5GB. The units are powers of 1,024 with an i (KiB, MiB,
// GiB, TiB) and of 1,000 without (kB, MB, GB, TB).
type Size int64

var errSize = errors.New("not a size")

var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1}, {"", 1},
}

// ParseSize reads a Size. It is never negative.
func ParseSize(text string) (Size, error) {
	text = strings.TrimSpace(text)
	for _, unit := range sizeUnits {
		number, found := strings.CutSuffix(text, unit.name)
		if !found {
			continue
		}
		number = strings.TrimSpace(number)
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || strings.Trim(number, ".0123456789") != "" || n*unit.bytes >= 1<<60 {
			return 0, errSize
		}
		return Size(n * unit.bytes), nil
	}
	return 0, errSize
}

// String writes s in the largest unit of 1,024 that divides it.
func (s Size) String() string {
	for _, unit := range sizeUnits[:4] {
		if n := int64(unit.bytes); s != 0 && int64(s)%n == 0 {
			return strconv.FormatInt(int64(s)/n, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText writes String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML writes String.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// UnmarshalYAML is ParseSize, with the line in its error.
func (s *Size) UnmarshalYAML(node *yaml.Node) error {
	return scalar(node, "config.Size", s.UnmarshalText)
}

// scalar reads one value in the way of the yaml package: an error does not end the reading, and names
// the line and the type, never the value.
func scalar(node *yaml.Node, typeName string, set func([]byte) error) error {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.ScalarNode || set([]byte(node.Value)) != nil {
		return &yaml.TypeError{Errors: []string{"line " + strconv.Itoa(node.Line) + ": cannot unmarshal !!value into " + typeName}}
	}
	return nil
}
