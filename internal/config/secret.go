package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

const redacted = "[redacted]"

// Secret is a text that no log, error, dump or debugger's print shows. An empty one shows
// as empty, so that "not set" can be told from "set".
type Secret string

// Reveal returns the text itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// String never shows the text; see Reveal.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String, in quotes.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// Format keeps every verb of package fmt from showing the text, also wrong ones like %d.
func (s Secret) Format(f fmt.State, verb rune) { format(f, verb, s.String()) }

// MarshalJSON writes what String says.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalYAML writes what String says.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// MarshalText writes what String says.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue writes what String says.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(text []byte) error { *s = Secret(text); return nil }

// DSN is the address of a database: a path, or a postgres:// URL whose password shows nowhere.
type DSN string

// Reveal returns the address with its password.
func (d DSN) Reveal() string { return string(d) }

// String shows everything but the password. What looks like a URL and cannot be read as one is not shown at all.
func (d DSN) String() string {
	if !strings.Contains(string(d), "://") {
		if strings.Contains(string(d), "password=") {
			return redacted
		}
		return string(d)
	}
	u, err := url.Parse(string(d))
	if err != nil {
		return redacted
	}
	// A password can also be a parameter; those that may be shown say what matters to an operator.
	query := url.Values{}
	for _, name := range []string{"sslmode", "application_name", "target_session_attrs"} {
		if v := u.Query().Get(name); v != "" {
			query.Set(name, v)
		}
	}
	u.RawQuery = query.Encode()
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), "redacted")
	}
	return u.String()
}

// GoString is String, in quotes.
func (d DSN) GoString() string { return fmt.Sprintf("%q", d.String()) }

// Format keeps every verb of package fmt from showing the password.
func (d DSN) Format(f fmt.State, verb rune) { format(f, verb, d.String()) }

// MarshalJSON writes what String says.
func (d DSN) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// MarshalYAML writes what String says.
func (d DSN) MarshalYAML() (any, error) { return d.String(), nil }

// MarshalText writes what String says.
func (d DSN) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// LogValue writes what String says.
func (d DSN) LogValue() slog.Value { return slog.StringValue(d.String()) }

// UnmarshalText takes the text as it is.
func (d *DSN) UnmarshalText(text []byte) error { *d = DSN(text); return nil }

func format(f fmt.State, verb rune, shown string) {
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		_, _ = fmt.Fprintf(f, "%q", shown)
		return
	}
	_, _ = f.Write([]byte(shown))
}
