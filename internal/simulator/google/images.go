package google

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/kinora/kinora/internal/simulator"
)

// contentBody is the body of generateContent (section 5).
type contentBody struct {
	Contents []struct {
		Parts []struct {
			Text   string `json:"text"`
			Inline *struct {
				Type string `json:"mimeType"`
				Data []byte `json:"data"`
			} `json:"inlineData"`
		} `json:"parts"`
	} `json:"contents"`
	Config struct {
		Modalities []string `json:"responseModalities"`
		Image      struct {
			Ratio string `json:"aspectRatio"`
			Size  string `json:"imageSize"`
		} `json:"imageConfig"`
	} `json:"generationConfig"`
}

var (
	imageRatios = []string{"1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9", "1:4", "4:1", "1:8", "8:1"}
	imageSides  = map[string]int{"": 1024, "512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
)

const maxImages = 16 // references, and a mask

// generate is :generateContent: it answers when the image is there.
func (s *Simulator) generate(w http.ResponseWriter, r *http.Request, a *Account) error {
	var in contentBody
	if f := s.read(w, r, &in); f != nil {
		return f
	}
	j, f := in.understand(r.PathValue("model"))
	if f != nil {
		return f
	}
	j.account = a
	if f := s.take(r, j); f != nil {
		return f
	}
	if simulator.Hold(r.Context(), s.clock, j.ends.Sub(j.created)) != nil {
		simulator.Abort()
	}
	answer, err := s.generated(r, j)
	if err != nil {
		return err
	}
	return s.respond(w, r, j, answer)
}

func (b *contentBody) understand(model string) (*job, *failure) {
	j := &job{kind: "image", model: model, ratio: "1:1", count: 1}
	if !strings.Contains(model, "image") {
		return nil, problem("NOT_FOUND", "models/%s is not found", model)
	}
	if len(b.Contents) != 1 {
		return nil, invalid("contents", "one is wanted")
	}
	for _, p := range b.Contents[0].Parts {
		j.prompt += p.Text
		if p.Inline == nil {
			continue
		}
		if !strings.HasPrefix(p.Inline.Type, "image/") || len(p.Inline.Data) == 0 {
			return nil, invalid("contents[0].parts", "not an image in base64")
		}
		j.files++
	}
	image := b.Config.Image
	switch {
	case strings.TrimSpace(j.prompt) == "":
		return nil, invalid("contents", "a text is wanted")
	case j.files > maxImages:
		return nil, invalid("contents", "too many images")
	case !slices.Contains(b.Config.Modalities, "IMAGE"):
		return nil, invalid("generation_config.response_modalities", "IMAGE is wanted")
	case image.Ratio != "" && !slices.Contains(imageRatios, image.Ratio):
		return nil, invalid("generation_config.image_config.aspect_ratio", "not supported")
	case imageSides[image.Size] == 0:
		return nil, invalid("generation_config.image_config.image_size", "512, 1K, 2K or 4K")
	}
	if image.Ratio != "" {
		j.ratio = image.Ratio
	}
	j.height = imageSides[image.Size]
	return j, nil
}

// generated is the answer: always of status 200, with an image or without.
func (s *Simulator) generated(r *http.Request, j *job) (object, error) {
	answer := object{"responseId": j.id, "modelVersion": j.model, "usageMetadata": object{"promptTokenCount": 270, "candidatesTokenCount": 1120}}
	if j.orders.block != "" {
		answer["promptFeedback"] = object{"blockReason": j.orders.block}
		return answer, nil
	}
	if j.orders.end != "" {
		answer["candidates"] = []object{{"finishReason": j.orders.end, "content": object{"role": "model"}}}
		return answer, nil
	}
	var parts []object
	add := func(index int, thought bool) error {
		content, err := s.draw(r, j, index)
		if err != nil {
			return err
		}
		part := object{"inlineData": object{"mimeType": "image/png", "data": base64.StdEncoding.EncodeToString(content)}}
		if thought {
			part["thought"] = true
		}
		parts = append(parts, part)
		return nil
	}
	if j.orders.thought {
		if err := add(1, true); err != nil {
			return nil, err
		}
	}
	if err := add(0, false); err != nil {
		return nil, err
	}
	answer["candidates"] = []object{{"finishReason": "STOP", "content": object{"role": "model", "parts": parts}}}
	return answer, nil
}
