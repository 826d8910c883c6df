package openai

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/kinora/kinora/provider"
)

// What sources may be: images, and masks of OpenAI's own models, which have to be transparent somewhere.
var (
	imageTypes = []string{"image/png", "image/jpeg", "image/webp"}
	maskTypes  = []string{"image/png"}
)

// references are the caller's files of one submit, as they go into JSON: by URL, or as data URLs whose content is read while the
// request is sent. Release them when the call is over.
type references struct {
	up    provider.Upstream
	files *provider.Inline // nil = by URL
}

func referencesOf(up provider.Upstream, req provider.Request, t target) *references {
	if t.api != videos && ownModel(t) && up.Sources != nil {
		up.Sources = &measured{Sources: up.Sources, mask: maskURL(req)}
	}
	s := &references{up: up}
	if sendsBytes(up.Account) {
		s.files = provider.NewInline()
	}
	return s
}

// sendsBytes says that an upstream is given no address of a caller's: it would fetch it from where it stands, whatever it leads to.
func sendsBytes(a provider.Account) bool {
	switch a.Settings[SettingSources] {
	case asURL:
		return false
	case asBytes:
		return true
	}
	return !public(a.BaseURL)
}

func (s *references) release() {
	if s.files != nil {
		s.files.Release()
	}
}

// reference is what stands for a caller's file in a JSON body.
func (s *references) reference(ctx context.Context, field, url string, types []string) (string, error) {
	if s.files == nil {
		return url, nil
	}
	f, err := s.files.Add(ctx, s.up, field, url, types)
	if err != nil {
		return "", err
	}
	return "data:" + f.ContentType + ";base64," + f.Mark, nil
}

// images are the references of a request's images.
func (s *references) images(ctx context.Context, req provider.Request) ([]string, error) {
	list := make([]string, len(req.Images))
	for i, u := range req.Images {
		var err error
		if list[i], err = s.reference(ctx, req.ImageField(i), u, imageTypes); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// mask is the reference of a request's mask; empty = it has none.
func (s *references) mask(ctx context.Context, req provider.Request, t target) (string, error) {
	mask := maskURL(req)
	if mask == "" {
		return "", nil
	}
	return s.reference(ctx, maskField, mask, maskTypesOf(t))
}

const maskField = "input.metadata.mask_url"

func maskTypesOf(t target) []string {
	if ownModel(t) {
		return maskTypes
	}
	return imageTypes
}

// post makes a call with a JSON body that may hold references.
func (s *references) post(path string, b body) (*http.Request, error) {
	if s.files == nil {
		return post(s.up, path, b)
	}
	req, err := request(s.up, http.MethodPost, path, nil)
	if err != nil {
		return nil, err
	}
	return req, s.files.Attach(req, b)
}

// checkAddresses refuses metadata that an upstream would fetch what a caller likes by, such as vLLM-Omni's image_reference.
func checkAddresses(a provider.Account, req provider.Request, owned []string) error {
	if !sendsBytes(a) {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(req.Metadata)) {
		if !slices.Contains(owned, key) && provider.HoldsAddress(req.Metadata[key]) {
			return provider.Errorf(provider.Invalid, "input.metadata.%s must not be or hold a URL for this model; its images go into input.image", key)
		}
	}
	return nil
}
