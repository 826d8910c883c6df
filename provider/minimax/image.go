package minimax

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// The limits of images.
const (
	maxImagePrompt = 1500 // characters
	maxImages      = 9
	minImageSide   = 512 // pixels
	maxImageSide   = 2048
	imageSideStep  = 8
)

var imageRatios = []string{"1:1", "16:9", "4:3", "3:2", "2:3", "3:4", "9:16", "21:9"}

// imageBody builds an image submit. The answer always carries URLs: base64 would hold up
// to nine pictures in memory for nothing, for Kinora fetches and keeps them either way.
func imageBody(req provider.Request) fields {
	f := begin(req)
	delete(f, "callback_url")
	f["response_format"] = "url"
	f.put("prompt", req.Prompt)
	if len(req.Images) > 0 {
		var list []any
		for _, url := range req.Images {
			list = append(list, map[string]any{"type": "character", "image_file": url})
		}
		f.put("subject_reference", list)
	}
	if s, asked, err := readSize(req); asked && err == nil && !f.has("aspect_ratio") && !f.has("width") && !f.has("height") {
		if s.pixels {
			f["width"], f["height"] = s.w, s.h
		} else if r, err := s.ratio(imageRatios); err == nil {
			f["aspect_ratio"] = r
		}
	}
	for _, key := range []string{"n", "width", "height"} {
		if n, ok := f.whole(key); ok {
			f[key] = n
		}
	}
	return f
}

// checkImage holds a request against the reference of images.
func checkImage(req provider.Request) *provider.Error {
	s, asked, err := readSize(req)
	if err != nil {
		return err
	}
	f := imageBody(req)
	if err := checkText(req, f, maxImagePrompt); err != nil {
		return err
	}
	if err := checkSwitches(f, "prompt_optimizer", "aigc_watermark"); err != nil {
		return err
	}
	if n, ok := f.whole("n"); f.has("n") && (!ok || n < 1 || n > maxImages) {
		return invalid("input.metadata.n", "a whole number between 1 and %d", maxImages)
	}
	if _, ok := f.whole("seed"); f.has("seed") && !ok {
		return invalid("input.metadata.seed", "a whole number")
	}
	if f.has("aspect_ratio") {
		if r, ok := f.word("aspect_ratio"); !ok || !slices.Contains(imageRatios, r) {
			return invalid(place(req, "aspect_ratio", "input.size"), "one of %s", strings.Join(imageRatios, ", "))
		}
	} else if asked && !s.pixels && !f.has("width") && !f.has("height") {
		_, err := s.ratio(imageRatios)
		return err
	}
	for _, key := range []string{"width", "height"} {
		n, ok := f.whole(key)
		if f.has(key) && (!ok || n < minImageSide || n > maxImageSide || n%imageSideStep != 0) {
			return invalid(place(req, key, "input.size"), "between %d and %d pixels a side, in steps of %d", minImageSide, maxImageSide, imageSideStep)
		}
	}
	return nil
}

// imageAnswer is the answer to an image submit: the whole generation.
type imageAnswer struct {
	ID   text `json:"id"`
	Data struct {
		URLs []text `json:"image_urls"`
	} `json:"data"`
	Metadata *struct {
		Succeeded text `json:"success_count"`
		Failed    text `json:"failed_count"`
	} `json:"metadata"`
	BaseResp *baseResp `json:"base_resp"`
}

// accepted reads the pictures out of an answer that is no error. Fewer than asked for are
// a success all the same; none is a failure, for which the content was refused if the
// upstream counts refused ones.
func (i *imageAnswer) accepted(trace, ref string) provider.Accepted {
	id := cmp.Or(string(i.ID), trace, ref)
	r := &provider.Report{UpstreamID: id, State: provider.StateSucceeded, Progress: -1}
	for _, url := range i.Data.URLs {
		if url != "" {
			r.Outputs = append(r.Outputs, provider.Output{URL: string(url), Kind: kinora.KindImage})
		}
	}
	if len(r.Outputs) == 0 {
		r.State, r.Err = provider.StateFailed, provider.Errorf(provider.Generation, "the upstream made no image")
		if i.Metadata != nil && i.Metadata.Failed != "" && i.Metadata.Failed != "0" {
			r.Err = provider.Errorf(provider.Moderation, "%s", messages[provider.Moderation])
		}
	}
	return provider.Accepted{UpstreamID: id, Report: r}
}

// readable tells whether it is an image answer at all.
func (i *imageAnswer) readable() bool {
	return i.BaseResp != nil && i.BaseResp.code() == "" && (len(i.Data.URLs) > 0 || i.Metadata != nil)
}
