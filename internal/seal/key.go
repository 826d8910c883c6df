package seal

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// KeySize is the length of a master key in bytes.
const KeySize = 32

// ErrKeyFormat: a text is not a master key. It does not repeat the text.
var ErrKeyFormat = errors.New("seal: a master key is 32 bytes, written as 64 hexadecimal digits or in base64")

// Key is a master key. It prints as "[redacted]" in every format.
type Key struct{ bytes [KeySize]byte }

// ParseKey reads a master key: 64 hexadecimal digits, or base64 in the standard or URL
// alphabet, with or without padding. White space around it is ignored.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	if len(text) == hex.EncodedLen(KeySize) {
		if b, err := hex.DecodeString(text); err == nil {
			return Key{[KeySize]byte(b)}, nil
		}
	}
	if strings.ContainsAny(text, "\r\n") { // encoding/base64 would skip them
		return Key{}, ErrKeyFormat
	}
	unpadded := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	b, err := base64.RawStdEncoding.DecodeString(unpadded)
	if err != nil || len(b) != KeySize {
		return Key{}, ErrKeyFormat
	}
	return Key{[KeySize]byte(b)}, nil
}

// Text is the key as ParseKey reads it and a key file holds it: padded standard base64.
func (k Key) Text() string { return base64.StdEncoding.EncodeToString(k.bytes[:]) }

// ID tells keys apart, and tells nothing about them: eight hexadecimal digits, in front of every
// text that was sealed with the key.
func (k Key) ID() string { return hex.EncodeToString(expand(k, "kinora master key id", 4)) }

// IsZero reports whether k is no key at all.
func (k Key) IsZero() bool { return k == Key{} }

const redacted = "[redacted]"

// String never shows the key; see Text.
func (k Key) String() string { return redacted }

// Format keeps every verb of package fmt from looking inside.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue never shows the key.
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }
