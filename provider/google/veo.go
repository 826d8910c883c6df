package google

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

const (
	defaultSeconds = 8
	maxReferences  = 3 // section 2.1
	maxVideos      = 4
)

// veoTypes are the images that Veo takes.
var veoTypes = []string{"image/png", "image/jpeg", "image/webp"}

// veoOwned are metadata keys that do not go among the parameters as they are. What names a
// place in Google's own storage is not the caller's to say: an account's credentials open what
// belongs to other callers.
var veoOwned = []string{
	"callback_url", "webhookConfig", "aspectRatio", "aspect_ratio", "resolution", "durationSeconds", "n", "sampleCount",
	"lastFrame", "referenceImages", "storageUri", "pubsubTopic", "labels", "image", "images", "video", "mask", "prompt", "size", "duration", "seconds",
}

// vertexOnly are parameters that the Gemini API refuses (section 2.1): an account there is
// sent a request without them.
var vertexOnly = []string{"seed", "fps", "generateAudio", "compressionQuality", "resizeMode"}

type object = map[string]any

// submitVeo is section 2.1 and 2.2.
func (g *Google) submitVeo(ctx context.Context, s *site, req provider.Request) (provider.Accepted, error) {
	files := provider.NewInline()
	defer files.Release()
	document, err := veoDocument(ctx, s, req, files)
	if err != nil {
		return provider.Accepted{}, err
	}
	call, err := g.request(ctx, s, http.MethodPost, s.base(veo), s.modelPath(req.UpstreamModel)+":predictLongRunning", nil)
	if err != nil {
		return provider.Accepted{}, err
	}
	if err := files.Attach(call, document); err != nil {
		return provider.Accepted{}, err
	}
	a, err := g.do(ctx, s, provider.Creates, call)
	if err != nil {
		return provider.Accepted{}, g.quoted(s, req, a, err)
	}
	if a.Status >= 300 {
		return provider.Accepted{}, g.quoted(s, req, a, submitRefusal(s, a, req))
	}
	var op operation
	if err := json.Unmarshal(a.Body, &op); err != nil || !operationName(string(op.Name), s.vertex) {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	return provider.Accepted{UpstreamID: string(op.Name)}, nil
}

// submitRefusal is a refusal of a submit. One for our callback address alone is marked, so that
// it is submitted again without: the caller asked for none.
func submitRefusal(s *site, a provider.Answer, req provider.Request) *provider.Error {
	e := refusal(s, a)
	p := readProblem(a.Body)
	if e.Class == provider.Invalid && req.CallbackURL != "" && strings.Contains(strings.ToLower(string(p.Message)+e.Detail), "webhook") {
		e.CallbackRefused = true
	}
	return e
}

func veoDocument(ctx context.Context, s *site, req provider.Request, files *provider.Inline) (object, error) {
	instance, err := veoInstance(ctx, s.up, req, files)
	if err != nil {
		return nil, err
	}
	parameters := object{"sampleCount": veoCount(req), "durationSeconds": veoSeconds(req)}
	parameters["aspectRatio"], parameters["resolution"] = videoShape(req)
	for key, value := range req.Metadata {
		if slices.Contains(veoOwned, key) || !s.vertex && slices.Contains(vertexOnly, key) {
			continue
		}
		parameters[key] = value
	}
	document := object{"instances": []object{instance}, "parameters": parameters}
	if s.vertex {
		place, err := storagePlace(s.up, req)
		if err != nil {
			return nil, err
		}
		if place != "" {
			parameters["storageUri"] = place
		}
		if labels, ok := req.Metadata["labels"]; ok {
			document["labels"] = labels
		}
		return document, nil
	}
	if hook := s.hook(req); hook != "" {
		document["webhookConfig"] = object{"uris": []string{hook}, "userMetadata": object{"job": req.ClientRef}}
	}
	return document, nil
}

func veoInstance(ctx context.Context, up provider.Upstream, req provider.Request, files *provider.Inline) (object, error) {
	instance := object{"prompt": req.Prompt}
	inline := func(field, url string) (object, error) {
		f, err := files.Add(ctx, up, field, url, veoTypes)
		return object{"bytesBase64Encoded": f.Mark, "mimeType": f.ContentType}, err
	}
	var err error
	if len(req.Images) > 0 { // of several the first is used (submit API contract, 2.5)
		if instance["image"], err = inline("input.image", req.Images[0]); err != nil {
			return nil, err
		}
	}
	if last, ok := lenient.Text(req.Metadata["lastFrame"]); ok {
		if instance["lastFrame"], err = inline("input.metadata.lastFrame", last); err != nil {
			return nil, err
		}
	}
	var references []string
	_ = json.Unmarshal(req.Metadata["referenceImages"], &references) // Validate has seen it
	var list []object
	for _, url := range references {
		picture, err := inline("input.metadata.referenceImages", url)
		if err != nil {
			return nil, err
		}
		list = append(list, object{"image": picture, "referenceType": "asset"})
	}
	if len(list) > 0 {
		instance["referenceImages"] = list
	}
	return instance, nil
}

// veoSeconds is how long the video is to be: metadata outranks the request.
func veoSeconds(req provider.Request) int {
	if n, ok := lenient.Whole(req.Metadata["durationSeconds"]); ok {
		return n
	}
	if req.Duration > 0 {
		return req.Duration
	}
	return defaultSeconds
}

// veoCount is how many videos one call makes.
func veoCount(req provider.Request) int {
	for _, key := range []string{"sampleCount", "n"} {
		if n, ok := lenient.Whole(req.Metadata[key]); ok {
			return n
		}
	}
	return 1
}

// storagePlace is where Vertex puts the outputs: a folder of the attempt's own below the
// account's, or one that the caller names there. Empty = inside the answer.
func storagePlace(up provider.Upstream, req provider.Request) (string, error) {
	own := strings.TrimSuffix(setting(up, SettingStorageURI), "/")
	if own != "" && !strings.HasPrefix(own, "gs://") {
		return "", provider.Errorf(provider.Permission, "the account's storage_uri is not of the form gs://bucket/folder")
	}
	asked, ok := lenient.Text(req.Metadata["storageUri"])
	switch {
	case ok && asked != "" && (own == "" || !strings.HasPrefix(asked+"/", own+"/")):
		return "", provider.Errorf(provider.Invalid, "input.metadata.storageUri must lie within the storage that the server's account is configured with")
	case ok && asked != "":
		return asked, nil
	case own == "":
		return "", nil
	}
	return own + "/" + req.ClientRef + "/", nil
}

// ourReference is the form of the references that Kinora gives to attempts.
var ourReference = regexp.MustCompile(`^(?:task|job)_[0-9A-HJKMNP-TV-Z]{26}_[0-9]+$`)

// foreign says that a job has put its outputs into another attempt's folder, and so is that one's. Nothing
// else that Google shows of a job tells whose it is.
func (s *site) foreign(r provider.Report, job provider.Job) bool {
	own := strings.TrimSuffix(setting(s.up, SettingStorageURI), "/")
	return s.vertex && own != "" && slices.ContainsFunc(r.Outputs, func(o provider.Output) bool {
		var at place
		_ = json.Unmarshal(o.Handle, &at) // it was made here
		below, ok := strings.CutPrefix(at.GCS, own+"/")
		folder, _, _ := strings.Cut(below, "/")
		return ok && folder != job.ClientRef && ourReference.MatchString(folder)
	})
}
