package server

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora"
)

const (
	maxUploadKey   = 256      // bytes of a key, escapes included
	maxUploadOther = 64 << 10 // bytes of all values that are passed over
)

// uploadObject reads the JSON object of a base64 upload one member after the other, as it arrives: base64_data may be
// far larger than what is held in memory. All other values are small, and are checked by encoding/json.
type uploadObject struct {
	r      *bufio.Reader
	seen   map[string]bool
	folder string // upload_path, as far as it has been met
	begun  bool
	spent  int // bytes of other values
}

func newUploadObject(body io.Reader) *uploadObject {
	return &uploadObject{r: bufio.NewReaderSize(body, 32<<10), seen: make(map[string]bool)}
}

func errUploadJSON() error { return refuse(errMalformed, "invalid JSON body") }

// data reads up to the text of base64_data, which the caller then reads to its end.
func (o *uploadObject) data() (io.Reader, error) {
	text, err := o.next()
	if err == nil && text == nil {
		return nil, &fieldMissing{"base64_data"}
	}
	return text, err
}

// rest reads what stands behind the text, and returns the folder if it was there.
func (o *uploadObject) rest() (string, error) {
	before := o.seen["upload_path"]
	if _, err := o.next(); err != nil { // a second text would be a duplicate key
		return "", err
	}
	if before {
		return "", nil
	}
	return o.folder, nil
}

// next returns the text of base64_data, or nil at the end of the object. It notes upload_path and passes over all else.
func (o *uploadObject) next() (io.Reader, error) {
	for {
		key, end, err := o.key()
		if err != nil || end {
			return nil, err
		}
		c, err := o.peek()
		if err != nil {
			return nil, err
		}
		if key == "base64_data" && c == '"' {
			_, _ = o.r.ReadByte() // the quote that was peeked at
			return &jsonText{r: o.r}, nil
		}
		raw, err := o.value()
		if err != nil {
			return nil, err
		}
		null := string(raw) == "null"
		switch {
		case key == "base64_data" && !null:
			return nil, errUploadData()
		case key == "upload_path" && !null:
			if c != '"' || len(raw) > 6*maxUploadPath {
				return nil, errUploadPath()
			}
			if err := json.Unmarshal(raw, &o.folder); err != nil {
				return nil, errUploadJSON()
			}
		}
	}
}

// key reads the next key and the colon behind it, or the end of the object and of the body.
func (o *uploadObject) key() (key string, end bool, err error) {
	c, err := o.token()
	if err != nil {
		return "", false, err
	}
	if !o.begun {
		if o.begun = true; c != '{' {
			return "", false, refuse(errMalformed, "JSON body must be an object")
		}
		if c, err = o.token(); err != nil {
			return "", false, err
		}
		if c == '}' {
			return "", true, o.end()
		}
	} else {
		if c == '}' {
			return "", true, o.end()
		}
		if c != ',' {
			return "", false, errUploadJSON()
		}
		if c, err = o.token(); err != nil {
			return "", false, err
		}
	}
	if c != '"' {
		return "", false, errUploadJSON()
	}
	_ = o.r.UnreadByte() // always possible after a byte was read
	raw, err := o.scan(maxUploadKey)
	if err != nil {
		return "", false, err
	}
	if json.Unmarshal(raw, &key) != nil || !utf8.Valid(raw) {
		return "", false, errUploadJSON()
	}
	if o.seen[key] {
		return "", false, duplicateKey([]byte(key))
	}
	if len(o.seen) == maxFormFields {
		return "", false, refuse(errMalformed, "JSON body has too many values")
	}
	o.seen[key] = true
	if c, err = o.token(); err == nil && c != ':' {
		err = errUploadJSON()
	}
	return key, false, err
}

// end makes sure that nothing but white space stands behind the object.
func (o *uploadObject) end() error {
	for {
		c, err := o.r.ReadByte()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return jsonReadError(err)
		case !jsonSpace(c):
			return errUploadJSON()
		}
	}
}

// token reads the next byte that is not white space.
func (o *uploadObject) token() (byte, error) {
	for {
		c, err := o.r.ReadByte()
		if err != nil {
			return 0, jsonReadError(err)
		}
		if !jsonSpace(c) {
			return c, nil
		}
	}
}

func (o *uploadObject) peek() (byte, error) {
	c, err := o.token()
	if err == nil {
		_ = o.r.UnreadByte()
	}
	return c, err
}

// value reads one small value whole.
func (o *uploadObject) value() ([]byte, error) {
	raw, err := o.scan(maxUploadOther - o.spent)
	if err != nil {
		return nil, err
	}
	o.spent += len(raw)
	if !json.Valid(raw) || !utf8.Valid(raw) {
		return nil, errUploadJSON()
	}
	return raw, nil
}

// scan reads to where the value ends whose first byte is next: by brackets and quotes alone, the caller checks the rest.
func (o *uploadObject) scan(most int) ([]byte, error) {
	var raw []byte
	depth, inText, escaped := 0, false, false
	for {
		c, err := o.r.ReadByte()
		if err != nil {
			return nil, jsonReadError(err)
		}
		if !inText && depth == 0 && len(raw) > 0 && (c == ',' || c == '}' || c == ']' || jsonSpace(c)) {
			_ = o.r.UnreadByte() // the end of a number, true, false or null
			return raw, nil
		}
		if len(raw) >= most {
			return nil, refuse(errMalformed, "JSON body has a field that is too long")
		}
		raw = append(raw, c)
		switch {
		case escaped:
			escaped = false
		case inText && c == '\\':
			escaped = true
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		if !inText && depth <= 0 && (c == '"' || c == '}' || c == ']') {
			return raw, nil
		}
	}
}

func jsonSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// jsonReadError keeps what the body's reader said; an end where none may be is bad JSON.
func jsonReadError(err error) error {
	var known *kinora.Error
	if errors.As(err, &known) {
		return known
	}
	return errUploadJSON()
}

// jsonText reads the content of a JSON string whose opening quote has been read, to its closing quote. It takes the
// escapes that can stand for a character of base64 or for white space.
type jsonText struct {
	r    *bufio.Reader
	done bool
}

func (t *jsonText) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if t.done {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) {
		// Only what has arrived already, so that a slow sender's bytes are passed on.
		if n > 0 && t.r.Buffered() == 0 {
			return n, nil
		}
		c, err := t.r.ReadByte()
		if err != nil {
			return n, jsonReadError(err)
		}
		switch {
		case c == '"':
			t.done = true
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		case c == '\\':
			if c, err = t.escape(); err != nil {
				return n, err
			}
		case c < ' ':
			return n, errUploadJSON()
		}
		p[n] = c
		n++
	}
	return n, nil
}

func (t *jsonText) escape() (byte, error) {
	c, err := t.r.ReadByte()
	if err != nil {
		return 0, jsonReadError(err)
	}
	const letters, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if i := strings.IndexByte(letters, c); i >= 0 {
		return meanings[i], nil
	}
	if c != 'u' {
		return 0, errUploadJSON()
	}
	digits := make([]byte, 4)
	if _, err := io.ReadFull(t.r, digits); err != nil {
		return 0, jsonReadError(err)
	}
	if strings.Trim(strings.ToLower(string(digits)), "0123456789abcdef") != "" {
		return 0, errUploadJSON()
	}
	r := hexDigits(digits)
	if r == 0 || r > '~' {
		return 0, errUploadData() // a character, but none of base64
	}
	return byte(r), nil
}
