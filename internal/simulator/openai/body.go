package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
)

const (
	maxBody = 64 << 20
	// maxMemory is how much of a form is held in memory, not in files.
	maxMemory = 1 << 20
)

// fields are a request's, of a JSON body or of a form. A form's values are JSON strings.
type fields struct {
	values map[string]json.RawMessage
	form   bool
	files  map[string]int // of a form, by name
}

func readFields(w http.ResponseWriter, r *http.Request) (*fields, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	f := &fields{values: map[string]json.RawMessage{}, files: map[string]int{}}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch media {
	case "application/json":
		if err := json.NewDecoder(r.Body).Decode(&f.values); err != nil {
			return nil, refuse("", "", "We could not parse the JSON body of your request.")
		}
		return f, nil
	case "multipart/form-data":
		f.form = true
		return f, f.readForm(r)
	}
	return nil, &problem{status: http.StatusUnsupportedMediaType, kind: invalidRequest, message: "Unsupported content type"}
}

func (f *fields) readForm(r *http.Request) error {
	if err := r.ParseMultipartForm(maxMemory); err != nil {
		return refuse("", "", "We could not parse the form.")
	}
	defer func() { _ = r.MultipartForm.RemoveAll() }() // files for a moment
	for name, values := range r.MultipartForm.Value {
		f.values[name], _ = json.Marshal(values[0])
	}
	for name, files := range r.MultipartForm.File {
		for _, header := range files {
			file, err := header.Open()
			if err != nil {
				return err
			}
			head := make([]byte, 512)
			n, err := io.ReadFull(file, head)
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				n = 0
			}
			_ = file.Close() // it was only read
			if !strings.HasPrefix(http.DetectContentType(head[:n]), "image/") {
				return refuse("invalid_image_file", name, "Invalid image file or mode.")
			}
			f.files[strings.TrimSuffix(name, "[]")]++
		}
	}
	return nil
}

// text is a field's string; empty where there is none.
func (f *fields) text(name string) string {
	var s string
	_ = json.Unmarshal(f.values[name], &s) // anything else is none
	return s
}

// number reads a number, from a form also out of its text; ok is false for anything else.
func (f *fields) number(name string, otherwise int) (n int, ok bool) {
	raw, there := f.values[name]
	if !there || string(raw) == "null" {
		return otherwise, true
	}
	if f.form {
		_, err := fmt.Sscanf(f.text(name), "%d", &n)
		return n, err == nil
	}
	return n, json.Unmarshal(raw, &n) == nil
}

// isText tells whether a field is a string.
func (f *fields) isText(name string) bool {
	var s string
	return json.Unmarshal(f.values[name], &s) == nil
}

// wordOf refuses a field that is none of some words; absent ones are good.
func (f *fields) wordOf(name string, words ...string) error {
	if _, there := f.values[name]; there && !slices.Contains(words, f.text(name)) {
		return invalid(name, "must be one of "+strings.Join(words, ", "))
	}
	return nil
}

// imageRef reads {"image_url": "…"}, which is an address or a data URL.
func imageRef(raw json.RawMessage, name string) (string, error) {
	var ref struct {
		ImageURL string `json:"image_url"`
		FileID   string `json:"file_id"`
	}
	if json.Unmarshal(raw, &ref) != nil || (ref.ImageURL == "") == (ref.FileID == "") {
		return "", invalid(name, "must have either image_url or file_id")
	}
	if ref.FileID != "" {
		return "", refuse("image_file_not_found", name, "The file was not found.")
	}
	for _, start := range []string{"http://", "https://", "data:image/"} {
		if strings.HasPrefix(ref.ImageURL, start) {
			return ref.ImageURL, nil
		}
	}
	return "", invalid(name, "must be a URL or a data URL")
}
