package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/kinora/kinora"
)

// createFromForm is createGeneration for a multipart form. Its file is streamed into storage as it arrives, wherever in the
// form it stands, and counts as a transfer meanwhile.
func (s *Server) createFromForm(ctx context.Context, x *exchange, r *http.Request, key, boundary string) error {
	if err := s.move(x, s.transfers); err != nil {
		return err
	}
	form, err := s.readSourceForm(ctx, x, r, boundary)
	if err != nil {
		return err
	}
	doc, err := form.document()
	if err == nil {
		err = s.move(x, s.inFlight)
	}
	if err != nil {
		s.cfg.Assets.Discard(ctx, form.file)
		return err
	}
	accepted, err := s.create(ctx, x, doc, idempotencyOf(r, key, form.digest.hash()), form.file)
	// Where it is not known whether the generation was committed its file stays, and a sweep removes it if it was not.
	if err != nil && kinora.CodeOf(err) != kinora.ErrUnavailable || err == nil && accepted.Replayed {
		s.cfg.Assets.Discard(ctx, form.file)
	}
	if err != nil {
		return err
	}
	return s.answerAccepted(ctx, x, r, accepted)
}

// document is what the form's values say as the JSON body that they stand for (contract 5.1): webhook and metadata are JSON
// already, room_types may be, and everything else is text. An empty value leaves its field out.
func (f *sourceForm) document() (*document, error) {
	var (
		text  bytes.Buffer
		wrong fieldFaults
		seen  []string
	)
	text.WriteByte('{')
	for _, part := range f.values {
		if part.value == "" || slices.Contains(seen, part.name) {
			continue
		}
		seen = append(seen, part.name)
		raw, err := rawField(part.name, slices.DeleteFunc(f.all(part.name), func(v string) bool { return v == "" }))
		if kinora.CodeOf(err) == errMalformed {
			return nil, err
		}
		if err != nil {
			wrong.note(part.name, err)
			continue
		}
		if text.Len() > 1 {
			text.WriteByte(',')
		}
		key, _ := json.Marshal(part.name)
		text.Write(key)
		text.WriteByte(':')
		text.Write(raw)
	}
	text.WriteByte('}')
	if err := wrong.err(); err != nil {
		return nil, err
	}
	doc, err := parseJSON(text.Bytes())
	return doc, aboutForm("the form", err)
}

// aboutForm says of what in a form a fault of JSON was found: its caller has sent no JSON body.
func aboutForm(what string, err error) error {
	var e *kinora.Error
	if !errors.As(err, &e) {
		return err
	}
	fault, found := strings.CutPrefix(e.Message, "JSON body ")
	if !found {
		return err
	}
	return refuse(e.Code, "%s %s", what, fault)
}

// sentOnce are the fields of a form that have one value. Of fields that only an operator's workflow knows several make a
// list, like room_types.
var sentOnce = []string{"source_asset_id", "source_url", "workflow", "capture_type", "mode", "style_preset", "webhook", "reference", "metadata"}

// rawField is a field's values as JSON. Its errors have the codes errMalformed, for JSON that nobody may send, and
// kinora.ErrInvalid.
func rawField(name string, values []string) ([]byte, error) {
	one := len(values) == 1
	switch {
	case !one && slices.Contains(sentOnce, name):
		return nil, refuse(kinora.ErrInvalid, "%s was sent twice", name)
	case name == "webhook" || name == "metadata":
		switch _, err := parseJSON([]byte(values[0])); {
		case err != nil && !json.Valid([]byte(values[0])):
			return nil, refuse(kinora.ErrInvalid, "%s must be one JSON object", name)
		case err != nil:
			return nil, aboutForm(name, err)
		}
		return []byte(values[0]), nil
	case slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "\x00") }):
		return nil, refuse(errMalformed, "%s holds U+0000", shown(name))
	case name == "room_types" && one && strings.HasPrefix(strings.TrimSpace(values[0]), "["):
		if _, err := parseJSON([]byte(values[0])); err != nil {
			return nil, refuse(kinora.ErrInvalid, "room_types must be repeated, or one JSON array of strings")
		}
		return []byte(values[0]), nil
	case name == "room_types" || !one:
		return json.Marshal(values)
	}
	return json.Marshal(values[0])
}
