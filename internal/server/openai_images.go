package server

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
)

const (
	imagesPath      = "/v1/images/generations"
	imageEditsPath  = "/v1/images/edits"
	preferenceTaken = "Preference-Applied"
)

// The Images API (contract upstream-openai, section 3.1). Its answers wait for the generation's end. What is waited for
// is durable before: it goes on without its caller, and is read by its id.
func (s *Server) imageRoutes() []route {
	post := func(pattern, images string, needed bool) route {
		return route{method: http.MethodPost, pattern: pattern, dialect: &openaiDialect, auth: keyed, limit: limitSubmit, load: holding,
			handler: func(ctx context.Context, x *exchange, r *http.Request) error {
				return s.createImages(ctx, x, r, images, needed)
			}}
	}
	return []route{
		post(imagesPath, fieldImage, false),
		post(imageEditsPath, fieldImage, true),
		{method: http.MethodGet, pattern: imagesPath + "/{image_id}", dialect: &openaiDialect, auth: keyed, limit: limitStatus, load: holding, handler: s.readImages},
	}
}

// imageRecord is a generation of images before its end, or one that failed. One that has succeeded has images as well:
// see imageAnswer.
type imageRecord struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Model   string       `json:"model"`
	Status  string       `json:"status"`
	Created int64        `json:"created"`
	Error   *openaiFault `json:"error"`
}

func imageRecordOf(g *kinora.Generation) imageRecord {
	return imageRecord{ID: g.ID, Object: objectImages, Model: g.Model, Status: openaiWord(g.State), Created: g.CreatedAt.Unix(), Error: openaiFaultOf(g)}
}

func (s *Server) createImages(ctx context.Context, x *exchange, r *http.Request, images string, needed bool) error {
	q, err := s.readOpenAI(ctx, x, r, kinora.KindImage, images)
	if err != nil {
		return err
	}
	if needed && len(q.submission.Input.Images) == 0 {
		return refuseParam(images, "is required")
	}
	prefer := preferred(r.Header)
	async := q.async || prefer.async
	most := s.cfg.MaxWait
	switch {
	case prefer.waits:
		most = min(most, prefer.length)
	case async:
		most = 0
	}
	var held *hold
	if most > 0 {
		if held, err = s.reserve(x); err != nil {
			return err
		}
		defer held.release()
	}
	g, err := s.acceptOpenAI(ctx, x, r, q)
	if err != nil {
		return err
	}
	if prefer.async {
		x.Header().Set(preferenceTaken, "respond-async")
	}
	// From here on a repeat by the caller would be a second generation.
	x.Header().Set(shouldRetry, notRepeatable)
	defer s.noteIfGone(ctx, x, r, q, g)
	if held == nil {
		s.answerPending(x, g)
		return nil
	}
	now, outputs, err := held.await(ctx, x, g.ID, most)
	switch {
	case err != nil:
		return err
	case now.State.Terminal():
		return s.answerImages(ctx, x, now, outputs, q.inline, true)
	case async, prefer.waits:
		s.answerPending(x, now)
		return nil
	}
	return refuse(errStillRunning, "the answer cannot be held until the generation ends; it goes on and is not lost: read it at %s/%s", imagesPath, g.ID)
}

// noteIfGone keeps the generation for an SDK's repeat where the caller has gone before the answer was out.
func (s *Server) noteIfGone(ctx context.Context, x *exchange, r *http.Request, q *openaiRequest, g *kinora.Generation) {
	if ctx.Err() != nil {
		s.noteUnheard(x, r, q, g.ID)
	}
}

// answerPending tells of a generation that goes on, and where to read it.
func (s *Server) answerPending(x *exchange, g *kinora.Generation) {
	s.tellPace(x, g)
	x.Header().Set("Location", imagesPath+"/"+g.ID)
	writeJSON(x, http.StatusAccepted, imageRecordOf(g))
}

// readImages tells how a generation of images stands, with the images once it has succeeded: by URL, or in base64 when
// response_format asks for it.
func (s *Server) readImages(ctx context.Context, x *exchange, r *http.Request) error {
	inline := false
	switch r.URL.Query().Get("response_format") {
	case "", "url":
	case "b64_json":
		inline = true
	default:
		return refuseParam("response_format", "must be url or b64_json")
	}
	imageID := r.PathValue("image_id")
	if !isGeneration(imageID) {
		return imagesNotFound()
	}
	g, outputs, err := s.lookAt(ctx, x, imageID)
	if kinora.CodeOf(err) == kinora.ErrNotFound || err == nil && g.Kind != kinora.KindImage {
		return imagesNotFound()
	}
	if err != nil {
		return err
	}
	if g.State != kinora.GenerationSucceeded {
		s.tellPace(x, g)
		writeJSON(x, http.StatusOK, imageRecordOf(g))
		return nil
	}
	if inline {
		if err := s.move(x, s.transfers); err != nil { // it may take as long as the caller needs
			return err
		}
	}
	return s.answerImages(ctx, x, g, outputs, inline, false)
}

