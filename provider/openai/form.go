package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"

	"github.com/kinora/kinora/provider/lenient"
)

// form is a multipart body that is put together while it is sent: its files are never held.
type form struct {
	w       *multipart.Writer
	pending bytes.Buffer // what w has written since the last file
	parts   []io.Reader
	files   []io.Closer
}

func newForm() *form {
	f := &form{}
	f.w = multipart.NewWriter(&f.pending)
	return f
}

// fields adds what a JSON body would hold: text as it is, anything else as JSON.
func (f *form) fields(b body) error {
	for _, name := range slices.Sorted(maps.Keys(b)) {
		raw, err := json.Marshal(b[name])
		if err != nil {
			return err
		}
		text, isText := lenient.Text(raw)
		if !isText {
			text = string(raw)
		}
		if err := f.w.WriteField(name, text); err != nil {
			return err
		}
	}
	return nil
}

// file adds a file, which the form closes in the end.
func (f *form) file(field, contentType string, content io.ReadCloser) error {
	f.files = append(f.files, content)
	_, extension, _ := strings.Cut(contentType, "/")
	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename=%q`, field, "image."+extension))
	header.Set("Content-Type", contentType)
	if _, err := f.w.CreatePart(header); err != nil {
		return err
	}
	f.flush()
	f.parts = append(f.parts, content)
	return nil
}

func (f *form) flush() {
	f.parts = append(f.parts, bytes.NewReader(bytes.Clone(f.pending.Bytes())))
	f.pending.Reset()
}

// reader is the whole body, and its content type.
func (f *form) reader() (io.ReadCloser, string) {
	_ = f.w.Close() // writing to memory does not fail
	f.flush()
	return &formBody{io.MultiReader(f.parts...), f}, f.w.FormDataContentType()
}

// close gives the files back.
func (f *form) close() error {
	var errs []error
	for _, file := range f.files {
		errs = append(errs, file.Close())
	}
	f.files = nil
	return errors.Join(errs...)
}

type formBody struct {
	io.Reader
	f *form
}

func (b *formBody) Close() error { return b.f.close() }
