package server

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
)

// openaiRequest is a body of this dialect, JSON or a form, in the core's words.
type openaiRequest struct {
	key    string // Idempotency-Key; empty = none
	hash   string // of the body
	kind   kinora.Kind
	images string // what the route calls its images, for messages

	submission *kinora.Submission
	inline     bool // the answer holds the files in base64, not their URLs
	async      bool // the answer does not wait for the end

	pictures []picture // that the generation starts from, in order
	mask     *picture
}

// picture is an image of a request: a file that has been stored, or what a field says.
type picture struct {
	url   string // of the stored file
	v     value
	field string
}

// What a body says is passed on to the model as it is, under input.metadata, except for these.
const (
	fieldSeconds   = "seconds"
	fieldReference = "input_reference"
	fieldImage     = "image"
	fieldMask      = "mask"
)

// readOpenAI reads and checks a body. Images in it are stored on the way.
func (s *Server) readOpenAI(ctx context.Context, x *exchange, r *http.Request, kind kinora.Kind, images string) (*openaiRequest, error) {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return nil, err
	}
	q := &openaiRequest{key: key, kind: kind, images: images, inline: true,
		submission: &kinora.Submission{DurationField: fieldSeconds}}
	var doc *document
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && mediaType == "multipart/form-data" {
		doc, err = s.readForm(ctx, x, r, params["boundary"], q)
	} else if doc, err = s.readJSON(x, r); err == nil {
		q.hash = doc.hash()
	}
	if err != nil {
		return nil, err
	}
	if err := q.parse(doc.root()); err != nil {
		return nil, inOpenAIWords(err, images)
	}
	if err := s.checkModel(q.submission.Model, kind); err != nil {
		return nil, err
	}
	return q, s.resolvePictures(ctx, x, q)
}

// parse reads the fields.
func (q *openaiRequest) parse(root value) (err error) {
	if root.kind() != jsonObject {
		return refuse(errMalformed, "JSON body must be an object")
	}
	var model, prompt, size, secs, webhook, reference, metadata value
	in := &q.submission.Input
	for key, val := range root.members() {
		if !val.given() {
			continue
		}
		switch name := key.text(); name {
		case "model":
			model = val
		case "prompt":
			prompt = val
		case "size":
			size = val
		case fieldSeconds:
			secs = val
		case "webhook":
			webhook = val
		case "reference":
			reference = val
		case "metadata":
			metadata = val
		case fieldReference, fieldImage, "images":
			q.addPictures(val, name)
		case fieldMask:
			q.mask = &picture{v: val, field: name}
		case "response_format":
			err = q.parseFormat(val)
		case "async":
			var wanted bool
			wanted, err = parseBool(val, name)
			q.async = q.async || wanted
		case "background":
			q.addBackground(val)
		case "stream":
			err = refuseStream(val)
		case "partial_images": // of a stream
		case "callback_url":
			in.CallbackURL, err = parseString(val, name, maxURL)
		default:
			if in.Metadata == nil {
				in.Metadata = make(map[string]json.RawMessage, 8)
			}
			in.Metadata[name] = val.raw()
		}
		if err != nil {
			return err
		}
	}
	if q.submission.Model, err = parseModel(model); err != nil {
		return err
	}
	if in.Prompt, err = parsePrompt(prompt); err != nil {
		return err
	}
	if size.given() {
		if in.Size, err = parseString(size, "input.size", maxSize); err != nil {
			return err
		}
	}
	if err := q.parseSeconds(secs); err != nil {
		return err
	}
	if q.submission.WebhookURL, err = parseWebhook(webhook); err != nil {
		return err
	}
	return parseEcho(reference, metadata, q.submission)
}

func (q *openaiRequest) parseFormat(v value) error {
	switch v.text() {
	case "b64_json":
		q.inline = true
	case "url":
		q.inline = false
	default:
		return refuseParam("response_format", "must be url or b64_json")
	}
	return nil
}

// addBackground tells the Responses API's background: true, which asks to be answered at once, from GPT Image's background
// of the picture, a word, which goes to the model.
func (q *openaiRequest) addBackground(v value) {
	switch {
	case q.kind == kinora.KindImage && v.kind() == jsonBool:
		q.async = q.async || string(v.raw()) == "true"
		return
	case q.submission.Input.Metadata == nil:
		q.submission.Input.Metadata = make(map[string]json.RawMessage, 8)
	}
	q.submission.Input.Metadata["background"] = v.raw()
}

