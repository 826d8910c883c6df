package server

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/kinora/kinora"
)

const (
	maxFormFiles = 17 // sixteen images and a mask (contract upstream-openai, section 3.1)
	maxFormDepth = 4  // of a field's name: a[b][c][d]
)

// formText are the fields whose text is text, even where it looks like a number or an object.
var formText = map[string]bool{"model": true, "prompt": true, "size": true, fieldSeconds: true, "reference": true, "user": true, "callback_url": true}

// openaiForm becomes the document that a JSON body would have been.
type openaiForm struct {
	s      *Server
	x      *exchange
	q      *openaiRequest
	digest formDigest
	fields map[string]any // text, json.RawMessage, []any or map[string]any
	files  int
	left   int64 // bytes of text that may still come
}

// readForm reads a multipart form and stores its files as they arrive, in a place for transfers. Fields are named as
// OpenAI's SDKs do it: a, a[], a[b], a.b.
func (s *Server) readForm(ctx context.Context, x *exchange, r *http.Request, boundary string, q *openaiRequest) (*document, error) {
	own := x.place.gate
	if err := s.move(x, s.transfers); err != nil {
		return nil, err
	}
	most := s.cfg.MaxBody + uploadOverhead
	if s.cfg.Uploads != nil {
		most += maxFormFiles * s.cfg.Uploads.MaxSize()
	}
	body, err := s.uploadBody(x, r, most)
	if err != nil {
		return nil, err
	}
	if boundary == "" || len(boundary) > 70 { // RFC 2046, section 5.1.1
		return nil, errForm(nil)
	}
	f := &openaiForm{s: s, x: x, q: q, fields: map[string]any{}, left: s.cfg.MaxBody}
	parts := multipart.NewReader(body, boundary)
	for n := 0; ; n++ {
		part, err := parts.NextRawPart() // files are taken byte for byte (RFC 7578, section 4.7)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, errForm(err)
		}
		if n >= maxFormFields {
			return nil, errForm(nil)
		}
		if err := f.part(ctx, part); err != nil {
			return nil, err
		}
	}
	q.hash = f.digest.hash()
	text, err := json.Marshal(f.fields)
	if err != nil {
		return nil, errForm(err)
	}
	doc, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	return doc, s.move(x, own)
}

// errForm keeps what the body's reader said, and calls everything else a bad form.
func errForm(err error) error {
	if known := formError(err); err != nil && kinora.CodeOf(known) != errMalformed {
		return known
	}
	return &kinora.Error{Code: errMalformed, Message: "the multipart form cannot be read", Err: err}
}

func (f *openaiForm) part(ctx context.Context, part *multipart.Part) error {
	name := part.FormName()
	if field := strings.TrimSuffix(name, "[]"); part.FileName() != "" || field == fieldMask || field == fieldImage && part.Header.Get("Content-Type") != "" {
		return f.file(ctx, field, part)
	}
	raw, err := io.ReadAll(io.LimitReader(part, f.left+1))
	if err != nil {
		return errForm(err)
	}
	if f.left -= int64(len(raw)); f.left < 0 {
		return bodyTooLarge()
	}
	f.digest.field(name, string(raw))
	return f.set(formPath(name), string(raw))
}

// file stores an image.
func (f *openaiForm) file(ctx context.Context, field string, part *multipart.Part) error {
	if field != fieldReference && field != fieldImage && field != fieldMask {
		return refuseParam(shown(field), "must not be a file")
	}
	if f.s.cfg.Uploads == nil {
		return refuseParam(field, "must be a URL: this server takes no files")
	}
	if f.files++; f.files > maxFormFiles {
		return refuseParam(field, "must be at most 16 images")
	}
	if err := f.s.charge(ctx, f.x, limitUpload); err != nil {
		return err
	}
	sum := sha256.New()
	u, err := f.s.cfg.Uploads.Save(ctx, f.x.organisation.ID, part.FileName(), "", io.TeeReader(part, sum), nil)
	url, err := f.s.stored(u, err, field)
	if err != nil {
		return err
	}
	f.digest.file(field, [sha256.Size]byte(sum.Sum(nil)))
	p := picture{url: url, field: field}
	if field == fieldMask {
		f.q.mask = &p
	} else {
		f.q.pictures = append(f.q.pictures, p)
	}
	return nil
}

// formPath takes a field's name apart: "a[b][]" is a, b and "", and so is "a.b[]".
func formPath(name string) []string {
	name = strings.ReplaceAll(strings.ReplaceAll(name, "][", "."), "[", ".")
	return strings.Split(strings.TrimSuffix(name, "]"), ".")
}

// set puts a text where its field's name says. Of one that comes twice the last one counts, unless it is a list.
func (f *openaiForm) set(path []string, text string) error {
	if path[0] == "" || len(path) > maxFormDepth {
		return errForm(nil)
	}
	var v any = text
	if !formText[path[0]] {
		v = formValue(text)
	}
	list := path[len(path)-1] == ""
	if list {
		path = path[:len(path)-1]
	}
	into := f.fields
	for _, step := range path[:len(path)-1] {
		inner, ok := into[step].(map[string]any)
		if !ok {
			inner = map[string]any{}
			into[step] = inner
		}
		into = inner
	}
	last := path[len(path)-1]
	if list {
		have, _ := into[last].([]any)
		v = append(have, v)
	}
	into[last] = v
	return nil
}

// formValue reads what is no text in a form: a number, true, false, an object, a list.
func formValue(text string) any {
	if text == "" {
		return text
	}
	if strings.ContainsRune("-0123456789{[tf", rune(text[0])) && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return text
}
