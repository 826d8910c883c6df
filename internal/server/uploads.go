package server

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"path"
	"time"

	"github.com/kinora/kinora"
)

// Uploads keeps callers' files in temporary storage.
type Uploads interface {
	// Save keeps the file that is read from file, under the sub-folder folder ("" = none). name is what the caller
	// calls it. rest, when not nil, is called once file is at its end and returns a folder that came behind it, or "".
	// An error of file or rest that is a *kinora.Error comes back as it is. With an error nothing is kept.
	//
	// Errors: kinora.ErrInvalid with the contract's text, kinora.ErrTooLarge, kinora.ErrUnavailable.
	Save(ctx context.Context, organisationID, name, folder string, file io.Reader, rest func() (folder string, err error)) (*kinora.Upload, error)
	// SaveBase64 is Save for a file in base64, perhaps a data URL.
	SaveBase64(ctx context.Context, organisationID, folder string, text io.Reader, rest func() (folder string, err error)) (*kinora.Upload, error)
	// SaveURL fetches the file from a public URL. Errors as for Save.
	SaveURL(ctx context.Context, organisationID, folder, rawURL string) (*kinora.Upload, error)
	// URL is where an upload can be fetched from until it expires.
	URL(u *kinora.Upload) string
	// MaxSize is the largest file that is taken, in bytes.
	MaxSize() int64
}

// The uploads (submit API contract, section 5). Their bodies are streamed: neither memory nor a temporary file holds one
// whole.
func (s *Server) uploadRoutes() []route {
	if s.cfg.Uploads == nil {
		return nil
	}
	post := func(pattern string, h handlerFunc) route {
		return route{
			method: http.MethodPost, pattern: pattern, dialect: &detailDialect,
			auth: keyed, limit: limitUpload, load: transfer, handler: h,
		}
	}
	return []route{
		post("/api/common/upload/stream", s.uploadStream),
		post("/api/common/upload/url", s.uploadURL),
		post("/api/common/upload/base64", s.uploadBase64),
	}
}

const (
	uploadTimeFormat = "2006-01-02T15:04:05.000000" // UTC, without saying so

	// uploadOverhead is what may surround a file in a request: boundaries, field names, other fields.
	uploadOverhead = 64 << 10
	maxUploadPath  = 1024 // bytes; what is longer is no folder, and is told so
	maxFormFields  = 100
)

func errUploadData() error { return refuse(errMalformed, "Invalid file data") }
func errUploadPath() error { return refuse(kinora.ErrInvalid, "Invalid upload path") }

// uploadStream takes a multipart form with the fields file and, before or behind it, upload_path.
func (s *Server) uploadStream(ctx context.Context, x *exchange, r *http.Request) error {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/form-data" {
		return &fieldMissing{"file"}
	}
	body, err := s.uploadBody(x, r, s.cfg.Uploads.MaxSize()+uploadOverhead)
	if err != nil {
		return err
	}
	form, err := newUploadForm(body, params["boundary"])
	if err != nil {
		return err
	}
	file, err := form.file()
	if err != nil {
		return err
	}
	u, err := s.cfg.Uploads.Save(ctx, x.organisation.ID, file.FileName(), form.folder, file, form.rest)
	if err != nil {
		return err
	}
	return s.uploaded(x, u)
}

// uploadURL has the server fetch a file.
func (s *Server) uploadURL(ctx context.Context, x *exchange, r *http.Request) error {
	doc, err := s.readJSON(x, r)
	if err != nil {
		return err
	}
	if doc.root().kind() != jsonObject {
		return refuse(errMalformed, "JSON body must be an object")
	}
	var fileURL, folder string
	given := false
	for key, v := range doc.root().members() {
		switch key.text() {
		case "file_url":
			if !v.given() {
				continue
			}
			if v.kind() != jsonString {
				return refuse(kinora.ErrInvalid, "Invalid URL")
			}
			fileURL, given = v.text(), true
		case "upload_path":
			if v.given() && v.kind() != jsonString {
				return errUploadPath()
			}
			if v.given() {
				folder = v.text()
			}
		}
	}
	if !given {
		return &fieldMissing{"file_url"}
	}
	patience(x).extend()
	u, err := s.cfg.Uploads.SaveURL(ctx, x.organisation.ID, folder, fileURL)
	if err != nil {
		return err
	}
	return s.uploaded(x, u)
}

// uploadBase64 takes a JSON object whose base64_data is decoded as it arrives.
func (s *Server) uploadBase64(ctx context.Context, x *exchange, r *http.Request) error {
	// Four characters for three bytes, and as much again for white space and escapes.
	body, err := s.uploadBody(x, r, s.cfg.Uploads.MaxSize()/3*8+uploadOverhead)
	if err != nil {
		return err
	}
	object := newUploadObject(body)
	text, err := object.data()
	if err != nil {
		return err
	}
	u, err := s.cfg.Uploads.SaveBase64(ctx, x.organisation.ID, object.folder, text, object.rest)
	if err != nil {
		return err
	}
	return s.uploaded(x, u)
}

type uploadAnswer struct {
	Success bool       `json:"success"`
	Code    int        `json:"code"`
	Msg     string     `json:"msg"`
	Data    uploadData `json:"data"`
}

type uploadData struct {
	FileID       string `json:"file_id"`
	FileName     string `json:"file_name"`
	OriginalName string `json:"original_name"`
	FileSize     int64  `json:"file_size"`
	MIMEType     string `json:"mime_type"`
	UploadPath   string `json:"upload_path"`
	FileURL      string `json:"file_url"`
	DownloadURL  string `json:"download_url"`
	UploadTime   string `json:"upload_time"`
	ExpiresAt    string `json:"expires_at"`
}

func (s *Server) uploaded(x *exchange, u *kinora.Upload) error {
	patience(x).extend()
	url := s.cfg.Uploads.URL(u)
	writeJSON(x, http.StatusOK, uploadAnswer{Success: true, Code: http.StatusOK, Msg: "File uploaded successfully", Data: uploadData{
		FileID: u.ID, FileName: path.Base(u.BlobKey), OriginalName: u.OriginalName,
		FileSize: u.Bytes, MIMEType: u.ContentType, UploadPath: path.Dir(u.BlobKey), FileURL: url, DownloadURL: url,
		UploadTime: u.CreatedAt.UTC().Format(uploadTimeFormat), ExpiresAt: u.ExpiresAt.UTC().Format(uploadTimeFormat),
	}})
	return nil
}

// uploadBody is the request's body, of which at most so many bytes are read, with errors in the words of this package.
func (s *Server) uploadBody(x *exchange, r *http.Request, most int64) (io.Reader, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, refuse(errMalformed, "Content-Encoding is not supported")
	}
	if r.ContentLength > most {
		return nil, bodyTooLarge()
	}
	return &uploadReader{r: http.MaxBytesReader(x.w, r.Body, most), ctx: r.Context(), patience: patience(x)}, nil
}

type uploadReader struct {
	r        io.Reader
	ctx      context.Context
	patience patient
	left     int64 // of the present stretch
}

// Read gives the client new time for each stretch of the body, in place of the server's time-out for whole requests.
func (u *uploadReader) Read(p []byte) (int, error) {
	if u.left <= 0 {
		u.patience.extend()
		u.left = stretch
	}
	n, err := u.r.Read(p)
	u.left -= int64(n)
	if err == nil || err == io.EOF {
		return n, err
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return n, bodyTooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, refuse(errMalformed, "request body did not arrive in time")
	case u.ctx.Err() != nil:
		return n, &kinora.Error{Code: errClient, Message: "the caller has gone", Err: err}
	}
	return n, &kinora.Error{Code: errMalformed, Message: "request body is incomplete", Err: err}
}

// patient extends the deadlines of a request whose length is not known beforehand.
type patient struct{ control *http.ResponseController }

func patience(x *exchange) patient { return patient{http.NewResponseController(x.w)} }

// extend gives a stretch's time to read, and as much again to answer. It is best effort: a writer that knows no
// deadlines has none.
func (p patient) extend() {
	now := time.Now() // of the network, not of s.now
	_ = p.control.SetReadDeadline(now.Add(stretchTime))
	_ = p.control.SetWriteDeadline(now.Add(2 * stretchTime))
}
