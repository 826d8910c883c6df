package server

import (
	"errors"
	"io"
	"mime/multipart"

	"github.com/kinora/kinora"
)

// uploadForm reads the parts of an upload one after the other, as they arrive.
type uploadForm struct {
	parts  *multipart.Reader
	count  int
	folder string // upload_path, as far as it has been met
	placed bool   // it has been met
	named  bool   // file has been met
}

func newUploadForm(body io.Reader, boundary string) (*uploadForm, error) {
	if boundary == "" || len(boundary) > 70 { // RFC 2046, section 5.1.1
		return nil, errUploadData()
	}
	return &uploadForm{parts: multipart.NewReader(body, boundary)}, nil
}

// file reads up to the content of the field file, which the caller then reads to its end.
func (f *uploadForm) file() (*multipart.Part, error) {
	part, err := f.next()
	if err == nil && part == nil {
		return nil, &fieldMissing{"file"}
	}
	return part, err
}

// rest reads what stands behind the file, and returns the folder if it was there.
func (f *uploadForm) rest() (string, error) {
	before := f.placed
	part, err := f.next()
	switch {
	case err != nil:
		return "", err
	case part != nil: // a second file
		return "", errUploadData()
	case before:
		return "", nil
	}
	return f.folder, nil
}

// next returns the next field file, or nil at the end of the form. It notes upload_path and passes over other fields.
func (f *uploadForm) next() (*multipart.Part, error) {
	for {
		// Raw: a file is taken byte for byte, whatever Content-Transfer-Encoding it says (RFC 7578, section 4.7).
		part, err := f.parts.NextRawPart()
		if err == io.EOF { // not one that is wrapped: that is a body which ends too early
			return nil, nil
		}
		if err != nil {
			return nil, formError(err)
		}
		if f.count++; f.count > maxFormFields {
			return nil, errUploadData()
		}
		switch part.FormName() {
		case "file":
			if f.named {
				return nil, errUploadData()
			}
			f.named = true
			return part, nil
		case "upload_path":
			text, err := io.ReadAll(io.LimitReader(part, maxUploadPath+1))
			if err != nil {
				return nil, formError(err)
			}
			if f.placed || len(text) > maxUploadPath {
				return nil, errUploadPath()
			}
			f.folder, f.placed = string(text), true
		}
	}
}

// formError keeps what the body's reader said, and calls everything else bad data.
func formError(err error) error {
	var known *kinora.Error
	if errors.As(err, &known) {
		return known
	}
	return &kinora.Error{Code: errMalformed, Message: "Invalid file data", Err: err}
}
