package google

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// operation is a long-running operation of Veo, in either back end's form (sections 2.1 to 2.3).
// The contents of base64 strings were cut out of it.
type operation struct {
	Name     lenient.Word  `json:"name"`
	Done     lenient.Truth `json:"done"`
	Error    *problem      `json:"error"`
	Response *predictions  `json:"response"`
}

type predictions struct {
	Inner   *predictions `json:"generateVideoResponse"` // of the Gemini API
	Samples []struct {
		Video *veoVideo `json:"video"`
	} `json:"generatedSamples"`
	Videos   []*veoVideo  `json:"videos"` // of Vertex
	Filtered lenient.Word `json:"raiMediaFilteredCount"`
}

type veoVideo struct {
	URI     string  `json:"uri"`
	GCSURI  string  `json:"gcsUri"`
	Encoded *string `json:"encodedVideo"`
	Bytes   *string `json:"bytesBase64Encoded"`
}

// What an operation is called. It becomes a path.
var (
	geminiOperation = regexp.MustCompile(`^models/[A-Za-z0-9._-]+/operations/[A-Za-z0-9._-]+$`)
	vertexOperation = regexp.MustCompile(`^projects/[A-Za-z0-9.:_-]+/locations/[a-z0-9-]+/publishers/google/models/[A-Za-z0-9._-]+/operations/[A-Za-z0-9._-]+$`)
)

func operationName(name string, vertex bool) bool {
	if vertex {
		return vertexOperation.MatchString(name)
	}
	return geminiOperation.MatchString(name)
}

// operationCall asks about an operation: on Vertex by a POST at the model, which is the part of
// the name before "/operations/" (section 2.2).
func (g *Google) operationCall(ctx context.Context, s *site, name string) (*http.Request, error) {
	if !operationName(name, s.vertex) {
		return nil, provider.Errorf(provider.Gone, "the task is not one of this account's")
	}
	if !s.vertex {
		return g.request(ctx, s, http.MethodGet, s.base(veo), "/v1beta/"+name, nil)
	}
	asked, err := json.Marshal(object{"operationName": name})
	if err != nil {
		return nil, provider.Unreadable(provider.Unavailable, 0)
	}
	model, _, _ := strings.Cut(name, "/operations/")
	return g.request(ctx, s, http.MethodPost, s.base(veo), "/v1/"+model+":fetchPredictOperation", asked)
}

func (g *Google) pollVeo(ctx context.Context, s *site, job provider.Job) ([]provider.Report, error) {
	call, err := g.operationCall(ctx, s, job.UpstreamID)
	if err != nil {
		return nil, err
	}
	text, a, err := g.readCut(ctx, s, provider.Reads, call)
	if err != nil {
		return nil, err
	}
	if a.Status >= 300 {
		if gone(a) {
			return nil, nil
		}
		return nil, refusal(s, a)
	}
	var op operation
	if err := json.Unmarshal(text, &op); err != nil || op.Name == "" && !bool(op.Done) {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	r := op.report(s)
	r.UpstreamID = job.UpstreamID
	return []provider.Report{r}, nil
}

// report is section 2.3.
func (op *operation) report(s *site) provider.Report {
	r := provider.Report{State: provider.StateRunning, Progress: -1}
	switch {
	case !bool(op.Done):
		return r
	case op.Error != nil:
		return op.Error.ended(s.up)
	case op.Response != nil:
		r.Outputs = op.Response.outputs(s)
	}
	if len(r.Outputs) > 0 {
		r.State, r.Progress = provider.StateSucceeded, 100
		return r
	}
	r.State = provider.StateFailed
	if op.Response != nil && op.Response.filtered() {
		r.Err = &provider.Error{Class: provider.Moderation, Code: "raiMediaFiltered", Message: messages[provider.Moderation]}
		return r
	}
	r.Err = provider.Errorf(provider.Generation, "the upstream ended without a video")
	return r
}

// ended is what an error in an operation or an interaction means for the job.
func (p *problem) ended(up provider.Upstream) provider.Report {
	r := provider.Report{State: provider.StateFailed, Progress: -1}
	word := strings.ToUpper(p.word())
	if word == "CANCELLED" {
		r.State = provider.StateCancelled
		return r
	}
	e := &provider.Error{Class: p.class()}
	switch {
	case word == "NOT_FOUND":
		e.Class = provider.Gone
	case e.Class == "" || e.Class == provider.ModelGone || e.Class == provider.Permission:
		e.Class = provider.Generation
	}
	e.Message = messages[e.Class]
	p.describe(up, e)
	r.Err = e
	return r
}

func (p *predictions) filtered() bool {
	if p.Inner != nil && p.Inner.filtered() {
		return true
	}
	return p.Filtered != "" && p.Filtered != "0"
}

// place is the Handle of an output: where it is had.
type place struct {
	File   string `json:"file,omitempty"`   // an address that wants the account's key
	GCS    string `json:"gcs,omitempty"`    // gs://bucket/object
	Inline string `json:"inline,omitempty"` // the path of a base64 string in the answer to a poll
}

func (p place) output() provider.Output {
	handle, err := json.Marshal(p)
	if err != nil {
		return provider.Output{} // three strings can always be marshalled
	}
	return provider.Output{Kind: kinora.KindVideo, Handle: handle}
}

// fileOutput is a video behind an address. Only Google's own gets the account's key; any other
// is fetched without, through the guard.
func fileOutput(s *site, f family, uri string) provider.Output {
	switch {
	case strings.HasPrefix(uri, "gs://"):
		return place{GCS: uri}.output()
	case s.trusts(uri, f):
		return place{File: uri}.output()
	}
	return provider.Output{URL: uri, Kind: kinora.KindVideo}
}

func (p *predictions) outputs(s *site) (out []provider.Output) {
	at := "response/"
	samples, videos := p.Samples, p.Videos
	if p.Inner != nil {
		at += "generateVideoResponse/"
		samples, videos = p.Inner.Samples, p.Inner.Videos
	}
	for i, sample := range samples {
		if sample.Video != nil {
			out = sample.Video.add(out, s, fmt.Sprintf("%sgeneratedSamples/%d/video/", at, i))
		}
	}
	for i, v := range videos {
		if v != nil {
			out = v.add(out, s, fmt.Sprintf("%svideos/%d/", at, i))
		}
	}
	return out
}

func (v *veoVideo) add(out []provider.Output, s *site, at string) []provider.Output {
	switch {
	case v.GCSURI != "":
		return append(out, place{GCS: v.GCSURI}.output())
	case v.URI != "":
		return append(out, fileOutput(s, veo, v.URI))
	case v.Bytes != nil:
		return append(out, place{Inline: at + "bytesBase64Encoded"}.output())
	case v.Encoded != nil:
		return append(out, place{Inline: at + "encodedVideo"}.output())
	}
	return out
}
