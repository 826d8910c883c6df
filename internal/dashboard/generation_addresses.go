package dashboard

import (
	"bytes"
	"encoding/json"
	"regexp"

	"github.com/kinora/kinora"
)

// Addresses among a model's own fields, or a workflow's, are often signed: whoever reads one may read the file, for as long as it holds.

// anAddress matches texts that begin as URLs do, of whatever scheme.
var anAddress = regexp.MustCompile(`^\s*[A-Za-z][A-Za-z0-9+.-]*://`)

// shownText is a text of such a field as it may be shown: of an address what kinora.ShownURL leaves.
func shownText(text string) string {
	if anAddress.MatchString(text) {
		return kinora.ShownURL(text)
	}
	return text
}

// shownValue is a JSON value with all texts in it as they may be shown; all tells whether that is all of it.
func shownValue(raw json.RawMessage) (shown json.RawMessage, all bool) {
	shown = replaceTexts(raw, shownText)
	return shown, bytes.Equal(shown, raw)
}

// shownFields are fields with their values as they may be shown; all tells whether that is all of them.
func shownFields(fields map[string]json.RawMessage) (shown map[string]json.RawMessage, all bool) {
	shown, all = make(map[string]json.RawMessage, len(fields)), true
	for name, raw := range fields {
		value, whole := shownValue(raw)
		shown[name], all = value, all && whole
	}
	return shown, all
}

// replaceTexts puts what with makes of it in the place of each text in a JSON value, names of members included. All else stays as it was
// written: numbers may have more digits than Go's have, and members an order.
func replaceTexts(raw json.RawMessage, with func(string) string) json.RawMessage {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var out []byte
	from := 0 // what lies before it is in out
	for {
		begin := int(d.InputOffset())
		token, err := d.Token()
		if err != nil { // its end; nothing that is kept is no JSON
			break
		}
		text, ok := token.(string)
		if !ok {
			continue
		}
		other := with(text)
		if other == text {
			continue
		}
		end := int(d.InputOffset())
		begin += bytes.IndexByte(raw[begin:end], '"') // behind spaces, commas and colons
		quoted, _ := json.Marshal(other)              // marshals any string
		out = append(append(out, raw[from:begin]...), quoted...)
		from = end
	}
	if from == 0 {
		return raw
	}
	return append(out, raw[from:]...)
}
