package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/kinora/kinora"
)

// decode fills a struct from the document, for bodies that are closed: an unknown key is an error. Not for the hot path.
func (d *document) decode(into any) error {
	if d.root().kind() != jsonObject {
		return refuse(errMalformed, "JSON body must be an object")
	}
	dec := json.NewDecoder(bytes.NewReader(d.body))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	err := dec.Decode(into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		field := wrong.Field
		if field == "" {
			field = "the body"
		}
		return refuse(kinora.ErrInvalid, "%s must not be a JSON %s", shown(field), wrong.Value)
	}
	// encoding/json has no type for this one: json: unknown field "name"
	if name, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		return refuse(kinora.ErrInvalid, "%s is not a known field", shown(strings.Trim(name, `"`)))
	}
	return refuse(kinora.ErrInvalid, "the body has a field with a value that cannot be read")
}
