package blob

import (
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxFilenameBytes = 180
	// maxRanges bounds what one request may ask for: with S3 each range can cost a request of ours. A server may ignore
	// Range (RFC 9110, section 14.2), so beyond it the whole object is sent.
	maxRanges = 8
)

// mayShow reports whether a browser may show the type by itself: pictures and videos that cannot carry scripts. SVG and
// HTML are absent on purpose.
func mayShow(mediaType string) bool {
	switch mediaType {
	case "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/heic",
		"video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "video/x-msvideo":
		return true
	}
	return false
}

// ServeOptions says what the caller knows about the object, and how long the answer may be kept.
type ServeOptions struct {
	// ContentType is the type that was found in the content when it was stored. Empty means the object's own.
	ContentType string
	// Filename is what a browser suggests for saving. Empty means the last segment of the key.
	Filename string
	// SHA256 of the content, 64 hexadecimal digits, becomes the entity tag. Without it the tag is made of the object's
	// size and time.
	SHA256 string
	// MaxAge is how long a client may keep the answer; it is cut to what is left until Expires.
	MaxAge time.Duration
	// Expires is when the URL stops working; zero means that it does not.
	Expires time.Time
	// Now is the current time.
	Now time.Time
}

// ServeObject answers a GET or HEAD request with object, whole or in ranges. The caller has checked that the request may
// see it, and closes object.
//
// A Range that cannot be read, or is of another unit than bytes, is ignored. One that the object does not reach is
// answered 416 with Content-Range and net/http's text, in place of which w may write another.
//
// Whatever the bytes are, they do nothing at our origin: only known picture and video types are named as such and shown
// inline, everything else is an octet stream to be saved; the browser may not guess; and the answer is sandboxed.
func ServeObject(w http.ResponseWriter, r *http.Request, object Object, opts ServeOptions) {
	attributes := object.Attributes()
	contentType, disposition := servedAs(opts.ContentType, attributes.ContentType)
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Content-Disposition", contentDisposition(disposition, opts.Filename, attributes.Key))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Cache-Control", cacheControl(opts))
	if digest, err := hex.DecodeString(opts.SHA256); err == nil && len(digest) == 32 {
		header.Set("ETag", `"`+hex.EncodeToString(digest)+`"`)
	} else if !attributes.ModTime.IsZero() {
		// Objects are replaced as a whole, so size and time tell one from its successor, and a
		// download that broke off can go on.
		header.Set("ETag", fmt.Sprintf(`"%x-%x"`, attributes.Size, attributes.ModTime.UnixNano()))
	}
	if rng := r.Header.Get("Range"); rng != "" && !mayRange(rng) {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	var content io.ReadSeeker = object
	if folder, ok := object.(*folderObject); ok {
		content = folder.file // lets the kernel copy file to socket
	}
	// No modification time: it tells when a file was copied here, and means nothing to a client.
	http.ServeContent(w, r, "", time.Time{}, content)
}

// mayRange reports whether a Range header is one to be heeded: byte ranges, well formed and not too many of them. A unit
// that is not known must be ignored, and ranges that cannot be read may be (RFC 9110, section 14.2). Whether the object
// holds such bytes is not looked at.
func mayRange(header string) bool {
	set, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Count(set, ",") >= maxRanges {
		return false
	}
	found := false
	for part := range strings.SplitSeq(set, ",") {
		if part = strings.Trim(part, " \t"); part == "" {
			continue // empty elements of a list are no fault (section 5.6.1.2)
		}
		from, to, ok := strings.Cut(part, "-")
		first, hasFirst := position(from)
		last, hasLast := position(to)
		switch {
		case part == "-0": // no byte at all, which net/http would answer 206
			return false
		case !ok, from != "" && !hasFirst, to != "" && !hasLast, !hasFirst && !hasLast, hasFirst && hasLast && first > last:
			return false
		}
		found = true
	}
	return found
}

// position reads a place in an object, or a length; digits only.
func position(digits string) (n int64, ok bool) {
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

func servedAs(stored, own string) (contentType, disposition string) {
	if stored == "" {
		stored = own
	}
	mediaType, _, err := mime.ParseMediaType(stored)
	if err != nil || !mayShow(mediaType) {
		return "application/octet-stream", "attachment"
	}
	return mediaType, "inline"
}

func cacheControl(opts ServeOptions) string {
	age := opts.MaxAge
	if !opts.Expires.IsZero() {
		age = min(age, opts.Expires.Sub(opts.Now))
	}
	return "private, max-age=" + strconv.FormatInt(int64(max(age, 0)/time.Second), 10)
}

func contentDisposition(disposition, filename, key string) string {
	if filename = sanitiseFilename(filename); filename == "" {
		filename = sanitiseFilename(key[strings.LastIndexByte(key, '/')+1:])
	}
	if filename == "" {
		return disposition
	}
	// Gives filename*= where the name is not ASCII.
	return mime.FormatMediaType(disposition, map[string]string{"filename": filename})
}

// sanitiseFilename drops what could lead out of the download folder, hide the extension or break the header: paths,
// control and direction characters, quotes, characters that some file systems forbid.
func sanitiseFilename(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r), strings.ContainsRune(`"<>:|?*%;`, r):
			return -1
		case unicode.IsSpace(r):
			return ' '
		}
		return r
	}, name)
	name = strings.Trim(name, ". ")
	if len(name) <= maxFilenameBytes {
		return name
	}
	// The extension says what the file is, so the front is what is cut.
	ext := name[strings.LastIndexByte(name, '.')+1:]
	if len(ext) == len(name) || len(ext) > 10 {
		ext = ""
	} else {
		ext = "." + ext
	}
	return strings.ToValidUTF8(name[:maxFilenameBytes-len(ext)], "") + ext
}
