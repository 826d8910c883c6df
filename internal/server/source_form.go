package server

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/kinora/kinora"
)

// maxSourceFields bounds what a form may hold beside its file, names and boundaries included.
const maxSourceFields = 256 << 10

// sourceForm is a multipart form of the generations API: values in memory, and the source image, which was streamed into
// storage.
type sourceForm struct {
	values []formPart
	file   *kinora.SourceAsset // not recorded yet; nil = none was sent
	digest formDigest
}

// value returns the field of that name. One that is there twice, or is empty, is as good as none.
func (f *sourceForm) value(name string) (text string, given bool) {
	found := f.all(name)
	if len(found) != 1 || found[0] == "" {
		return "", false
	}
	return found[0], true
}

// all returns the values of that name, in their order.
func (f *sourceForm) all(name string) []string {
	var list []string
	for _, v := range f.values {
		if v.name == name {
			list = append(list, v.value)
		}
	}
	return list
}

// readSourceForm reads a form in which at most one file is sent, in the field "file". The caller has the file recorded, or
// discards it; with an error that has been done.
func (s *Server) readSourceForm(ctx context.Context, x *exchange, r *http.Request, boundary string) (form *sourceForm, err error) {
	if boundary == "" || len(boundary) > 70 { // RFC 2046, section 5.1.1
		return nil, refuse(errMalformed, "the multipart form has no valid boundary")
	}
	most := s.cfg.Assets.MaxSize() + maxSourceFields
	if r.ContentLength > most {
		return nil, refuse(kinora.ErrInvalid, "the file is larger than %s", humanize.IBytes(uint64(s.cfg.Assets.MaxSize())))
	}
	body, err := s.uploadBody(x, r, most)
	if err != nil {
		return nil, err
	}
	form = &sourceForm{}
	defer func() {
		if err != nil && form != nil {
			s.cfg.Assets.Discard(ctx, form.file)
			form = nil
		}
	}()
	parts := multipart.NewReader(body, boundary)
	for room := maxSourceFields; ; {
		// Raw: a file is taken byte for byte, whatever Content-Transfer-Encoding it says (RFC 7578, section 4.7).
		part, err := parts.NextRawPart()
		if err == io.EOF { // not one that is wrapped: that is a body which ends too early
			patience(x).extend()
			return form, nil
		}
		if err != nil {
			return form, sourceFormError(err)
		}
		if len(form.values) == maxFormFields {
			return form, refuse(errMalformed, "the form has more than %d fields", maxFormFields)
		}
		if part.FormName() == "file" {
			if form.file != nil {
				return form, refuse(errMalformed, "the form has two files; exactly one source must be sent")
			}
			if err := form.receive(ctx, s, x, part); err != nil {
				return form, err
			}
			continue
		}
		n, err := form.read(part, room)
		if err != nil {
			return form, err
		}
		room -= n
	}
}

func (f *sourceForm) receive(ctx context.Context, s *Server, x *exchange, part *multipart.Part) error {
	file, sum, err := s.cfg.Assets.Receive(ctx, x.organisation.ID, &formFile{part})
	if err != nil {
		return err
	}
	f.file = file
	f.digest.file("file", sum)
	return nil
}

// formFile is the content of a file in a form, with errors in the words of this package.
type formFile struct{ part *multipart.Part }

func (f *formFile) Read(p []byte) (int, error) {
	n, err := f.part.Read(p)
	if err != nil && err != io.EOF {
		err = sourceFormError(err)
	}
	return n, err
}

// read reads a field that is no file, of at most room bytes.
func (f *sourceForm) read(part *multipart.Part, room int) (int, error) {
	text, err := io.ReadAll(io.LimitReader(part, int64(room)+1))
	switch {
	case err != nil:
		return 0, sourceFormError(err)
	case len(text) > room:
		return 0, refuse(errMalformed, "the form's fields are larger than %d bytes together", maxSourceFields)
	case !utf8.Valid(text) || !utf8.ValidString(part.FormName()):
		return 0, refuse(errMalformed, "the form has a field that is not valid UTF-8")
	}
	f.values = append(f.values, formPart{part.FormName(), 'v', string(text)})
	f.digest.field(part.FormName(), string(text))
	return len(text) + len(part.FormName()), nil
}

// sourceFormError keeps what the body's reader said, and calls everything else a bad form.
func sourceFormError(err error) error {
	var known *kinora.Error
	if errors.As(err, &known) {
		return known
	}
	return &kinora.Error{Code: errMalformed, Message: "the multipart form cannot be read", Err: err}
}
