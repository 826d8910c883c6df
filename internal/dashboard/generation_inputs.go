package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
)

// Inputs knows the stored files behind the addresses that generations are made from.
type Inputs interface {
	// InputFiles finds the files that an organisation has at addresses, one for each address. nil = nothing of its own is there: the
	// address is somebody else's, or the file is not kept any more. Whether the address still works does not matter.
	//
	// Errors: kinora.ErrUnavailable.
	InputFiles(ctx context.Context, organisationID string, addresses []string) ([]*InputFile, error)
}

// InputFile is a stored file of an organisation: an upload, a source asset or a published output.
type InputFile struct {
	Key           string
	ContentType   string
	Bytes         int64 // 0 = not known
	Width, Height int   // pixels; 0 = not known
}

// maxInputs bounds the files that are looked up and shown of one generation. Models take fewer.
const maxInputs = 32

// inputAddresses are the addresses that a generation is made from, at most maxInputs: its images, then those among the model's own fields. Each
// stands there once, and always in the same order: a picture's address on the page counts by it.
func inputAddresses(in *kinora.Input) (list []string) {
	add := func(text string) {
		if (strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")) && len(list) < maxInputs && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	for _, image := range in.Images {
		add(image)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Metadata)) {
		if !bytes.Contains(in.Metadata[name], []byte("http")) {
			continue
		}
		var value any
		if json.Unmarshal(in.Metadata[name], &value) == nil {
			eachText(value, add)
		}
	}
	return list
}

// eachText calls f for every string in a JSON value, members of objects by name.
func eachText(value any, f func(string)) {
	switch value := value.(type) {
	case string:
		f(value)
	case []any:
		for _, one := range value {
			eachText(one, f)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			eachText(value[name], f)
		}
	}
}

// inputs are the files that a generation was made from beside its source, in the order of their addresses. nil = such an address has no file of
// the organisation.
func (v *visit) inputs(ctx context.Context, g *kinora.Generation) ([]*InputFile, error) {
	addresses := inputAddresses(&g.Input)
	if len(addresses) == 0 {
		return nil, nil
	}
	return v.cfg.Inputs.InputFiles(ctx, v.organisation.ID, addresses)
}

// inputPictures are those of the files that a browser shows.
func (v *visit) inputPictures(h *kinora.History, files []*InputFile) (list []picture) {
	for i, f := range files {
		kind := kindOf(f)
		if kind == "" || h.Source != nil && h.Source.BlobKey == f.Key {
			continue
		}
		var words []string
		for _, word := range []string{typeName(f.ContentType), dimensions(f.Width, f.Height)} {
			if word != "" {
				words = append(words, word)
			}
		}
		if f.Bytes > 0 {
			words = append(words, bytesOf(f.Bytes))
		}
		list = append(list, picture{Href: v.here("generations", h.Generation.ID, "inputs", strconv.Itoa(i+1)), Width: f.Width, Height: f.Height,
			Video: kind == "video", Words: strings.Join(words, ", ")})
	}
	return list
}

// kindOf is "image" or "video" for a file whose type is among those that are shown, else empty.
func kindOf(f *InputFile) string {
	if f == nil || shown[f.ContentType] == "" {
		return ""
	}
	kind, _, _ := strings.Cut(f.ContentType, "/")
	return kind
}

// putInputs has the page show the files: the first picture is what outputs are compared with, where there is no other source.
func (m *media) putInputs(list []picture) {
	if m.Source == nil {
		if first := slices.IndexFunc(list, func(p picture) bool { return !p.Video }); first >= 0 {
			source := list[first]
			m.Source, list = &source, slices.Delete(list, first, first+1)
		}
	}
	from := 1
	if m.Source != nil {
		from = 2
	}
	for i := range list {
		if list[i].Name = "Source"; len(list) > 1 || m.Source != nil {
			list[i].Name = fmt.Sprint("Source ", from+i)
		}
	}
	m.Inputs = list
}

// inputFile leads to a file that a generation was made from, by its place among the addresses, counted from one.
func (d *Dashboard) inputFile(ctx context.Context, v *visit) error {
	h, err := v.cfg.Histories.History(ctx, v.organisation.ID, v.path("generation_id"))
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(v.path("n"))
	addresses := inputAddresses(&h.Generation.Input)
	if err != nil || n < 1 || n > len(addresses) {
		return kinora.Errorf(kinora.ErrNotFound, "there is no such file")
	}
	files, err := v.cfg.Inputs.InputFiles(ctx, v.organisation.ID, addresses[n-1:n])
	if err != nil {
		return err
	}
	if kindOf(files[0]) == "" {
		return kinora.Errorf(kinora.ErrNotFound, "there is no such file, or not any more")
	}
	return v.toPicture(files[0].Key, files[0].Width, files[0].Height)
}
