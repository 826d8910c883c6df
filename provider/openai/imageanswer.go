package openai

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/jsonstream"
	"github.com/kinora/kinora/provider/lenient"
)

// imageAnswer is what an image call brings, while it is read.
type imageAnswer struct {
	ctx    context.Context
	up     provider.Upstream
	req    provider.Request
	order  imageOrder
	status int

	outputs []provider.Output
	spoilt  []*provider.Error // of images that cannot be used, which leaves the others as they are
	begun   bool              // an image has come, if only an unfinished one: something was made
	failed  *json.RawMessage  // the upstream's own word that it has failed
}

// errNoImage says that an answer ended well and held neither an image nor a reason.
var errNoImage = errors.New("no image in the answer")

// accepted is what the answer means, once it was read with err.
//
// What an image call brings is all there ever is of it: an answer that cannot be read to its end
// may have been paid for, and is never asked for again.
func (in *imageAnswer) accepted(err error) (provider.Accepted, error) {
	var known *provider.Error
	switch {
	case errors.As(err, &known):
		return provider.Accepted{}, known
	case errors.Is(err, errNoImage), errors.Is(err, jsonstream.ErrSyntax), errors.Is(err, jsonstream.ErrTooLarge):
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, in.status)
	case err != nil:
		return provider.Accepted{}, provider.Broken(provider.Creates, in.status, err)
	case in.failed != nil:
		return in.refused()
	case len(in.outputs) == 0:
		return provider.Accepted{Report: &provider.Report{State: provider.StateFailed, Progress: -1, Err: in.spoilt[0]}}, nil
	}
	return provider.Accepted{Report: &provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: in.outputs}}, nil
}

// refused is what the upstream's word of a failure means that came with a status of success.
// Before anything was made it is a refusal like any other, but that a fault of the
// upstream's leaves open what it has done.
func (in *imageAnswer) refused() (provider.Accepted, error) {
	p := readProblem(*in.failed)
	if in.begun {
		return provider.Accepted{Report: &provider.Report{State: provider.StateFailed, Progress: -1, Err: failure(in.up, p)}}, nil
	}
	e := &provider.Error{Class: classOf(p), Code: token(in.up, p.Code), HTTPStatus: in.status}
	if e.Class == "" || e.Class == provider.Unavailable {
		e.Class = provider.OutcomeUnknown
	}
	e.Message = messageFor(e.Class, p, in.req)
	return provider.Accepted{}, e
}

// keep streams an image that comes as base64 to storage. An empty string is none; one that cannot
// be used is none either, and is remembered.
func (in *imageAnswer) keep(i int, content io.Reader, into *provider.Output) error {
	decoded := bufio.NewReader(jsonstream.Base64(content))
	if _, err := decoded.Peek(1); errors.Is(err, io.EOF) {
		return nil
	}
	o, err := in.req.Sink.Keep(in.ctx, i, decoded)
	if err == nil {
		*into = o
	} else if spoilt := provider.Unusable(err); spoilt != nil {
		in.spoilt, in.begun = append(in.spoilt, spoilt), true
		return nil
	}
	return err
}

// document reads an answer that comes as a whole.
func (in *imageAnswer) document(r io.Reader) error {
	kept := make([]provider.Output, maxImages)
	rest, err := jsonstream.Cut(r, provider.MaxAnswer, func(path []string) func(io.Reader) error {
		if len(path) != 3 || path[0] != "data" || path[2] != "b64_json" {
			return nil
		}
		i, err := strconv.Atoi(path[1])
		if err != nil || i >= maxImages {
			return jsonstream.Drop
		}
		return func(content io.Reader) error { return in.keep(i, content, &kept[i]) }
	})
	if err != nil {
		return err
	}
	var answer struct {
		Data []struct {
			URL string `json:"url"`
		} `json:"data"`
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(rest, &answer) != nil {
		return jsonstream.ErrSyntax
	}
	for i, image := range answer.Data {
		switch {
		case i < maxImages && kept[i].Kept != nil:
			in.outputs = append(in.outputs, kept[i])
		case image.URL != "":
			in.outputs = append(in.outputs, provider.Output{URL: image.URL, Kind: kinora.KindImage})
		}
	}
	if len(in.outputs) == 0 {
		return in.nothing(answer.Error)
	}
	return nil
}

// nothing is an answer without an image that can be used, perhaps with a reason.
func (in *imageAnswer) nothing(reason json.RawMessage) error {
	switch {
	case !isNull(reason):
		in.failed = &reason
	case len(in.spoilt) == 0:
		return errNoImage
	}
	return nil
}

// event is the data of a server-sent event without its image.
type event struct {
	Type    string          `json:"type"`
	Partial lenient.Word    `json:"partial_image_index"`
	URL     string          `json:"url"`
	Error   json.RawMessage `json:"error"`
}

// events reads an answer that comes as a stream: unfinished images, which only show progress, and
// then the finished one. Fewer unfinished ones than asked for may come.
func (in *imageAnswer) events(r io.Reader) error {
	stream := jsonstream.NewEvents(r)
	for len(in.outputs)+len(in.spoilt) < in.order.n && stream.Next() {
		data := bufio.NewReader(stream.Data())
		if head, _ := data.Peek(1); string(head) == "[" {
			continue // "[DONE]", as other streams of the vendor's end
		}
		var image provider.Output
		unfinished := strings.HasSuffix(stream.Name(), ".partial_image")
		rest, err := jsonstream.Cut(data, provider.MaxAnswer, func(path []string) func(io.Reader) error {
			if len(path) != 1 || path[0] != "b64_json" {
				return nil
			}
			if unfinished {
				return jsonstream.Drop
			}
			return func(content io.Reader) error { return in.keep(len(in.outputs), content, &image) }
		})
		if err != nil {
			return err
		}
		var e event
		if json.Unmarshal(rest, &e) != nil {
			return jsonstream.ErrSyntax
		}
		if e.Type == "" {
			e.Type = stream.Name()
		}
		switch {
		case strings.HasSuffix(e.Type, ".partial_image"):
			in.begun = true
			in.progress(e)
		case e.Type == "error" || !isNull(e.Error):
			if isNull(e.Error) {
				e.Error = rest
			}
			in.failed = &e.Error
			return nil
		case image.Kept != nil:
			in.outputs = append(in.outputs, image)
		case e.URL != "":
			in.outputs = append(in.outputs, provider.Output{URL: e.URL, Kind: kinora.KindImage})
		}
	}
	switch {
	case len(in.outputs)+len(in.spoilt) > 0:
		return nil
	case stream.Err() != nil:
		return stream.Err()
	}
	return io.ErrUnexpectedEOF
}

// progress tells how many of the unfinished images have come.
func (in *imageAnswer) progress(e event) {
	i, err := strconv.Atoi(string(e.Partial))
	if err != nil || i < 0 || in.req.Progress == nil {
		return
	}
	in.req.Progress(min(95, 100*(i+1)/(in.order.partials+1)))
}
