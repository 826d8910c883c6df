package webhook

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxSignatureHeader bounds webhook-signature, in bytes: room for some eighty signatures, where a
	// rotation needs two.
	maxSignatureHeader = 4 << 10
	// maxTimestampDigits keeps the time far from every overflow.
	maxTimestampDigits = 12
	hexSignatureLength = 64
)

// deliveryHeaders is what the headers of one delivery say, checked for form only.
type deliveryHeaders struct {
	// standard is set when all three webhook-* headers are there.
	standard   bool
	id         string
	seconds    string // webhook-timestamp as sent; canonical decimal, so it is also the signed text
	timestamp  time.Time
	signatures string

	// hex holds x-katalo-signature and -previous as sent, without absent ones; their form is
	// checked only when they are to decide.
	hex []string

	attempt int
}

// parseHeaders collects the headers that matter. Names are compared without regard to case, so a map that a
// function platform filled by hand works, and cannot hide a second value under another spelling.
func parseHeaders(header http.Header) (deliveryHeaders, error) {
	var id, timestamp, signature, hexNow, hexBefore, attempt headerValue
	for name, values := range header {
		switch {
		case strings.EqualFold(name, HeaderID):
			id.add(values)
		case strings.EqualFold(name, HeaderTimestamp):
			timestamp.add(values)
		case strings.EqualFold(name, HeaderSignature):
			signature.add(values)
		case strings.EqualFold(name, HeaderHexSignature):
			hexNow.add(values)
		case strings.EqualFold(name, HeaderHexSignaturePrevious):
			hexBefore.add(values)
		case strings.EqualFold(name, HeaderAttempt):
			attempt.add(values)
		}
	}

	d := deliveryHeaders{attempt: parseAttempt(attempt)}
	for _, v := range []struct {
		name  string
		value headerValue
	}{
		{HeaderID, id}, {HeaderTimestamp, timestamp}, {HeaderSignature, signature},
		{HeaderHexSignature, hexNow}, {HeaderHexSignaturePrevious, hexBefore},
	} {
		if v.value.count > 1 {
			return d, fmt.Errorf("%w: %s is sent more than once", ErrMalformed, v.name)
		}
	}
	for _, v := range []headerValue{hexNow, hexBefore} {
		if v.count == 1 {
			d.hex = append(d.hex, v.text)
		}
	}
	switch id.count + timestamp.count + signature.count {
	case 0:
		return d, nil
	case 3:
		return d, d.parseStandard(id.text, timestamp.text, signature.text)
	default:
		return d, fmt.Errorf("%w: %s, %s and %s belong together", ErrMalformed, HeaderID, HeaderTimestamp, HeaderSignature)
	}
}

func (d *deliveryHeaders) parseStandard(id, timestamp, signature string) error {
	if !validID(id) {
		return fmt.Errorf("%w: %s", ErrMalformed, HeaderID)
	}
	seconds, ok := parseSeconds(timestamp)
	if !ok {
		return fmt.Errorf("%w: %s", ErrMalformed, HeaderTimestamp)
	}
	if signature == "" || len(signature) > maxSignatureHeader {
		return fmt.Errorf("%w: %s is empty or longer than %d bytes", ErrMalformed, HeaderSignature, maxSignatureHeader)
	}
	d.standard = true
	d.id, d.seconds, d.signatures = id, timestamp, signature
	d.timestamp = time.Unix(seconds, 0).UTC()
	return nil
}

// checkHex reports whether the hex headers are there and in form: exactly 64 lower-case hex characters.
func (d *deliveryHeaders) checkHex() error {
	if len(d.hex) == 0 {
		return ErrMissing
	}
	for _, text := range d.hex {
		if !lowerHex(text) {
			return fmt.Errorf("%w: %s must be %d lower-case hex characters", ErrMalformed, HeaderHexSignature, hexSignatureLength)
		}
	}
	return nil
}

// headerValue counts the values of one header over all spellings of its name, and keeps the last.
type headerValue struct {
	text  string
	count int
}

func (v *headerValue) add(values []string) {
	v.count += len(values)
	if len(values) > 0 {
		v.text = values[len(values)-1]
	}
}

// parseSeconds accepts canonical decimals only: no sign, no space, no leading zero. Anything else
// would have two spellings for one signed text.
func parseSeconds(text string) (int64, bool) {
	if text == "" || len(text) > maxTimestampDigits || text[0] == '0' || !digits(text) {
		return 0, false
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return seconds, err == nil
}

// parseAttempt returns 0 for anything odd: the header is not signed, and nothing may hang on it.
func parseAttempt(v headerValue) int {
	if v.count != 1 || len(v.text) > 9 || !digits(v.text) {
		return 0
	}
	n, err := strconv.Atoi(v.text)
	if err != nil {
		return 0
	}
	return n
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func lowerHex(s string) bool {
	if len(s) != hexSignatureLength {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