func imagesNotFound() error { return refuse(kinora.ErrNotFound, "image generation not found") }

// answerImages answers with the end of a generation: its images, or why there are none. create says that the request made
// it, whose caller expects a failure as an error.
func (s *Server) answerImages(ctx context.Context, x *exchange, g *kinora.Generation, outputs []kinora.Output, inline, create bool) error {
	if g.State != kinora.GenerationSucceeded {
		if create {
			s.answerFailure(x, g)
			return nil
		}
		writeJSON(x, http.StatusOK, imageRecordOf(g))
		return nil
	}
	outputs = kept(outputs)
	files := make([]blob.Object, 0, len(outputs))
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if inline {
		for _, o := range outputs { // before the answer begins: then a fault can still be told
			f, err := s.openFile(ctx, o.BlobKey)
			if err != nil {
				return err
			}
			files = append(files, f)
		}
	}
	return s.writeImages(x, g, outputs, files)
}

// writeImages writes the answer piece by piece: an image in base64 is never in memory whole. files are those of the
// outputs, or none where URLs are wanted.
func (s *Server) writeImages(x *exchange, g *kinora.Generation, outputs []kinora.Output, files []blob.Object) error {
	record, err := json.Marshal(imageRecordOf(g))
	if err != nil {
		return err
	}
	head := strings.TrimSuffix(string(record), "}")
	if len(outputs) > 0 {
		o := outputs[0]
		if format, is := strings.CutPrefix(o.ContentType, "image/"); is {
			head += `,"output_format":` + string(quoted(format))
		}
		if o.Width > 0 {
			head += fmt.Sprintf(`,"size":"%dx%d"`, o.Width, o.Height)
		}
	}
	head += `,"data":[`
	if len(files) == 0 {
		var body strings.Builder
		body.WriteString(head)
		for i, o := range outputs {
			url, _ := s.cfg.FileURL(o.BlobKey)
			fmt.Fprintf(&body, `%s{"url":%s}`, comma(i), quoted(url))
		}
		writeBody(x, http.StatusOK, jsonContent, []byte(body.String()+"]}"))
		return nil
	}
	const before, after = `{"b64_json":"`, `"}`
	length := int64(len(head) + len("]}") + len(files) - 1)
	for _, f := range files {
		length += int64(len(before)+len(after)) + int64(base64.StdEncoding.EncodedLen(int(f.Attributes().Size)))
	}
	x.Header()["Content-Type"] = jsonContent
	x.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	x.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(&patientWriter{exchange: x, patience: patience(x)}, pieceBytes)
	_, err = io.WriteString(out, head)
	for i, f := range files {
		if err == nil {
			_, err = io.WriteString(out, comma(i)+before)
		}
		if err == nil {
			err = copyBase64(out, f)
		}
		if err == nil {
			_, err = io.WriteString(out, after)
		}
	}
	if err == nil {
		_, err = io.WriteString(out, "]}")
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		panic(http.ErrAbortHandler) // so that nobody takes half an answer for a whole one
	}
	return nil
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// pieceBytes is how much of a file is in memory at once, and of an answer.
const pieceBytes = 32 << 10

func copyBase64(to io.Writer, from io.Reader) error {
	enc := base64.NewEncoder(base64.StdEncoding, to)
	// The reader's own ways of copying would pass the encoder by.
	if _, err := io.CopyBuffer(struct{ io.Writer }{enc}, struct{ io.Reader }{from}, make([]byte, pieceBytes)); err != nil {
		return err
	}
	return enc.Close()
}

// answerFailure tells why a generation has failed.
func (s *Server) answerFailure(x *exchange, g *kinora.Generation) {
	fault := openaiFaultOf(g)
	status, kind := http.StatusBadGateway, typeServer
	switch failureOf(g).Code {
	case kinora.FailureContentRejected:
		status, kind = http.StatusBadRequest, typeModeration
	case kinora.FailureInvalidRequest, kinora.FailureSourceInvalid, kinora.FailureSourceUnreachable:
		status, kind = http.StatusBadRequest, typeInvalid
	case kinora.FailureCancelled:
		status, kind = http.StatusConflict, typeInvalid
	case kinora.FailureTimeout:
		status = http.StatusGatewayTimeout
	case kinora.FailureModelUnavailable:
		status = http.StatusServiceUnavailable
	case kinora.FailureInternal:
		status = http.StatusInternalServerError
	}
	writeJSON(x, status, openaiError{Error: openaiErrorBody{Message: fault.Message, Type: kind, Code: &fault.Code}})
}
