package minimax

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora/internal/simulator"
)

// imageSubmit is the body of an image submit.
type imageSubmit struct {
	Model     string `json:"model"`
	Prompt    string `json:"prompt"`
	Ratio     string `json:"aspect_ratio"`
	Width     int    `json:"width"`
	Height    int    `json:"height"`
	Format    string `json:"response_format"`
	Seed      *int64 `json:"seed"`
	N         *int   `json:"n"`
	Optimizer *bool  `json:"prompt_optimizer"`
	Watermark *bool  `json:"aigc_watermark"`
	Subjects  []struct {
		Type  string `json:"type"`
		Image string `json:"image_file"`
	} `json:"subject_reference"`
}

// imageSizes are the pixels of the shapes.
var imageSizes = map[string][2]int{
	"1:1": {1024, 1024}, "16:9": {1280, 720}, "4:3": {1152, 864}, "3:2": {1248, 832}, "2:3": {832, 1248}, "3:4": {864, 1152}, "9:16": {720, 1280}, "21:9": {1344, 576},
}

func (i *imageSubmit) understand() (*job, error) {
	j := &job{version: imageV1, model: i.Model, prompt: i.Prompt, count: 1}
	if i.N != nil {
		j.count = *i.N
	}
	shape := i.Ratio
	if shape == "" {
		shape = "1:1"
	}
	side := func(n int) bool { return n >= 512 && n <= 2048 && n%8 == 0 }
	switch {
	case !slices.Contains([]string{"image-01", "image-01-live"}, i.Model):
		return nil, invalid("model %s is not supported", clip(i.Model))
	case strings.TrimSpace(i.Prompt) == "":
		return nil, invalid("prompt is required")
	case utf8.RuneCountInString(i.Prompt) > 1500:
		return nil, invalid("prompt is longer than 1500 characters")
	case j.count < 1 || j.count > 9:
		return nil, invalid("n must be 1 to 9")
	case imageSizes[shape] == [2]int{}:
		return nil, invalid("aspect_ratio is not supported")
	case (i.Width != 0) != (i.Height != 0), i.Width != 0 && (!side(i.Width) || !side(i.Height)):
		return nil, invalid("width and height must be 512 to 2048, in steps of 8")
	case i.Format != "" && i.Format != "url" && i.Format != "base64":
		return nil, invalid("response_format must be url or base64")
	}
	j.width, j.height = imageSizes[shape][0], imageSizes[shape][1]
	if i.Width != 0 && i.Ratio == "" {
		j.width, j.height = i.Width, i.Height
	}
	for _, subject := range i.Subjects {
		if subject.Type != "character" || !webURL(subject.Image) && !strings.HasPrefix(subject.Image, "data:image/") {
			return nil, invalid("subject_reference must be characters with an image_file")
		}
		j.references = append(j.references, subject.Image)
	}
	return j, nil
}

// makeImages answers when the images are there.
func (s *Simulator) makeImages(w http.ResponseWriter, r *http.Request, a *account) error {
	var in imageSubmit
	body, err := s.readSubmit(w, r, a.images, &in)
	if err != nil {
		return err
	}
	j, err := in.understand()
	if err != nil {
		return err
	}
	j.account, j.body, j.orders = a, body, simulator.ReadOrders(r.Header, j.prompt)
	if err := s.refusal(j.orders, j.prompt); err != nil {
		return err
	}
	if j.orders["drop"] == "before" {
		simulator.Abort()
	}
	now := s.clock.Now()
	j.plan(now, s.cfg.ImageTime)
	if err := s.insert(j, now); err != nil {
		return err
	}
	s.hold(r.Context(), j.finished.Sub(now))
	if code := j.failure(); code != 0 {
		return refused(code, "%s", codeWords[code])
	}
	answer, err := s.imageAnswer(r, j, in.Format == "base64")
	if err != nil {
		return err
	}
	return s.afterAccept(w, r, j.orders, answer)
}

func (s *Simulator) imageAnswer(r *http.Request, j *job, embedded bool) (any, error) {
	blocked := min(j.orders.Count("blocked"), j.count)
	var urls, files []string
	for i := range j.count - blocked {
		if !embedded {
			urls = append(urls, s.address(s.host(r), fmt.Sprintf("%s-%d.jpeg", j.fileID, i), s.clock.Now().Add(24*s.cfg.URLLife)))
			continue
		}
		var out bytes.Buffer
		if err := s.draw(r.Context(), &out, j, i); err != nil {
			return nil, err
		}
		files = append(files, base64.StdEncoding.EncodeToString(out.Bytes()))
	}
	data := map[string]any{}
	switch {
	case len(urls) > 0:
		data["image_urls"] = urls
	case len(files) > 0:
		data["image_base64"] = files
	}
	return map[string]any{
		"id": j.id, "data": data, "base_resp": fine,
		"metadata": map[string]any{"success_count": j.count - blocked, "failed_count": blocked},
	}, nil
}