// parseSeconds takes "8" as OpenAI has it, and 8 as look-alikes do.
func (q *openaiRequest) parseSeconds(v value) error {
	if !v.given() || q.kind != kinora.KindVideo {
		return nil
	}
	n, ok := wholeSeconds(v)
	if !ok {
		return refuseParam(fieldSeconds, "must be a whole number of seconds, at most "+strconv.Itoa(maxVideoLength))
	}
	q.submission.Input.Duration = n
	return nil
}

func parseBool(v value, field string) (bool, error) {
	switch string(v.raw()) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, refuseParam(field, "must be true or false")
}

func refuseStream(v value) error {
	wanted, err := parseBool(v, "stream")
	if err == nil && wanted {
		return refuseParam("stream", "is not served; send async: true to be answered at once, and read the generation by its id")
	}
	return err
}

// addPictures notes one image, or a list of them.
func (q *openaiRequest) addPictures(v value, field string) {
	if v.kind() != jsonArray {
		q.pictures = append(q.pictures, picture{v: v, field: field})
		return
	}
	n := 0
	for item := range v.items() {
		q.pictures = append(q.pictures, picture{v: item, field: field + "[" + strconv.Itoa(n) + "]"})
		n++
	}
}

// resolvePictures makes URLs of all images: those that came inside the body are stored.
func (s *Server) resolvePictures(ctx context.Context, x *exchange, q *openaiRequest) error {
	in := &q.submission.Input
	if len(q.pictures) > maxImages {
		return refuseParam(q.images, "must be at most "+strconv.Itoa(maxImages)+" images")
	}
	for _, p := range q.pictures {
		u, err := s.pictureURL(ctx, x, p)
		if err != nil {
			return err
		}
		if !slices.Contains(in.Images, u) {
			in.Images = append(in.Images, u)
		}
	}
	if q.mask == nil {
		return nil
	}
	u, err := s.pictureURL(ctx, x, *q.mask)
	if err != nil {
		return err
	}
	if in.Metadata == nil {
		in.Metadata = make(map[string]json.RawMessage, 1)
	}
	in.Metadata["mask_url"] = quoted(u) // the submit API's name for it (its contract, section 2.4)
	return nil
}

// pictureURL is where an upstream can fetch an image: {"image_url": …}, or that URL itself. A data URL is stored first.
func (s *Server) pictureURL(ctx context.Context, x *exchange, p picture) (string, error) {
	if p.url != "" {
		return p.url, nil
	}
	v := p.v
	if v.kind() == jsonObject {
		v = value{}
		for key, val := range p.v.members() {
			switch {
			case key.text() == "image_url" && val.given():
				v = val
			case key.text() == "file_id" && val.given():
				return "", refuseParam(p.field, "cannot be a file_id: there are no stored files here; send image_url or the file itself")
			}
		}
	}
	if !v.present() || v.kind() != jsonString {
		return "", refuseParam(p.field, "must be an object with an image_url")
	}
	text := v.text()
	if strings.HasPrefix(strings.ToLower(text[:min(len(text), len("data:"))]), "data:") {
		return s.storeDataURL(ctx, x, p.field, text)
	}
	if len(text) > maxURL || !isWebURL(text) {
		return "", refuseParam(p.field, "must be an http or https URL, or a data URL in base64")
	}
	return text, nil
}

func (s *Server) storeDataURL(ctx context.Context, x *exchange, field, text string) (string, error) {
	if s.cfg.Uploads == nil {
		return "", refuseParam(field, "must be an http or https URL: this server takes no files")
	}
	if err := s.charge(ctx, x, limitUpload); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	u, err := s.cfg.Uploads.SaveBase64(ctx, x.organisation.ID, "", strings.NewReader(text), nil)
	return s.stored(u, err, field)
}

// stored is the URL of a file that was to be stored, or the refusal of it in the field's name.
func (s *Server) stored(u *kinora.Upload, err error, field string) (string, error) {
	switch code := kinora.CodeOf(err); {
	case code == kinora.ErrInvalid:
		return "", refuseParam(field, "is not an image that can be used")
	case code == kinora.ErrTooLarge:
		return "", &kinora.Error{Code: kinora.ErrTooLarge, Message: field + " is too large", Err: &wrongParam{field}}
	case err != nil:
		return "", err
	case u.Kind == kinora.KindVideo:
		return "", refuseParam(field, "must be an image")
	}
	return s.cfg.Uploads.URL(u), nil
}
