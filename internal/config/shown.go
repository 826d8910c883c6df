package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// shown is a Config without the methods below, safe to print.
type shown Config

// shown returns c without the password in its database address; its other secrets hide
// themselves.
func (c Config) shown() shown {
	c.Database = withoutPassword(c.Database)
	return shown(c)
}

// Format prints c without secrets, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%+v", c.shown()) }

// MarshalJSON writes c without secrets.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.shown()) }

// MarshalYAML writes c without secrets.
func (c Config) MarshalYAML() (any, error) { return c.shown(), nil }

// LogValue logs c without secrets.
func (c Config) LogValue() slog.Value { return slog.AnyValue(c.shown()) }

// withoutPassword shows a database address with user, host and name, and no parameter that
// could be a secret. What cannot be read is not shown at all.
func withoutPassword(dsn string) string {
	if !strings.Contains(dsn, "://") {
		if strings.Contains(dsn, "password") { // the other form that PostgreSQL's clients take
			return redacted
		}
		return dsn
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return redacted
	}
	query := url.Values{}
	for _, name := range []string{"sslmode", "target_session_attrs", "application_name"} {
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
