package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// media are the source and what has been published, to be looked at.
type media struct {
	Source  *picture  // nil = none, or it is not kept any more
	Inputs  []picture // other files that it was made from
	Lost    bool      // there was a source, whose file has been removed
	Outputs []output
	Empty   string // what to say where there are no outputs; empty = there are
}

// picture is a file that a browser may show.
type picture struct {
	Href          string
	Small         string // of a small picture of it; empty = the file itself is shown
	Width, Height int    // pixels; 0 = not known
	Words         string
	Name          string // empty = "Source"
	Video         bool
}

// output is a produced file.
type output struct {
	ID      string
	Role    string
	State   kinora.OutputState
	Image   bool   // a browser shows it as a picture
	Video   bool   // or plays it
	Href    string // empty = the file is not kept any more, or not for who asks
	Small   string // of a small picture of it; empty = the file itself is shown
	Name    string // that it is saved by
	Type    string
	Size    string
	Shape   string // dimensions; empty = not known
	Length  string // of a video; empty = not known
	Width   int    // pixels, 0 = not known
	Height  int
	Removed time.Time // zero = it is kept
	Compare bool      // it can be laid over the source
}

// shown are the types that browsers show by themselves, and that carry no scripts.
var shown = map[string]string{
	"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WebP", "image/avif": "AVIF",
	"video/mp4": "MP4", "video/webm": "WebM", "video/quicktime": "QuickTime",
}

// endings of the names that files are saved by.
var endings = map[string]string{
	"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp", "image/avif": ".avif",
	"video/mp4": ".mp4", "video/webm": ".webm", "video/quicktime": ".mov",
}

// media prepares the files; inputs are those that were given by their addresses.
func (v *visit) media(h *kinora.History, inputs []*InputFile) media {
	g := h.Generation
	var m media
	if h.Source != nil && h.Source.State == kinora.AssetReady && h.Source.BlobKey != "" {
		m.Source = &picture{Href: v.here("generations", g.ID, "source"), Width: h.Source.Width, Height: h.Source.Height,
			Words: strings.Join([]string{typeName(h.Source.ContentType), dimensions(h.Source.Width, h.Source.Height), bytesOf(h.Source.Bytes)}, ", ")}
	}
	m.Lost = m.Source == nil && g.SourceAssetID != ""
	m.putInputs(v.inputPictures(h, inputs))
	for _, o := range h.Outputs {
		if o.State == kinora.OutputPublished {
			m.Outputs = append(m.Outputs, v.output(g, &o, m.Source))
		}
	}
	sortByRole(m.Outputs, h.Outputs)
	if len(m.Outputs) == 0 {
		m.Empty = nothingYet(g)
	}
	return m
}

func nothingYet(g *kinora.Generation) string {
	switch g.State {
	case kinora.GenerationSucceeded:
		return "What was made has been removed."
	case kinora.GenerationFailed:
		return "Nothing was published, because it failed."
	case kinora.GenerationCancelled:
		return "Nothing was published, because it was cancelled."
	case kinora.GenerationIngesting:
		return "Its source is still being fetched. Outputs appear here by themselves."
	}
	return "Outputs appear here by themselves as soon as they are there."
}

// sortByRole puts the primary output first. all has their ordinals.
func sortByRole(list []output, all []kinora.Output) {
	place := map[string]int{}
	for _, o := range all {
		place[o.ID] = o.Ordinal
	}
	slices.SortStableFunc(list, func(a, b output) int { return place[a.ID] - place[b.ID] })
}

func (v *visit) output(g *kinora.Generation, o *kinora.Output, source *picture) output {
	kind := strings.SplitN(o.ContentType, "/", 2)[0]
	_, safe := shown[o.ContentType]
	out := output{ID: o.ID, State: o.State, Type: typeName(o.ContentType), Size: bytesOf(o.Bytes), Shape: dimensions(o.Width, o.Height), Width: o.Width, Height: o.Height,
		Image: safe && kind == "image", Video: safe && kind == "video", Name: o.ID + endings[o.ContentType], Removed: o.RemovedAt}
	if o.State == kinora.OutputPublished {
		out.Role = o.Role
	}
	if o.Duration > 0 {
		out.Length = fmt.Sprintf("%.1f s", o.Duration.Seconds())
	}
	if o.RemovedAt.IsZero() && v.maySee(o) {
		out.Href = v.here("generations", g.ID, "outputs", o.ID)
		out.Compare = out.Image && source != nil
	}
	return out
}

// maySee tells whether a file is for who asks: what was not published is for those who run the instance alone.
func (v *visit) maySee(o *kinora.Output) bool {
	return o.State == kinora.OutputPublished || v.insider()
}

func typeName(contentType string) string {
	if name := shown[contentType]; name != "" {
		return name
	}
	if contentType == "" {
		return "unknown type"
	}
	return contentType
}

func dimensions(width, height int) string {
	if width <= 0 || height <= 0 {
		return ""
	}
	return fmt.Sprintf("%d × %d", width, height)
}

// outputFile leads to an output's file. The page's addresses are its own, so that who may see the file is asked again each time; those
// that it leads to work for minutes.
func (d *Dashboard) outputFile(ctx context.Context, v *visit) error {
	h, err := v.cfg.Histories.Files(ctx, v.organisation.ID, v.path("generation_id"))
	if err != nil {
		return err
	}
	for i := range h.Outputs {
		if o := &h.Outputs[i]; o.ID == v.path("output_id") && o.RemovedAt.IsZero() && v.maySee(o) {
			return v.toPicture(o.BlobKey, o.Width, o.Height)
		}
	}
	return kinora.Errorf(kinora.ErrNotFound, "there is no such file, or not any more")
}

// sourceFile leads to the picture that a generation is made from.
func (d *Dashboard) sourceFile(ctx context.Context, v *visit) error {
	h, err := v.cfg.Histories.Files(ctx, v.organisation.ID, v.path("generation_id"))
	if err != nil {
		return err
	}
	if h.Source == nil || h.Source.BlobKey == "" {
		return kinora.Errorf(kinora.ErrNotFound, "there is no such file, or not any more")
	}
	return v.toPicture(h.Source.BlobKey, h.Source.Width, h.Source.Height)
}

// smallPicture is asked for at a file's address where a page has many pictures.
const smallPicture = "?size=small"

// toPicture leads to a file, or to a small picture of it where that is asked for and there is one.
func (v *visit) toPicture(key string, width, height int) error {
	address, _ := v.cfg.FileURL(key)
	if v.query("size") == "small" {
		if small := v.cfg.PreviewURL(key, width, height); small != "" {
			address = small
		}
	}
	v.w.Header().Set("Location", address)
	v.w.WriteHeader(http.StatusFound)
	return errAnswered
}
