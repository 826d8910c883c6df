package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kinora/kinora"
)

// requestOf is the body that a form stands for, or what of it cannot be written as one. What a request may say is the API's to judge.
func (v *visit) requestOf(o *Offer, sent url.Values) (body map[string]any, wrong map[string]string) {
	body = map[string]any{}
	fields := append(slices.Clone(v.fieldsOf(o, sent)), echoFields...)
	if o.Workflow {
		row := o.row(sent)
		body["workflow"] = o.Name
		for name, value := range map[string]string{"capture_type": row.CaptureType, "mode": row.Mode, "source_url": strings.TrimSpace(sent.Get("source_url")), "source_asset_id": sent.Get("source_asset_id")} {
			if value != "" {
				body[name] = value
			}
		}
	} else {
		body["model"], body["input"] = o.Name, map[string]any{}
	}
	// Objects come first: what a field of the form says stands above what an object does.
	slices.SortStableFunc(fields, func(a, b OfferField) int { return kindOrder(a.Type) - kindOrder(b.Type) })
	wrong = map[string]string{}
	for _, f := range fields {
		value, err := f.value(sent)
		if err != nil {
			wrong[f.Name] = err.Error()
		} else if value != nil {
			put(body, strings.Split(f.Name, "."), value)
		}
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return body, nil
}

func kindOrder(t OfferFieldType) int {
	if t == FieldObject {
		return 0
	}
	return 1
}

// put sets a member of an object by its path. An object is put beside what is there.
func put(in map[string]any, path []string, value any) {
	for len(path) > 1 {
		next, ok := in[path[0]].(map[string]any)
		if !ok {
			next = map[string]any{}
			in[path[0]] = next
		}
		in, path = next, path[1:]
	}
	there, isObject := in[path[0]].(map[string]any)
	if given, ok := value.(map[string]any); ok && isObject {
		maps.Copy(there, given)
		return
	}
	in[path[0]] = value
}

// value is what was filled in, as JSON has it; nil = nothing.
func (f *OfferField) value(sent url.Values) (any, error) {
	text := sent.Get(f.Name)
	if f.Type != FieldLong {
		text = strings.TrimSpace(text)
	}
	if text == "" {
		return nil, nil
	}
	switch f.Type {
	case FieldSeveral:
		return sent[f.Name], nil
	case FieldImages:
		return strings.Fields(text), nil
	case FieldSwitch:
		return text == "true", nil
	case FieldNumber:
		var n json.Number
		if strings.HasPrefix(text, `"`) || json.Unmarshal([]byte(text), &n) != nil {
			return nil, fmt.Errorf("%s must be a number", f.Name)
		}
		return n, nil
	case FieldObject:
		return object(f.Name, text)
	}
	return text, nil
}

// object reads an object whose numbers stay as they were written.
func object(name, text string) (any, error) {
	var members map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	err := d.Decode(&members)
	if err == nil && d.More() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil || members == nil {
		return nil, fmt.Errorf("%s must be a JSON object, such as {\"key\": \"value\"}", name)
	}
	return members, nil
}

func (v *visit) playgroundPreview(o *Offer, sent url.Values) playgroundPreview {
	if o == nil {
		return playgroundPreview{}
	}
	p := playgroundPreview{Price: "No price is set for it here."}
	if o.Price > 0 {
		p.Price = dollars(o.Price) + " if it succeeds."
	}
	body, wrong := v.requestOf(o, sent)
	if wrong != nil {
		p.Wrong = wrong[slices.Min(slices.Collect(maps.Keys(wrong)))]
		return p
	}
	p.JSON = asciiControls(body)
	_, byURL := body["source_url"]
	_, byAsset := body["source_asset_id"]
	switch {
	case !o.Workflow:
		p.Curl = v.command("/api/generate/submit", false, "-H 'Content-Type: application/json'", "-d "+inShell(p.JSON))
	case byURL || byAsset:
		p.Curl = v.command("/api/v1/generations", true, "-H 'Content-Type: application/json'", "-d "+inShell(p.JSON))
	default:
		parts := []string{"-F file=@PICTURE"}
		for _, part := range formParts(body) {
			parts = append(parts, "--form-string "+inShell(part[0]+"="+part[1]))
		}
		p.Curl = v.command("/api/v1/generations", true, parts...)
	}
	return p
}

// formParts are a request's members as a form has them.
func formParts(body map[string]any) (parts [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(body)) {
		switch value := body[name].(type) {
		case string:
			parts = append(parts, [2]string{name, value})
		case []string:
			for _, one := range value {
				parts = append(parts, [2]string{name, one})
			}
		default:
			raw, _ := json.Marshal(value) // was read from JSON, or is a number
			parts = append(parts, [2]string{name, string(raw)})
		}
	}
	return parts
}

// sendRequest sends the request by the route that a caller's key would use.
func (v *visit) sendRequest(ctx context.Context, o *Offer, body map[string]any, key string) ([]byte, error) {
	if !o.Workflow {
		return v.call(ctx, http.MethodPost, "/api/generate/submit", key, body)
	}
	const path = "/api/v1/generations"
	file := v.file()
	if file == nil {
		return v.call(ctx, http.MethodPost, path, key, body)
	}
	return v.sendFile(ctx, path, key, file, formParts(body))
}

// file is the picture that came with the form; nil = none.
func (v *visit) file() *multipart.FileHeader {
	if v.r.MultipartForm == nil || len(v.r.MultipartForm.File["file"]) == 0 || v.r.MultipartForm.File["file"][0].Size == 0 {
		return nil
	}
	return v.r.MultipartForm.File["file"][0]
}

// sendFile sends a form with a file, which is streamed.
func (v *visit) sendFile(ctx context.Context, path, key string, header *multipart.FileHeader, parts [][2]string) ([]byte, error) {
	file, err := header.Open()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var around bytes.Buffer
	form := multipart.NewWriter(&around)
	for _, part := range parts {
		if err := form.WriteField(part[0], part[1]); err != nil {
			return nil, err
		}
	}
	if _, err := form.CreateFormFile("file", header.Filename); err != nil {
		return nil, err
	}
	before := around.Len()
	if err := form.Close(); err != nil {
		return nil, err
	}
	whole := io.MultiReader(bytes.NewReader(around.Bytes()[:before]), file, bytes.NewReader(around.Bytes()[before:]))
	return v.send(ctx, http.MethodPost, path, key, form.FormDataContentType(), whole)
}

// addImages puts the addresses of a picture that came with the form, and of an asset that was chosen, among those of a model's
// images. The picture is kept as any upload is.
func (v *visit) addImages(ctx context.Context, sent url.Values) error {
	if file := v.file(); file != nil && strings.HasPrefix(sent.Get("of"), "model:") {
		answer, err := v.sendFile(ctx, "/api/common/upload/stream", "", file, nil)
		if err != nil {
			return err
		}
		var kept struct {
			Data struct {
				FileURL string `json:"file_url"`
			} `json:"data"`
		}
		if err := json.Unmarshal(answer, &kept); err != nil {
			return err
		}
		addLine(sent, imagesField, kept.Data.FileURL)
	}
	if id := sent.Get("add"); id != "" {
		assets, err := v.cfg.Assets.List(ctx, v.organisation.ID, kinora.AssetReady, "", sourcesShown)
		if err != nil {
			return err
		}
		for _, a := range assets {
			if a.ID == id {
				address, _ := v.cfg.FileURL(a.BlobKey)
				addLine(sent, imagesField, address)
			}
		}
	}
	return nil
}

func addLine(sent url.Values, name, line string) {
	sent.Set(name, strings.TrimSpace(sent.Get(name)+"\n"+line))
}
