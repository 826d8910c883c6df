package blob

import (
	"errors"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on keys. MaxKeyBytes leaves room in S3's 1,024 bytes for a prefix; MaxSegmentBytes is what file systems take as
// one name.
const (
	MaxKeyBytes     = 900
	MaxSegmentBytes = 255
)

// ValidateKey reports why key cannot name an object, as an *Error of kind ErrInvalidKey, or nil. A key is valid UTF-8 of
// 1 to MaxKeyBytes bytes: segments of 1 to MaxSegmentBytes bytes with single slashes between them, none starting with a
// dot (so neither ".", ".." nor a hidden file), without backslashes, control or format characters (NUL, line ends,
// direction marks), and nothing that the operating system takes for a path outside the folder.
func ValidateKey(key string) error {
	if why := keyFault(key); why != "" {
		return &Error{Op: "key", Key: key, Kind: ErrInvalidKey, Err: errors.New(why)}
	}
	return nil
}

func keyFault(key string) string {
	switch {
	case key == "":
		return "it is empty"
	case len(key) > MaxKeyBytes:
		return "it is too long"
	case !utf8.ValidString(key):
		return "it is not valid UTF-8"
	}
	for _, r := range key {
		if r == '\\' || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return "it holds a backslash or a control character"
		}
	}
	for segment := range strings.SplitSeq(key, "/") {
		switch {
		case segment == "":
			return "it holds an empty segment"
		case segment[0] == '.':
			return "a segment starts with a dot"
		case len(segment) > MaxSegmentBytes:
			return "a segment is too long"
		}
	}
	if !filepath.IsLocal(filepath.FromSlash(key)) {
		return "it is not a local path"
	}
	return ""
}

// prefixFault applies the rules of keys to a List prefix, which may be empty and may end anywhere.
func prefixFault(prefix string) string {
	if prefix == "" {
		return ""
	}
	return keyFault(strings.TrimSuffix(prefix, "/"))
}

// contentTypeOf goes by the extension of key. The table is closed on purpose: the system's MIME tables differ from
// machine to machine. Empty means not known.
func contentTypeOf(key string) string {
	switch strings.ToLower(path.Ext(key)) {
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".gif":
		return "image/gif"
	case ".webp":
		return "image/webp"
	case ".avif":
		return "image/avif"
	case ".heic":
		return "image/heic"
	case ".mp4":
		return "video/mp4"
	case ".mov":
		return "video/quicktime"
	case ".webm":
		return "video/webm"
	case ".mkv":
		return "video/x-matroska"
	case ".avi":
		return "video/x-msvideo"
	}
	return ""
}
