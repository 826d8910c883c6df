package upload

import (
	"encoding/base64"
	"errors"
	"io"
	"strings"
)

// maxDataURL is how much may stand in front of the comma of a data URL (RFC 2397).
const maxDataURL = 256

var errBase64 = errors.New("upload: not base64")

// DecodeBase64 decodes a stream of base64 as it passes: standard or URL alphabet, padded or
// not, white space ignored, with or without "data:image/png;base64," in front. What else
// is in it ends the stream with an error, and so with "Invalid file data".
func DecodeBase64(r io.Reader) io.Reader {
	return base64.NewDecoder(base64.RawStdEncoding, &alphabet{r: &dataURL{r: r}})
}

// dataURL skips the head of a data URL.
type dataURL struct {
	r       io.Reader
	started bool
}

func (d *dataURL) Read(p []byte) (int, error) {
	if d.started || len(p) == 0 {
		return d.r.Read(p)
	}
	d.started = true
	// One byte at a time, because what follows the comma must not be swallowed; at most maxDataURL times.
	const scheme = "data:"
	var head []byte
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(d.r, one); err != nil {
			if err == io.EOF && !strings.HasPrefix(string(head), scheme) {
				d.r = io.MultiReader(strings.NewReader(string(head)), d.r)
				return d.r.Read(p)
			}
			if err == io.EOF {
				return 0, errBase64
			}
			return 0, err
		}
		head = append(head, one[0])
		text := strings.ToLower(string(head))
		switch {
		case len(head) <= len(scheme) && !strings.HasPrefix(scheme, text):
			d.r = io.MultiReader(strings.NewReader(string(head)), d.r)
			return d.r.Read(p)
		case one[0] == ',':
			if !strings.HasSuffix(text, ";base64,") {
				return 0, errBase64 // percent-encoded data
			}
			return d.r.Read(p)
		case len(head) == maxDataURL:
			return 0, errBase64
		}
	}
}

// alphabet brings every spelling of base64 into the one that the decoder takes.
type alphabet struct {
	r      io.Reader
	padded bool // "=" was met: nothing but padding and white space may follow
}

func (a *alphabet) Read(p []byte) (int, error) {
	for {
		n, err := a.r.Read(p)
		kept := 0
		for _, c := range p[:n] {
			switch {
			case c == ' ' || c == '\t' || c == '\r' || c == '\n':
				continue
			case c == '=':
				a.padded = true
				continue
			case a.padded:
				return 0, errBase64
			case c == '-':
				c = '+'
			case c == '_':
				c = '/'
			}
			p[kept] = c
			kept++
		}
		if kept > 0 || err != nil || len(p) == 0 {
			return kept, err
		}
	}
}
